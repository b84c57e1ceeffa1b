"""The root of a container while it is built: a descriptor, below which every path is resolved.

Every target is resolved inside the root and then used by descriptor, so that a link in an image can't lead out.
"""

from __future__ import annotations

import errno
import os

from moby.host import mounts
from moby.host.blocks import suppress
from moby_runtime.native.moved_root import move_root, on_first_root
from moby_runtime.records.failures import Failed, Failure, doing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from moby_runtime.native.values import MountPoint, Spec

__all__ = ["DIRECTORY", "Root", "bind", "open_in_own", "parts_of"]

DIRECTORY = os.O_DIRECTORY | os.O_PATH
_COVERED = frozenset(
    ("cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo", "sys/kernel/ns_last_pid",
     "sys/crypto/fips_enabled")
)  # fmt: skip
"""Files of /proc over which a container may be shown others, as runc has them; lxcfs makes such files."""


def parts_of(path: str) -> list[str]:
    """Return the names in a path."""
    return [part for part in path.split("/") if part not in ("", ".")]


def open_in_own(path: str, flags: int) -> int:
    """Open a path of this process's own root, by links of that root alone."""
    root = os.open("/", DIRECTORY | os.O_CLOEXEC)
    try:
        return mounts.open_in_root(root, path, flags)
    finally:
        os.close(root)


def bind(source: str, target_fd: int, *, recursive: bool = True) -> None:
    """Bind a path onto a descriptor."""
    tree = mounts.clone_tree(source, recursive=recursive)
    try:
        mounts.attach(tree, target_fd)
    finally:
        os.close(tree)


class Root:
    """The root under construction; made of a descriptor of the mount that it is, which it then owns."""

    def __init__(self, fd: int, spec: Spec) -> None:
        self.spec = spec
        self._fd = fd
        self._path = os.readlink(f"/proc/self/fd/{fd}").rstrip("/")

    def open(self, path: str, flags: int = os.O_PATH) -> int:
        """Open a path inside."""
        return mounts.open_in_root(self._fd, path, flags)

    def has(self, path: str) -> bool:
        """Whether something is there."""
        try:
            os.close(self.open(path))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def target(self, path: str, *, folder: bool) -> int:
        """Open a path, making what of it isn't there: folders, and at the end one or an empty file."""
        try:
            return self.open(path)
        except FileNotFoundError:
            pass
        parts = parts_of(path)
        try:
            # Most often all above it is there.
            self._make("/".join(parts[:-1]), parts[-1], folder=folder)
        except (FileNotFoundError, FileExistsError):
            for depth, name in enumerate(parts, start=1):
                above = "/".join(parts[: depth - 1])
                with suppress(FileExistsError):
                    self._make(above, name, folder=folder or depth < len(parts))
        return self.open(path)

    def mount_target(self, point: MountPoint, *, folder: bool, tree: int = -1) -> int:
        """Open the target of a mount, or of a tree; Failed where it would show anybody a false /proc."""
        fd = self.target(point.destination, folder=folder)
        place = os.readlink(f"/proc/self/fd/{fd}").removeprefix(f"{self._path}/")
        if place.partition("/")[0] == "proc" and not self._may_cover(place, point.type, tree):
            os.close(fd)
            why = "only another proc may cover /proc, and only some of its files may be covered"
            raise Failed(Failure(f"mount over /{place}", point.where, errno.EINVAL, why))
        return fd

    @staticmethod
    def _may_cover(place: str, kind: str, tree: int) -> bool:
        """Whether a mount, or a tree, may lie at /proc or over a file of it (CVE-2019-16884)."""
        if place != "proc":
            return place.removeprefix("proc/") in _COVERED
        if tree >= 0:
            return os.path.samestat(os.stat("/proc"), os.fstat(tree))
        return kind == "proc"

    def _make(self, above: str, name: str, *, folder: bool) -> None:
        """Make one folder or empty file below a path."""
        fd = self.open(above, DIRECTORY)
        try:
            if folder:
                os.mkdir(name, 0o755, dir_fd=fd)
            else:
                os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=fd))
        finally:
            os.close(fd)

    def is_itself(self, target: int, path: str) -> bool:
        """Whether a target was found by its own name, which was and is no link."""
        *folders, name = parts_of(path)
        above = self.open("/".join(folders), DIRECTORY)
        try:
            return os.path.samestat(os.fstat(target), os.stat(name, dir_fd=above, follow_symlinks=False))
        finally:
            os.close(above)

    def if_there(self, path: str, action: Callable[[int], None]) -> None:
        """Do something with a path inside, unless it isn't there."""
        try:
            fd = self.open(path)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            action(fd)
        finally:
            os.close(fd)

    def go(self) -> None:
        """Make it this process's folder."""
        os.fchdir(self._fd)

    def enter(self) -> None:
        """Make it the root of this process and of its mount namespace, and let go of the old one."""
        with doing("make the root read-only", "root.readonly"):
            if self.spec.readonly:
                mounts.set_attributes(self._fd, on=mounts.ATTRIBUTES["ro"])
        if self.spec.shares_mounts:
            with doing("change the root", "root.path"):
                os.fchdir(self._fd)
                os.chroot(".")
                os.close(self._fd)
        elif not self.spec.pivot or not self._pivot():
            move_root(self._fd, self.spec.rootfs)
        else:
            os.close(self._fd)
        if self.spec.propagation:
            with doing("set the propagation of the root", "linux.rootfsPropagation"):
                mounts.set_propagation("/", self.spec.propagation)

    def _pivot(self) -> bool:
        """Change the root by pivot_root(2); False where the kernel's first root is in the way, which can't be left."""
        with doing("change the root", "root.path"):
            old = os.open("/", DIRECTORY | os.O_CLOEXEC)
            os.fchdir(self._fd)
            # Both names are the same folder: the old root ends up on top of the new one, and is taken off it
            # (pivot_root(2), "pivot_root(".", ".")").
            try:
                mounts.pivot_root(".", ".")
            except OSError as error:
                if error.errno == errno.EINVAL and on_first_root():
                    return False
                raise
            os.fchdir(old)
            # That nothing is taken off the host, where what was the root here is shared with it.
            mounts.set_propagation(".", "rslave")
            mounts.unmount(".", detach=True)
            os.chdir("/")
            os.close(old)
        return True
