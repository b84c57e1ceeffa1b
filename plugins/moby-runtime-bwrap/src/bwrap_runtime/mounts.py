"""Mounts of config.json as arguments for bubblewrap (runtime-spec, config.md, mounts; bwrap(1))."""

import re
import stat
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from bwrap_runtime.bundle import Bundle
from bwrap_runtime.refusals import unsupported
from bwrap_runtime.view import View

__all__ = ["Mounts", "default_dev", "hide", "protect", "translate"]

_UNITS = {"k": 10, "m": 20, "g": 30}
_TIMES = frozenset({"atime", "noatime", "relatime", "norelatime", "strictatime", "nostrictatime", "diratime",
                    "nodiratime", "lazytime", "nolazytime"})  # fmt: skip
_ALWAYS = frozenset({"nosuid", "nodev", "rw", "ro", "async", "exec"}) | _TIMES
"""What bubblewrap does on all mounts, or what makes no difference to what a container may do."""
_BELOW = frozenset({"rro", "rnosuid", "rnodev"})
"""Recursive options, which are no more than `ro` and so on: its binds are recursive in all that they do (bwrap(1))."""
_BIND = _ALWAYS | _BELOW | {"bind", "rbind", "dev", "private", "rprivate", "slave", "rslave", "defaults"}
_PTS = ("newinstance", "ptmxmode=", "mode=", "gid=", "noexec")
_PER_PROCESS = re.compile(r"/proc/(\d+|self|thread-self)(/|$)")
_SYSTEM = ("/dev/", "/sys")
"""Where our own mounts may be without noexec: nothing is there to execute."""


@frozen
class Mounts:
    """What was translated so far: arguments, what a container sees by them, and what is only nearly as asked."""

    view: View
    arguments: tuple[str, ...] = ()
    nearly: tuple[str, ...] = ()
    seals: tuple[str, ...] = field(default=())
    """Destinations to make read-only once all is mounted."""

    def add(self, destination: str, *arguments: str, source: str = "", seal: bool = False) -> "Mounts":
        """Return these with one more mount."""
        seals = (*self.seals, destination) if seal else self.seals
        return Mounts(
            self.view.mounted(destination, source), (*self.arguments, *arguments, destination), self.nearly, seals
        )

    def but(self, nearly: str) -> "Mounts":
        """Return these with one more remark."""
        return Mounts(self.view, self.arguments, (*self.nearly, nearly), self.seals)


def translate(bundle: Bundle, index: int, done: Mounts) -> Mounts:
    """Add the mount of an index; Invalid or Unsupported names the field."""
    where = f"mounts[{index}]"
    mount = bundle.checked(where, bundle.get("mounts", list, [])[index], dict)
    destination = bundle.checked(f"{where}.destination", mount.get("destination"), str)
    if not destination.startswith("/") or "\0" in destination:
        raise bundle.wrong(f"{where}.destination", f"is {destination!r}, and must be an absolute path")
    target = done.view.resolve(destination)
    if target == "/":
        raise bundle.wrong(f"{where}.destination", "is the root itself")
    options = bundle.texts(f"{where}.options", bundle.checked(f"{where}.options", mount.get("options") or [], list))
    kind = bundle.checked(f"{where}.type", mount.get("type") or "", str)
    if kind == "bind" or {"bind", "rbind"} & set(options):
        return _bind(bundle, where, mount, target, options, done)
    match kind:
        case "proc":
            _only(where, options, _ALWAYS | {"noexec"})
            return done.add(target, "--proc", seal="ro" in options)
        case "tmpfs" if target == "/dev":
            return default_dev(done)
        case "tmpfs":
            return _tmpfs(where, target, options, done)
        case "devpts" if target == "/dev/pts" and ("/dev", "") in done.view.mounts:
            _only(where, options, _ALWAYS, prefixes=_PTS)
            return done
        case "mqueue":
            _only(where, options, _ALWAYS | {"noexec"})
            return _noexec(where, target, options, done.add(target, "--mqueue", seal="ro" in options))
        case "sysfs" | "cgroup" | "cgroup2":
            return _kernel(where, kind, target, options, done)
    raise unsupported(f"{where}.type", f"it mounts no {kind or 'file system without a type'} at {target}")


def default_dev(done: Mounts) -> Mounts:
    """Add bubblewrap's own /dev: the nodes that every container has, devpts, and a folder for shm."""
    return done.add("/dev", "--dev")


def hide(path: str, done: Mounts) -> Mounts:
    """Cover a path with emptiness, if it is there (config-linux.md, maskedPaths)."""
    target = done.view.resolve(path)
    mode = _mode("linux.maskedPaths", target, done)
    if mode is None:
        return done
    if stat.S_ISDIR(mode):
        return done.add(target, "--tmpfs", seal=True)
    return done.add(target, "--dev-bind", "/dev/null", source="/dev/null")


def protect(path: str, done: Mounts) -> Mounts:
    """Make a path read-only, if it is there (config-linux.md, readonlyPaths)."""
    target = done.view.resolve(path)
    if _mode("linux.readonlyPaths", target, done) is None or target in done.seals:
        return done
    if (target, "") in done.view.mounts:
        return evolve(done, seals=(*done.seals, target))
    if _PER_PROCESS.match(target):
        raise unsupported("linux.readonlyPaths", f"{target} is a process's own")
    # These parts of /proc are the same in every instance of it, so that the host's will do.
    source = str(done.view.host(target) or target)
    return done.add(target, "--ro-bind", source, source=source)


def _mode(field: str, path: str, done: Mounts) -> int | None:
    """Return the mode of a path inside; in /proc it is known from the host's, since the kernel is the same."""
    if (path, "") in done.view.mounts:
        return stat.S_IFDIR | 0o755
    host = done.view.host(path)
    if host is None and path.startswith("/dev/"):
        raise unsupported(field, f"{path} is in /dev, which bubblewrap makes as a whole")
    if host is None and path.startswith("/proc/") and ("/proc", "") in done.view.mounts:
        host = Path(path)
    try:
        return host.lstat().st_mode if host else None
    except OSError:
        return None


def _bind(
    bundle: Bundle, where: str, mount: dict[str, Any], target: str, options: tuple[str, ...], done: Mounts
) -> Mounts:
    given = bundle.checked(f"{where}.source", mount.get("source"), str)
    source = Path(bundle.path, given).resolve()
    if not source.exists():
        raise bundle.wrong(f"{where}.source", f"is {given}, and nothing is there")
    system = source == Path("/sys") or target.startswith(_SYSTEM)
    _only(where, options, _BIND | ({"noexec", "rnoexec"} if system else set()))
    if "bind" in options and "rbind" not in options and _has_mounts_below(source):
        raise unsupported(f"{where}.options", f"there are mounts below {source}, and it binds them all (rbind)")
    devices = "dev" in options or target.startswith("/dev/")
    how = "--ro-bind" if {"ro", "rro"} & set(options) else "--dev-bind" if devices else "--bind"
    done = done.add(target, how, str(source), source=str(source))
    if {"private", "rprivate"} & set(options):
        done = done.but(f"{where}.options: what the host mounts below {source} later shows inside too (rslave)")
    return _noexec(where, target, options, done)


def _tmpfs(where: str, target: str, options: tuple[str, ...], done: Mounts) -> Mounts:
    system = {"noexec"} if target.startswith(_SYSTEM) else set()
    _only(where, options, _ALWAYS | system, prefixes=("mode=", "size="))
    arguments = ["--perms", "1777"]
    for option in options:
        name, _, value = option.partition("=")
        try:
            if name == "mode":
                arguments[1] = f"{int(value, 8):o}"
            elif name == "size":
                shift = _UNITS.get(value[-1:].lower(), 0)
                arguments += ["--size", str(int(value[:-1] if shift else value) << shift)]
        except ValueError:
            raise unsupported(f"{where}.options", f"it can't read {option}") from None
    return _noexec(where, target, options, done.add(target, *arguments, "--tmpfs", seal="ro" in options))


def _kernel(where: str, kind: str, target: str, options: tuple[str, ...], done: Mounts) -> Mounts:
    """Show the host's own sysfs or cgroup tree, read-only, since no new one can be mounted."""
    _only(where, options, _ALWAYS | {"noexec"})
    if "ro" not in options:
        raise unsupported(f"{where}.options", f"it can only show the host's {kind}, and that read-only (ro)")
    source = "/sys" if kind == "sysfs" else "/sys/fs/cgroup"
    if done.view.host(target) == Path(source):
        return done
    return done.add(target, "--ro-bind", source, source=source).but(
        f"{where}.type: {target} is the host's own {source}"
    )


def _noexec(where: str, target: str, options: tuple[str, ...], done: Mounts) -> Mounts:
    asked = {"noexec", "rnoexec"} & set(options)
    return done.but(f"{where}.options: {target} is without noexec") if asked else done


def _only(where: str, options: tuple[str, ...], known: frozenset[str], prefixes: tuple[str, ...] = ()) -> None:
    """Raise Unsupported for an option outside those that come true."""
    for option in options:
        if option not in known and not (prefixes and option.startswith(prefixes)):
            raise unsupported(f"{where}.options", f"it can't do {option}")


def _has_mounts_below(source: Path) -> bool:
    """Whether something is mounted below a folder (proc_pid_mountinfo(5))."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    points = (line.split()[4].encode().decode("unicode_escape") for line in lines)
    return any(point.startswith(f"{str(source).rstrip('/')}/") for point in points)
