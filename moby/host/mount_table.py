"""The mounts that a process sees (proc_pid_mountinfo(5))."""

from __future__ import annotations

from moby.host.files import read_text
from moby.values import frozen

TYPE_CHECKING = False

__all__ = ["MountEntry", "mount_table", "spelt"]


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


def spelt(path: str) -> str:
    r"""Undo what the kernel does to spaces and the like: \040."""
    first, *rest = path.split("\\")
    return first + "".join(chr(int(each[:3], 8)) + each[3:] for each in rest)
