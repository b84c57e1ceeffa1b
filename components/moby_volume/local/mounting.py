"""What the options of a volume name, mounted."""

import errno
import ipaddress
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path

from moby.errors import HostUnfit, MobyError, Unavailable
from moby.host import mounts
from moby_volume.local.options import words

__all__ = ["mount", "unmount"]

_ADDRESS = re.compile(r"(^|,)addr=([^,]+)")
_SECRET = re.compile(r"(password2?=)[^,]*")
_LATER = frozenset({
    errno.ETIMEDOUT, errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EIO, errno.EBUSY, errno.EAGAIN,
    errno.ENETDOWN, errno.EHOSTDOWN, errno.ECONNRESET, errno.ESTALE,
})  # fmt: skip
_REMEDIES = {
    errno.ENODEV: "this kernel doesn't know that type of file system; load its module, or write another `type`",
    errno.ENOENT: "see that `device` is there",
    errno.EPERM: "only root can mount that",
    errno.EACCES: "only root can mount that",
    errno.EINVAL: "see that `type` and `o` fit `device`",
}


def mount(options: Mapping[str, str], target: Path) -> None:
    """Mount it; HostUnfit or Unavailable, in docker's words."""
    asked = words(options.get("o", ""))
    kind = options["type"]
    data = _resolved(asked.data) if kind in ("nfs", "nfs4", "cifs") else asked.data
    try:
        _mount(options["device"], str(target), "" if asked.flags & mounts.FLAGS["bind"] else kind, asked.flags, data)
        for each in asked.propagation:
            mounts.set_propagation(str(target), each)
    except OSError as error:
        raise _refused(options["device"], target, asked.flags, data, error) from error


def _mount(device: str, target: str, kind: str, flags: int, data: str) -> None:
    mounts.mount(device, target, kind, flags, data)
    bind = mounts.FLAGS["bind"]
    more = flags & ~(bind | mounts.FLAGS["rec"])
    if flags & bind and more:  # the first call takes none of them (mount(2), Creating a bind mount)
        try:
            mounts.mount("", target, "", bind | more | mounts.FLAGS["remount"])
        except OSError:
            mounts.unmount(target, detach=True)
            raise


def unmount(target: Path) -> None:
    """Undo it, also where somebody is still inside."""
    mounts.unmount(str(target), detach=True)


def _resolved(data: str) -> str:
    """Put an address for the name of a server, which the kernel doesn't know."""
    found = _ADDRESS.search(data)
    if found is None or _is_address(found[2]):
        return data
    try:
        all_of_it = socket.getaddrinfo(found[2], None, type=socket.SOCK_STREAM)
    except OSError as error:
        text = f"error resolving passed in network volume address: {found[2]}: {error.strerror or error}"
        raise Unavailable(text, hint="write its address") from error
    best = min(all_of_it, key=lambda each: each[0] != socket.AF_INET)
    return data[: found.start(2)] + str(best[4][0]) + data[found.end(2) :]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _refused(device: str, target: Path, flags: int, data: str, error: OSError) -> MobyError:
    said = f", flags: {flags:#x}" if flags else ""
    hidden = _SECRET.sub(r"\1********", data)
    said += f", data: {hidden}" if data else ""
    why = os.strerror(error.errno or 0)
    text = (
        f"error while mounting volume '{target}': failed to mount local volume: mount {device}:{target}{said}: "
        f"{why[:1].lower()}{why[1:]}"
    )
    if error.errno in _LATER:
        return Unavailable(text, hint="try again once it answers")
    return HostUnfit(text, hint=_REMEDIES.get(error.errno or 0, ""))
