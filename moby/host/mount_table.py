"""The mounts that a process sees (proc_pid_mountinfo(5))."""

from __future__ import annotations

import os

from moby.host.files import read_text
from moby.values import frozen

TYPE_CHECKING = False

__all__ = ["MountEntry", "kind_at", "mount_table", "spelt"]


@frozen
class MountEntry:
    """One mount: its id, the device of its file system, which folder of that it shows, where, and of what kind."""

    id: int
    device: str
    """MAJOR:MINOR."""
    root: str
    point: str
    kind: str
    tags: tuple[str, ...] = ()
    """What goes on from it and to it: `shared:GROUP`, `master:GROUP`."""


def mount_table(pid: int | str = "self") -> tuple[MountEntry, ...]:
    """Return the mounts in a process's mount namespace that its root reaches, in the kernel's order."""
    found = []
    for line in read_text(f"/proc/{pid}/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        number, _, device, root, point, _, *tags = before.split()
        found.append(MountEntry(int(number), device, spelt(root), spelt(point), after.split()[0], tuple(tags)))
    return tuple(found)


def kind_at(path: str) -> str:
    """Return the kind of file system that a folder is on, as `ext4`; empty where this process doesn't see its mount."""
    from moby.host.tree import mount_id

    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        number = mount_id(fd)
    finally:
        os.close(fd)
    return next((each.kind for each in mount_table("thread-self") if each.id == number), "")


def spelt(path: str) -> str:
    r"""Undo what the kernel does to spaces and the like: \040."""
    first, *rest = path.split("\\")
    return first + "".join(chr(int(each[:3], 8)) + each[3:] for each in rest)
