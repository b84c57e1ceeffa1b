"""A root that can't be pivoted to, since the host's own is the kernel's first one, a ramdisk (pivot_root(2), NOTES)."""

from __future__ import annotations

import os

from moby.host import mounts
from moby.host.files import read_text
from moby_runtime.records.failures import doing

TYPE_CHECKING = False

__all__ = ["move_root", "on_first_root"]


def on_first_root() -> bool:
    """Whether this process's root is the kernel's first one, which nothing can be pivoted from."""
    lines = read_text("/proc/self/mountinfo").splitlines()
    return any(line.split()[4] == "/" and line.partition(" - ")[2].split()[0] == "rootfs" for line in lines)


_ESCAPES = (("\\011", "\t"), ("\\012", "\n"), ("\\040", " "), ("\\134", "\\"))
"""As the kernel writes paths (proc_pid_mountinfo(5)); a codec would have to be imported."""


def move_root(fd: int, rootfs: str) -> None:
    """Put a mounted root over the host's, and make it the root of this process.

    The host's root stays below it, where only an escape from chroot(2) leads; so nothing of proc and sysfs, which
    aren't masked there, may stay with it.
    """
    with doing("take the host's mounts away", "root.path"):
        inside = os.path.realpath(rootfs)
        for point in _kernel_mounts(inside):
            mounts.set_propagation(point, "private")
            mounts.unmount(point, detach=True)
    with doing("move the root", "root.path"):
        top = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        mounts.attach(fd, top)
        os.close(top)
        os.fchdir(fd)
        os.close(fd)
        os.chroot(".")
        os.chdir("/")


def _kernel_mounts(inside: str) -> list[str]:
    """Return where proc and sysfs are mounted outside of a folder, the deepest first."""
    found = []
    for line in read_text("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        point = before.split()[4]
        for escaped, character in _ESCAPES:
            point = point.replace(escaped, character)
        if after.split()[0] in ("proc", "sysfs") and point != inside and not point.startswith(f"{inside}/"):
            found.append(point)
    return found[::-1]
