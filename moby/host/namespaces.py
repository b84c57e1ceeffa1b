"""Namespaces: their names in a bundle and in /proc, making and joining them."""

from __future__ import annotations

import errno
import fcntl
import os

from moby.host import processes
from moby.host.files import write_text
from moby.host.lean import signals
from moby.host.syscalls import call, prepared

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

__all__ = ["FLAGS", "PROC_NAMES", "differing", "join", "mapped_user", "type_of", "unshare"]

_NS_GET_NSTYPE = 0xB703
_unshare, _setns = prepared("unshare", 1), prepared("setns", 2)
FLAGS: Mapping[str, int] = {
    "mount": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "network": 0x40000000,
    "time": 0x00000080,
}
"""CLONE_NEW* by the names of runtime-spec (config-linux.md, namespaces)."""

PROC_NAMES: Mapping[str, str] = {
    "mount": "mnt", "cgroup": "cgroup", "uts": "uts", "ipc": "ipc", "user": "user", "pid": "pid", "network": "net",
    "time": "time",
}  # fmt: skip
"""Names in /proc/PID/ns (namespaces(7))."""


def unshare(flags: int) -> None:
    """Move the calling process into new namespaces (unshare(2))."""
    call(_unshare, flags)


def join(fd: int, flags: int) -> None:
    """Enter the namespace of a descriptor, or those of a pidfd that `flags` name (setns(2))."""
    call(_setns, fd, flags)


def type_of(fd: int) -> int:
    """Return the flag of a namespace's kind (ioctl_ns(2)); OSError (ENOTTY) for what is no namespace."""
    return fcntl.ioctl(fd, _NS_GET_NSTYPE)


def differing(pid: int) -> int:
    """Return the flags of those namespaces of a process that aren't the caller's own.

    A namespace that can't be compared, since this kernel lacks its kind, is left out.
    """
    flags = 0
    folders = []
    try:
        for which in (pid, "self"):
            folders.append(os.open(f"/proc/{which}/ns", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        theirs, ours = folders
        for name, proc_name in PROC_NAMES.items():
            try:
                # The link tells the namespace by its inode, of which all are in one file system; to follow it takes
                # twice as long.
                if os.readlink(proc_name, dir_fd=theirs) != os.readlink(proc_name, dir_fd=ours):
                    flags |= FLAGS[name]
            except FileNotFoundError:
                if not os.access(f"/proc/{pid}", os.F_OK):
                    raise
    finally:
        for fd in folders:
            os.close(fd)
    return flags


def mapped_user(uids: str, gids: str) -> int:
    """Return a descriptor of a user namespace that nobody is in, with these maps (user_namespaces(7)).

    For the ids of mounts. OSError where the caller may not make it so.
    """
    read, write = os.pipe()
    held, hold = os.pipe()

    def wait() -> NoReturn:
        os.close(hold)
        unshare(FLAGS["user"])
        os.write(write, b".")
        os.read(held, 1)  # to the caller's end, however that comes
        os._exit(0)

    try:
        pid, pidfd = processes.fork(wait)
        os.close(write)
        write = -1
        try:
            if not os.read(read, 1):
                raise PermissionError(errno.EPERM, "no user namespace can be made")
            for name, text in (("uid_map", uids), ("gid_map", gids)):
                write_text(f"/proc/{pid}/{name}", text)
            return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            processes.send_signal(pidfd, signals.SIGKILL)
            processes.reap(pidfd)
            os.close(pidfd)
    finally:
        for fd in (read, write, held, hold):
            if fd >= 0:
                os.close(fd)
