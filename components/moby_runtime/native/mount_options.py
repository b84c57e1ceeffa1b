"""The options of a mount, apart: flags, what the file system itself takes, and propagation (config.md, mounts)."""

from __future__ import annotations

from moby.host.mounts import ACCESS_TIME, ATTRIBUTES, FLAGS, PROPAGATION
from moby.values import evolve, frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from moby_runtime.native.values import MountPoint

__all__ = ["LACKING", "MountOptions", "binds", "known", "only_recursive", "parse"]

LACKING = frozenset({"copy-symlink"})
"""Options of other runtimes that this one refuses, since no file system knows them."""
_IDMAP = frozenset({"idmap", "ridmap"})
"""What they say is MountPoint's to tell."""

_OFF = {
    "rw": "ro", "suid": "nosuid", "dev": "nodev", "exec": "noexec", "async": "sync", "nomand": "mand",
    "atime": "noatime", "diratime": "nodiratime", "norelatime": "relatime", "nostrictatime": "strictatime",
    "noacl": "acl", "noiversion": "iversion", "loud": "silent", "nolazytime": "lazytime", "symfollow": "nosymfollow",
}  # fmt: skip
_RECURSIVE = frozenset(ATTRIBUTES) | {"relatime"}
"""Options that an `r` before them has set in everything below."""
_PROPAGATION = frozenset(PROPAGATION) | {f"r{name}" for name in PROPAGATION}


@frozen
class MountOptions:
    """What a list of options comes to."""

    bind: bool = False
    recursive: bool = False
    flags: int = 0
    """MS_* for mount(2)."""
    on: int = 0
    """MOUNT_ATTR_* to set on a bind mount."""
    off: int = 0
    all_on: int = 0
    """MOUNT_ATTR_* to set on everything below too."""
    all_off: int = 0
    propagation: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    remount: bool = False
    copy_up: bool = False
    """Whether a new tmpfs begins with what it covers."""


def binds(point: MountPoint) -> bool:
    """Whether a mount shows a file or folder that is there (config.md, Mounts)."""
    return point.type in ("", "bind") or "bind" in point.options or "rbind" in point.options


def only_recursive(options: MountOptions) -> MountOptions:
    """Return what is left to do of a mount that mount(2) has done with its flags."""
    return evolve(options, on=0, off=0)


def parse(options: Iterable[str]) -> MountOptions:
    """Sort options; one that isn't known is for the file system."""
    bind = recursive = remount = copy_up = False
    flags = 0
    on, off, all_on, all_off = 0, 0, 0, 0
    propagation, data = [], []
    for option in options:
        base = option[1:] if option.startswith("r") else ""
        if option in _IDMAP:
            continue
        if option in ("bind", "rbind"):
            bind, recursive = True, option == "rbind"
        elif option in _PROPAGATION:
            propagation.append(option)
        elif option == "remount":
            remount = True
        elif option == "tmpcopyup":
            copy_up = True
        elif option in FLAGS and option != "rec":
            flags |= FLAGS[option]
            on, off = _set(option, on, off)
        elif option in _OFF:
            flags &= ~FLAGS[_OFF[option]]
            on, off = _clear(_OFF[option], on, off)
        elif base in _RECURSIVE:
            all_on, all_off = _set(base, all_on, all_off)
        elif _OFF.get(base) in _RECURSIVE:
            all_on, all_off = _clear(_OFF[base], all_on, all_off)
        elif option != "defaults":
            data.append(option)
    return MountOptions(
        bind, recursive, flags, on, off, all_on, all_off, tuple(propagation), tuple(data), remount, copy_up
    )


def known() -> frozenset[str]:
    """Return all options that mean something to this runtime, whatever the file system."""
    flags = frozenset(FLAGS) - {"rec"}
    recursive = {f"r{name}" for name in (*_RECURSIVE, *(name for name in _OFF if _OFF[name] in _RECURSIVE))}
    return flags | _PROPAGATION | frozenset(_OFF) | recursive | _IDMAP | {"defaults", "rbind", "tmpcopyup"}


def _set(name: str, on: int, off: int) -> tuple[int, int]:
    """Set an attribute; one of access time takes the place of the others."""
    bit = ATTRIBUTES.get(name, 0)
    if bit & ACCESS_TIME or name == "relatime":
        return on & ~ACCESS_TIME | bit, off | ACCESS_TIME
    return on | bit, off & ~bit


def _clear(name: str, on: int, off: int) -> tuple[int, int]:
    """Clear an attribute."""
    bit = ATTRIBUTES.get(name, 0)
    if bit & ACCESS_TIME:
        return on & ~ACCESS_TIME, off | ACCESS_TIME
    return on & ~bit, off | bit
