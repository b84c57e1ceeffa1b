"""A root in a mount namespace that isn't the container's own: its caller's, or one that a path names.

Whatever is mounted below such a root is in that namespace as well. It is all on one mount, private, which goes when the
container is deleted.
"""

from __future__ import annotations

import os

from moby.host import mounts, namespaces, processes
from moby.host.blocks import suppress
from moby.host.files import read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

__all__ = ["bind_root", "take_off"]

_PRIVATE = mounts.PROPAGATION["private"]


def bind_root(rootfs: str) -> int:
    """Make a private mount of a folder onto itself, and return a descriptor of it."""
    tree = mounts.clone_tree(rootfs, recursive=True)
    try:
        mounts.set_attributes(tree, propagation=_PRIVATE, recursive=True)
        below = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            mounts.attach(tree, below)
        finally:
            os.close(below)
        # Onto a shared one it came as a shared one.
        mounts.set_attributes(tree, propagation=_PRIVATE, recursive=True)
    except BaseException:
        os.close(tree)
        raise
    return tree


def take_off(rootfs: str, namespace: str) -> None:
    """Take that mount away, with all that is on it; fine where it, or the namespace of the path, isn't there."""
    if not namespace:
        _take_off(rootfs)
        return

    def inside() -> NoReturn:
        with suppress(FileNotFoundError):
            fd = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
            namespaces.join(fd, namespaces.FLAGS["mount"])
            _take_off(rootfs)
        os._exit(0)

    _, pidfd = processes.fork(inside)
    processes.reap(pidfd)
    os.close(pidfd)


def _take_off(rootfs: str) -> None:
    target = os.path.realpath(rootfs)
    if _is_on_itself(target):
        mounts.unmount(target, detach=True)


def _is_on_itself(target: str) -> bool:
    """Whether the topmost mount at a folder shows what lies under it: the same part of the same file system."""
    points = {}
    found = None
    for line in read_text("/proc/self/mountinfo").splitlines():
        number, above, device, root, point = line.split()[:5]
        each = (above, device, _spelt(root), _spelt(point))
        points[number] = each
        if each[3] == target:
            found = each
    if found is None or found[0] not in points:
        return False
    _, device, root, point = points[found[0]]
    inside = target.removeprefix(point.rstrip("/")).strip("/")
    return (found[1], found[2].rstrip("/")) == (device, f"{root.rstrip('/')}/{inside}".rstrip("/"))


def _spelt(path: str) -> str:
    r"""Undo what the kernel does to spaces and the like: \040 (proc_pid_mountinfo(5))."""
    first, *rest = path.split("\\")
    return first + "".join(chr(int(each[:3], 8)) + each[3:] for each in rest)
