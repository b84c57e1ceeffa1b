"""Mounts, by descriptor: so that no name is resolved twice, and none leaves the root that it was meant for."""

from __future__ import annotations

import errno
import os
import time

from moby.host import bare
from moby.host.syscalls import NUMBERS, call, libc, prepared, syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from collections.abc import Mapping, Sequence
    from typing import Any

    from moby.host.bare import Call
else:
    from moby.host import foreign as ctypes

__all__ = [
    "ACCESS_TIME", "ATTRIBUTES", "FLAGS", "PROPAGATION", "attach", "clone_tree", "file_system", "how", "is_proc",
    "map_ids", "mount", "new_tree", "open_file_in_root", "open_in_root", "pivot_root", "prepared_open",
    "set_attributes", "set_propagation", "unmount",
]  # fmt: skip

FLAGS: Mapping[str, int] = {
    "ro": 0x1, "nosuid": 0x2, "nodev": 0x4, "noexec": 0x8, "sync": 0x10, "remount": 0x20, "mand": 0x40,
    "dirsync": 0x80, "nosymfollow": 0x100, "noatime": 0x400, "nodiratime": 0x800, "bind": 0x1000, "rec": 0x4000,
    "silent": 0x8000, "acl": 0x10000, "relatime": 0x200000, "iversion": 0x800000, "strictatime": 0x1000000,
    "lazytime": 0x2000000,
}  # fmt: skip
"""MS_* of mount(2)."""

ATTRIBUTES: Mapping[str, int] = {
    "ro": 0x1, "nosuid": 0x2, "nodev": 0x4, "noexec": 0x8, "noatime": 0x10, "strictatime": 0x20, "nodiratime": 0x80,
    "nosymfollow": 0x200000,
}  # fmt: skip
"""MOUNT_ATTR_* of mount_setattr(2); the three of access time share one field, in which 0 is relatime."""
ACCESS_TIME = 0x70
"""The field of access time."""

PROPAGATION: Mapping[str, int] = {
    "unbindable": 1 << 17, "private": 1 << 18, "slave": 1 << 19, "shared": 1 << 20,
}  # fmt: skip
"""MS_UNBINDABLE and so on; an `r` before the name makes it recursive (mount(2))."""

_MS_REC = 0x4000
_PROC_MAGIC = 0x9FA0
_MNT_DETACH = 2
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 1
_OPEN_TREE_CLOEXEC = os.O_CLOEXEC
_MOVE_MOUNT_EMPTY_PATHS = 0x4 | 0x40
_ATTR_IDMAP = 0x00100000
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
_S_IFMT, _S_IFREG = 0o170000, 0o100000
"""Of inode(7); the module `stat` would be one more for a start to import."""
_TRIES = 10_000
_TRIES_AT_ONCE = 50
_FSOPEN_CLOEXEC = _FSMOUNT_CLOEXEC = 1
_SET_FLAG, _SET_STRING, _CREATE = 0, 1, 6
"""FSCONFIG_*."""
_OF_FILE_SYSTEMS = ("ro", "sync", "mand", "dirsync", "lazytime")
"""Flags of mount(2) that are a file system's, whatever mount shows it."""
_PAUSE_S = 0.0005
_mount, _umount2 = prepared("mount", 5), prepared("umount2", 2)


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount a file system (mount(2)); OSError names the target."""
    texts = [os.fsencode(text) for text in (source, target, kind, data)]
    call(_mount, texts[0], texts[1], texts[2] or None, flags, texts[3] or None, what=target)


def unmount(target: str, *, detach: bool = False) -> None:
    """Unmount; with `detach` at once for all names, and for good when nobody uses it any more (umount2(2))."""
    call(_umount2, os.fsencode(target), _MNT_DETACH if detach else 0, what=target)


def pivot_root(new_root: str, put_old: str) -> None:
    """Make a mount the root of this mount namespace (pivot_root(2))."""
    syscall("pivot_root", os.fsencode(new_root), os.fsencode(put_old), what=new_root)


def set_propagation(target: str, name: str) -> None:
    """Set how mounts below `target` are shared with other namespaces: a name of PROPAGATION, perhaps with an `r`."""
    recursive = name.startswith("r")
    call(
        _mount, b"none", os.fsencode(target), None,
        PROPAGATION[name.removeprefix("r") if recursive else name] | (_MS_REC if recursive else 0), None,
        what=target,
    )  # fmt: skip


def open_in_root(root_fd: int, path: str, flags: int = os.O_PATH, mode: int = 0) -> int:
    """Open a path as a process with that root would see it; links, and those of /proc, can't lead out (openat2(2))."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    relative = path.lstrip("/") or "."
    for tried in range(_TRIES):
        try:
            return syscall("openat2", root_fd, os.fsencode(relative), ctypes.byref(how), ctypes.sizeof(how), what=path)
        except BlockingIOError:
            # What mounts or renames anywhere may keep the kernel from being sure of a "..", and may do so for long.
            if tried >= _TRIES_AT_ONCE:
                time.sleep(_PAUSE_S)
    raise BlockingIOError(errno.EAGAIN, "it is renamed again and again", path)


def how(flags: int) -> tuple[Any, int]:
    """Return the last arguments of openat2(2) by which `open_in_root` does it."""
    asked = _OpenHow(flags | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    return ctypes.byref(asked), ctypes.sizeof(asked)


def prepared_open(root_fd: int, path: str, flags: int, number: int) -> Call:
    """Return the call by which a copy of this process does as `open_in_root`, and gets that number."""
    relative = os.fsencode(path.lstrip("/") or ".")
    return (bare.any_call, (NUMBERS["openat2"], root_fd, relative, *how(flags)), number)


def open_file_in_root(root_fd: int, path: str) -> int:
    """Open a regular file to be read, as `open_in_root` does; -1 for anything else, which isn't opened.

    A device may do something when it is: it is the host's own, whoever made its node. BlockingIOError where a program
    has a lease on the file (fcntl(2)), for which anybody else would wait until the kernel breaks it.
    """
    place = open_in_root(root_fd, path)
    try:
        if os.fstat(place).st_mode & _S_IFMT != _S_IFREG:
            return -1
        return os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    finally:
        os.close(place)


def file_system(fd: int) -> int:
    """Return the number of the kind of file system that a descriptor is of (fstatfs(2), linux/magic.h)."""
    buffer = ctypes.create_string_buffer(256)
    call(libc.fstatfs, fd, buffer)
    return ctypes.c_long.from_buffer(buffer).value & 0xFFFFFFFF


def is_proc(fd: int) -> bool:
    """Whether a descriptor is of a file or folder of procfs."""
    return file_system(fd) == _PROC_MAGIC


def clone_tree(path: str, *, recursive: bool = False, directory_fd: int = _AT_FDCWD) -> int:
    """Return a descriptor of a detached copy of a mount, which a bind mount is made of (open_tree(2)).

    An empty path copies what `directory_fd` itself is; without one it is never the working folder, but not found.
    """
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | (_AT_RECURSIVE if recursive else 0)
    flags |= 0 if path or directory_fd == _AT_FDCWD else _AT_EMPTY_PATH
    return syscall("open_tree", directory_fd, os.fsencode(path), flags, what=path)


def new_tree(kind: str, source: str, options: Sequence[str], *, flags: int = 0, on: int = 0) -> int:
    """Return a descriptor of a new mount that is nowhere yet, for `attach`: what `mount` makes, but never found again.

    `flags` are MS_* of the file system, `on` are MOUNT_ATTR_*. OSError names the kind, or the option that is refused.
    """
    words = [name for name in _OF_FILE_SYSTEMS if flags & FLAGS[name]]
    context = syscall("fsopen", os.fsencode(kind), _FSOPEN_CLOEXEC, what=kind)
    try:
        for option in (f"source={source}", *words, *options):
            key, equals, value = option.partition("=")
            command, text = (_SET_STRING, os.fsencode(value)) if equals else (_SET_FLAG, None)
            syscall("fsconfig", context, command, os.fsencode(key), text, 0, what=option)
        syscall("fsconfig", context, _CREATE, None, None, 0, what=kind)
        return syscall("fsmount", context, _FSMOUNT_CLOEXEC, on, what=kind)
    finally:
        os.close(context)


def attach(tree_fd: int, target_fd: int) -> None:
    """Put a detached mount onto what a descriptor refers to (move_mount(2))."""
    syscall("move_mount", tree_fd, b"", target_fd, b"", _MOVE_MOUNT_EMPTY_PATHS)


def set_attributes(
    fd: int, *, on: int = 0, off: int = 0, propagation: int = 0, recursive: bool = False, path: str = ""
) -> None:
    """Change attributes of a mount, leaving the others as they are (mount_setattr(2))."""
    attributes = _MountAttributes(on, off, propagation, 0)
    flags = (0 if path else _AT_EMPTY_PATH) | (_AT_RECURSIVE if recursive else 0)
    syscall("mount_setattr", fd, os.fsencode(path), flags, ctypes.byref(attributes), ctypes.sizeof(attributes))


def map_ids(tree_fd: int, user_fd: int, *, recursive: bool = False) -> None:
    """Have a detached mount, never seen before, show its files' owners as a user namespace maps them.

    mount_setattr(2), MOUNT_ATTR_IDMAP: OSError EPERM for who isn't root of the file system's own user namespace, and
    EINVAL for a file system that can't.
    """
    attributes = _MountAttributes(_ATTR_IDMAP, 0, 0, user_fd)
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    syscall("mount_setattr", tree_fd, b"", flags, ctypes.byref(attributes), ctypes.sizeof(attributes))
