"""Settings of the calling thread's network namespace (sysctl.d(5), Linux Documentation/networking/ip-sysctl)."""

import os

__all__ = ["interfaces", "read", "set_to"]

_ROOT = "/proc/sys/net"


def _path(parts: tuple[str, ...]) -> str:
    """Return a setting's file: parts are not split, since an interface's name may have dots in it."""
    if any(not each or "/" in each or each in (".", "..") for each in parts):
        raise ValueError(f"{'.'.join(parts)!r} is no setting of the network")
    return "/".join((_ROOT, *parts))


def read(*parts: str) -> str:
    """Return a setting, `read("ipv4", "ip_forward")`; empty where this kernel hasn't got it."""
    try:
        with open(_path(parts), encoding="ascii") as file:
            return file.read().strip()
    except FileNotFoundError:
        return ""


def set_to(value: str, *parts: str) -> bool:
    """Have a setting be so; return whether it had to be changed. OSError where this kernel hasn't got it."""
    path = _path(parts)
    with open(path, encoding="ascii") as file:
        if file.read().strip() == value:
            return False
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
    finally:
        os.close(fd)
    return True


def interfaces(family: str) -> tuple[str, ...]:
    """Return the names of the interfaces that have settings of `ipv4` or `ipv6`."""
    try:
        return tuple(sorted(set(os.listdir(_path((family, "conf")))) - {"all", "default"}))
    except FileNotFoundError:
        return ()
