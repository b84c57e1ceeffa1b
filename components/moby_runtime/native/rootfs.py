"""The order in which a container's root is built, from inside its mount namespace."""

from __future__ import annotations

import errno
import os

from moby.host import mounts
from moby.host.blocks import suppress
from moby_runtime.native import masks, mount_options, mount_points
from moby_runtime.native.devices import make_devices
from moby_runtime.native.root import DIRECTORY, Root, bind
from moby_runtime.records.failures import doing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from moby_runtime.native.sources import Trees
    from moby_runtime.native.values import MountPoint, Spec

__all__ = ["build", "mount_root"]


def mount_root(spec: Spec) -> Root:
    """Make a mount of the root file system in this (the container's) mount namespace, whatever it shares so far.

    Before the process becomes root of a user namespace, who may not be let into the folders above.
    """
    if spec.shares_mounts:
        from moby_runtime.native import shared_mounts

        with doing("bind the root file system", "root.path"):
            return Root(shared_mounts.bind_root(spec.rootfs), spec)
    with doing("set the propagation of mounts", "linux.rootfsPropagation"):
        # An unbindable mount could make no root.
        mounts.set_propagation(
            "/", f"r{spec.propagation.removeprefix('r') or 'slave'}".replace("unbindable", "private")
        )
        if spec.propagation.endswith("shared"):
            _privatise_above(spec.rootfs)
    with doing("bind the root file system", "root.path"):
        _bind_onto_itself(spec.rootfs)
        return Root(os.open(spec.rootfs, DIRECTORY | os.O_CLOEXEC), spec)


def build(root: Root, cgroups: tuple[str, ...], trees: Trees, *, terminal: int = -1) -> None:
    """Do the container's mounts, make its devices, and hide what it shall not see.

    `trees` are sources that were opened before. `terminal` is where the master of a terminal is asked for; its other
    end becomes 0, 1 and 2, and /dev/console.
    """
    spec = root.spec
    later: list[tuple[int, MountPoint]] = []
    for point in spec.mounts:
        if later and "remount" in point.options:
            later = [each for each in later if each[1].destination != point.destination]  # which says what it is now
        fd = mount_points.mount(root, point, cgroups, trees)
        if fd >= 0:
            later.append((fd, point))
    if terminal >= 0:
        from moby_runtime.native import console

        console.take(terminal, root.open)
    if not any(point.destination.rstrip("/") == "/dev" and mount_options.binds(point) for point in spec.mounts):
        make_devices(root, "/proc/self/fd/0" if terminal >= 0 else "")
    _make_working_folder(root, spec.process.cwd)
    for path in spec.readonly_paths:
        masks.make_readonly(root, path)
    for path in spec.masked:
        masks.mask(root, path)
    for fd, point in later:
        mount_points.make_readonly(fd, point)


def _make_working_folder(root: Root, path: str) -> None:
    """Make the folder that the program starts in, as images may lack it; who can't be in it is told so later."""
    if path.strip("/"):
        with suppress(OSError):
            os.close(root.target(path, folder=True))


def _privatise_above(folder: str) -> None:
    """Make the mount that a folder is on private: pivot_root(2) refuses a shared one."""
    for above in _above(folder):
        try:
            mounts.set_propagation(above, "private")
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        else:
            return


def _above(folder: str) -> Iterator[str]:
    yield folder
    above = os.path.realpath(folder)
    while above != "/":
        above = os.path.dirname(above)
        yield above


def _bind_onto_itself(folder: str) -> None:
    """Make a mount of a folder, and keep no descriptor of what lies under it, which is the host's."""
    below = os.open(folder, DIRECTORY | os.O_CLOEXEC)
    try:
        bind(folder, below)
    finally:
        os.close(below)
