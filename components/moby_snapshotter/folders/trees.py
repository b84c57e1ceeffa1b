"""Trees of files: whose they may be, how much they take, and what is other in one than in another."""

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from moby.contracts.snapshotter import Usage
from moby.host import tree
from moby.host.user_maps import keeps_owners
from moby.oci.pack import is_whiteout
from moby.values import frozen

__all__ = ["Seen", "keeps_owners", "looked_at", "names", "opened", "seen", "usage_of", "walk", "without_devices"]

_CAPABILITY = "security.capability"


@contextmanager
def opened(*paths: Path) -> Iterator[list[int]]:
    """Lend descriptors of folders."""
    with ExitStack() as held:
        found = []
        for path in paths:
            found.append(os.open(path, tree.DIRECTORY_FLAGS))
            held.callback(os.close, found[-1])
        yield found


@contextmanager
def looked_at(*paths: Path) -> Iterator[list[int]]:
    """Lend descriptors of folders by which no device is opened: somebody may put one in a file's place meanwhile."""
    with ExitStack() as held:
        found = []
        for path in paths:
            found.append(without_devices(path))
            held.callback(os.close, found[-1])
        yield found


def without_devices(path: Path) -> int:
    """Return a descriptor of a folder as `looked_at` lends it; the caller closes it."""
    from moby.host import mounts  # which brings ctypes, for who looks

    with suppress(OSError):  # who may mount nothing may make no device either; kernels before 5.12 can't
        apart = mounts.clone_tree(str(path))
        try:
            mounts.set_attributes(apart, on=mounts.ATTRIBUTES["nodev"])
            return os.open(".", tree.DIRECTORY_FLAGS, dir_fd=apart)
        finally:
            os.close(apart)
    return os.open(path, tree.DIRECTORY_FLAGS)


@frozen
class Seen:
    """A file, as far as a difference in it counts."""

    path: str
    stat: os.stat_result
    capability: bytes = b""

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(self.stat.st_mode)

    def differs(self, other: "Seen") -> bool:
        """Say whether it is another than before: by what a change leaves a trace in."""
        mine, theirs = self.stat, other.stat
        same = ("st_mode", "st_uid", "st_gid", "st_rdev")
        if any(getattr(mine, each) != getattr(theirs, each) for each in same) or self.capability != other.capability:
            return True
        return not self.is_folder and (mine.st_mtime_ns, mine.st_size) != (theirs.st_mtime_ns, theirs.st_size)


def seen(fd: int, name: str, path: str) -> Seen | None:
    """Look at a file; None where it went meanwhile."""
    try:
        found = os.lstat(name, dir_fd=fd)
        capability = b""
        if stat.S_ISREG(found.st_mode) and found.st_mode & 0o111:
            with suppress(OSError):  # by its name, so that nothing is opened that takes its place meanwhile
                capability = os.getxattr(f"/proc/self/fd/{fd}/{name}", _CAPABILITY, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return Seen(path, found, capability)


def walk(root_fd: int) -> Iterator[tuple[int, str, Seen]]:
    """Yield every file below a root, in the order of `names`; with its folder's descriptor and name."""
    for fd, name, path, _ in names(root_fd):
        found = seen(fd, name, path)
        if found is not None:
            yield fd, name, found


def names(root_fd: int) -> Iterator[tuple[int, str, str, bool]]:
    """Yield every name below a root, folders before what is in them, sorted, and whether it is a file or a link.

    Its folder's descriptor comes first, and is good until the next; its path comes third. Depth costs neither stack nor
    descriptors. What goes meanwhile may be left out.
    """
    levels: list[_Level] = []
    fd = os.open(".", tree.DIRECTORY_FLAGS, dir_fd=root_fd)
    try:
        levels.append(_Level(fd, ""))
        while levels:
            level = levels[-1]
            for name, is_plain, is_folder in level.left:
                path = f"{level.path}/{name}"
                yield fd, name, path, is_plain
                if is_folder:
                    with suppress(FileNotFoundError, NotADirectoryError):
                        inner = os.open(name, tree.DIRECTORY_FLAGS, dir_fd=fd)
                        os.close(fd)
                        fd = inner
                        levels.append(_Level(fd, path))
                        break
            else:
                levels.pop()
                above = _above(root_fd, fd, levels)
                os.close(fd)
                fd = above
    finally:
        os.close(fd)


class _Level:
    """A folder on the way down: which it is, and the names in it that are left, sorted, with what they are."""

    def __init__(self, fd: int, path: str) -> None:
        self.identity = _identity(fd)
        self.path = path
        with os.scandir(fd) as entries:
            self.left = iter(sorted(map(_listed, entries)))


def _listed(entry: "os.DirEntry[str]") -> tuple[str, bool, bool]:
    is_plain = entry.is_file(follow_symlinks=False) or entry.is_symlink()
    return entry.name, is_plain, not is_plain and entry.is_dir(follow_symlinks=False)


def _identity(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def _above(root_fd: int, fd: int, levels: list[_Level]) -> int:
    """Return a descriptor of the last of these folders, above another; those that have gone are dropped."""
    with suppress(FileNotFoundError):
        above = os.open("..", tree.DIRECTORY_FLAGS, dir_fd=fd)
        if levels and _identity(above) == levels[-1].identity:
            return above
        os.close(above)
    found = os.open(".", tree.DIRECTORY_FLAGS, dir_fd=root_fd)
    for depth, level in enumerate(levels[1:], start=1):
        try:
            inner = os.open(level.path.rpartition("/")[2], tree.DIRECTORY_FLAGS, dir_fd=found)
        except OSError:  # it has gone, or something else is there
            inner = -1
        if inner < 0 or _identity(inner) != level.identity:
            if inner >= 0:
                os.close(inner)
            del levels[depth:]
            break
        os.close(found)
        found = inner
    return found


def usage_of(root_fd: int) -> Usage:
    """Return what a tree takes: sizes of its files, one of several names once, and how many there are."""
    size, known = 0, set[tuple[int, int]]()
    inodes = 0
    for _, _, found in walk(root_fd):
        identity = (found.stat.st_dev, found.stat.st_ino)
        if found.stat.st_nlink > 1 and not found.is_folder:
            if identity in known:
                continue
            known.add(identity)
        inodes += 1
        if not found.is_folder and not is_whiteout(found.stat):
            size += found.stat.st_size
    return Usage(size, inodes)
