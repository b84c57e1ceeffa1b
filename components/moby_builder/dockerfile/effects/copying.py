"""Copying files from one root into another, as a Dockerfile's COPY does it: by descriptors, and no link is followed."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import PurePosixPath

from attrs import define, field, frozen

from moby.contracts.builder import BuildFailed
from moby.host import tree
from moby.oci.pack import xattrs_of
from moby_builder.dockerfile.effects.archives import open_file
from moby_builder.dockerfile.effects.beneath import Made, canonical, look, make_folders, opened, parts_of, set_times
from moby_builder.dockerfile.effects.failures import failures
from moby_builder.dockerfile.effects.listings import Excludes
from moby_builder.dockerfile.effects.matches import Match
from moby_builder.dockerfile.effects.modes import Mode
from moby_builder.dockerfile.solver.effects import Cancel
from moby_builder.folders.unpacking import unpack_stream

__all__ = ["Copying", "How"]

_CHUNK = 1 << 30
_SMALL = 1 << 16
_DEEPEST = 300
"""Folders in folders, each of which takes two descriptors."""
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_RANGES = {errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM}
"""Where the kernel can't copy from one of two file systems to the other by itself."""


@frozen
class How:
    """What becomes of what is copied."""

    owner: tuple[int, int] | None = None
    mode: Mode | None = None
    time_ns: int | None = None

    @property
    def made(self) -> Made:
        """What folders get that are made on the way."""
        return Made(0o755, self.owner or (0, 0), self.time_ns)


@define
class Copying:
    """Copies into one root. `source_fd` and `target_fd` are the roots, and the caller's."""

    source_fd: int
    target_fd: int
    how: How
    excludes: Excludes | None = None
    """What is left out of folders that are copied."""
    cancel: Cancel = field(factory=Cancel)
    _made: list[str] = field(factory=list, init=False)
    _links: dict[tuple[int, int], str] = field(factory=dict, init=False)

    def copy(self, match: Match, target: str) -> None:
        """Copy a file to a target, or into it where it is a folder; or a folder's content. BuildFailed as BuildKit."""
        self._links.clear()  # hard links are kept inside what is copied, not between several such
        with failures("failed to copy files"):
            is_folder = stat.S_ISDIR(match.found.st_mode)
            ensured = target if target.endswith("/") else str(PurePosixPath(target).parent)
            self._make_folders(ensured)
            where = canonical(self.target_fd, target)
            there = look(self.target_fd, where)
            if not is_folder and there is not None and stat.S_ISDIR(there.st_mode):
                where = f"{where.rstrip('/')}/{match.name}"
            elif is_folder:
                if there is not None and not stat.S_ISDIR(there.st_mode):
                    raise BuildFailed(f"cannot copy to non-directory: {where}")
                self._make_folders(where)
            if is_folder:
                self._folder_at(match.path, where)
            else:
                self._file_at(match, where)

    def finish(self) -> None:
        """Give the folders that were made on the way their times."""
        with failures("failed to copy files"):
            set_times(self.target_fd, self._made, self.how.time_ns)

    def unpack(self, match: Match, target: str) -> None:
        """Unpack an archive into a folder, which is made where it isn't there; owners are the archive's."""
        with failures("failed to unpack"):
            self._make_folders(target)
            into = opened(self.target_fd, canonical(self.target_fd, target))
            try:
                with open_file(self.source_fd, match) as file:
                    unpack_stream(file, into, self.cancel.check)
            finally:
                os.close(into)

    def copy_with_parents(self, match: Match, target: str) -> None:
        """Copy a file or folder with those above it, each with what it has in the source."""
        with failures("failed to copy files"):
            self._make_folders(target)
            source = opened(self.source_fd, match.pivot)
            into = opened(self.target_fd, canonical(self.target_fd, target))
            path = canonical(self.target_fd, target).rstrip("/")
            try:
                for name in parts_of(match.above):
                    path += f"/{name}"
                    source, into = self._parent(source, into, name, path)
                if match.name:
                    self._one(source, into, match.name, "", f"{path}/{match.name}")
                else:
                    self._inside(source, into, "", path)
            finally:
                os.close(source)
                os.close(into)

    # Where a copy begins

    def _make_folders(self, path: str) -> None:
        with failures("mkdir"):
            self._made += make_folders(self.target_fd, path, self.how.made)

    def _folder_at(self, path: str, where: str) -> None:
        source = opened(self.source_fd, path)
        try:
            into = opened(self.target_fd, where)
            try:
                self._inside(source, into, "", where.rstrip("/"))
                os.utime(into, ns=self._times(os.fstat(source)))
            finally:
                os.close(into)
        finally:
            os.close(source)

    def _file_at(self, match: Match, where: str) -> None:
        above, name = PurePosixPath(match.path).parent, PurePosixPath(match.path).name
        source = opened(self.source_fd, str(above))
        try:
            self._make_folders(str(PurePosixPath(where).parent))
            into = opened(self.target_fd, str(PurePosixPath(where).parent))
            try:
                self._leaf(source, into, name, where)
            finally:
                os.close(into)
        finally:
            os.close(source)

    def _parent(self, source: int, into: int, name: str, path: str) -> tuple[int, int]:
        """Return descriptors one folder down on both sides; those given are closed unless it fails."""
        made = self._make(into, name, path)
        inner = os.open(name, tree.DIRECTORY_FLAGS, dir_fd=source)
        try:
            below = os.open(name, tree.DIRECTORY_FLAGS, dir_fd=into)
            if made:
                self._settle(inner, below, os.fstat(inner))
        except BaseException:
            os.close(inner)
            raise
        os.close(source)
        os.close(into)
        return inner, below

    # One thing after the other

    def _inside(self, source: int, into: int, inside: str, path: str) -> None:
        """Copy what is in a folder; `inside` is where it is in what is copied, `path` in the target."""
        self.cancel.check()
        if inside.count("/") > _DEEPEST:
            raise BuildFailed(f"{path[:200]} is nested deeper than {_DEEPEST} folders")
        with os.scandir(source) as entries:
            names = sorted(each.name for each in entries)
        for name in names:
            self._one(source, into, name, inside, f"{path}/{name}")

    def _one(self, source: int, into: int, name: str, inside: str, path: str) -> None:
        found = os.lstat(name, dir_fd=source)
        within = f"{inside}/{name}" if inside else name
        if self.excludes is not None and self.excludes.matches(within) and not self._holds(source, name, within, found):
            return
        if not stat.S_ISDIR(found.st_mode):
            self._leaf(source, into, name, path, found)
            return
        inner = os.open(name, tree.DIRECTORY_FLAGS, dir_fd=source)
        try:
            self._make(into, name, path)
            below = os.open(name, tree.DIRECTORY_FLAGS, dir_fd=into)
            try:
                self._inside(inner, below, within, path)
                self._settle(inner, below, found)
            finally:
                os.close(below)
        finally:
            os.close(inner)

    def _holds(self, source: int, name: str, within: str, found: os.stat_result) -> bool:
        """Whether there is something below a folder that is left out which isn't: a pattern with `!` says so."""
        assert self.excludes is not None
        if not self.excludes.inverts or not stat.S_ISDIR(found.st_mode):
            return False
        inner = os.open(name, tree.DIRECTORY_FLAGS, dir_fd=source)
        try:
            for each in os.listdir(inner):  # noqa: PTH208  # a descriptor has no Path
                path = f"{within}/{each}"
                if not self.excludes.matches(path):
                    return True
                if self._holds(inner, each, path, os.lstat(each, dir_fd=inner)):
                    return True
            return False
        finally:
            os.close(inner)

    def _make(self, into: int, name: str, path: str) -> bool:
        """Make a folder; False where it is there, BuildFailed where something else is."""
        try:
            os.mkdir(name, 0o700, dir_fd=into)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(name, dir_fd=into).st_mode):
                raise BuildFailed(f"cannot copy to non-directory: {path}") from None
            return False
        return True

    def _leaf(self, source: int, into: int, name: str, path: str, found: os.stat_result | None = None) -> None:
        """Copy what is no folder to a path whose folder is `into`."""
        found = found or os.lstat(name, dir_fd=source)
        last = path.rpartition("/")[2]
        if found.st_nlink > 1 and self._linked(found, into, last, path):
            return
        kind = stat.S_IFMT(found.st_mode)
        if kind == stat.S_IFREG:
            self._file(source, name, into, last, path)
            return
        _make_room(into, last, path)
        if kind == stat.S_IFLNK:
            os.symlink(os.readlink(name, dir_fd=source), last, dir_fd=into)
        else:
            os.mknod(last, found.st_mode, found.st_rdev, dir_fd=into)
        owner = self.how.owner or (found.st_uid, found.st_gid)
        os.chown(last, *owner, dir_fd=into, follow_symlinks=False)
        if kind != stat.S_IFLNK:
            tree.set_mode(into, last, self._mode(found))
        os.utime(last, ns=self._times(found), dir_fd=into, follow_symlinks=False)

    def _linked(self, found: os.stat_result, into: int, name: str, path: str) -> bool:
        """Make a name of a file that has been copied already; False for one that hasn't."""
        first = self._links.setdefault((found.st_dev, found.st_ino), path)
        if first == path:
            return False
        _make_room(into, name, path)
        os.link(first[1:], name, src_dir_fd=self.target_fd, dst_dir_fd=into, follow_symlinks=False)
        return True

    def _file(self, source: int, name: str, into: int, last: str, path: str) -> None:
        old = os.open(name, _READ, dir_fd=source)
        try:
            found = os.fstat(old)
            if not stat.S_ISREG(found.st_mode):
                raise BuildFailed(f"{path} changed while it was copied")
            try:
                new = os.open(last, _NEW, 0o600, dir_fd=into)
            except FileExistsError:
                _make_room(into, last, path)
                new = os.open(last, _NEW, 0o600, dir_fd=into)
            try:
                self._content(old, new, found)
                self._settle(old, new, found)
            finally:
                os.close(new)
        finally:
            os.close(old)

    def _content(self, old: int, new: int, found: os.stat_result) -> None:
        size = found.st_size
        if size <= _SMALL:
            data = os.read(old, _SMALL)
            if data:
                os.write(new, data)
            return
        if found.st_blocks * 512 >= size:
            self._range(old, new, 0, size)
            return
        for start, end in _data(old, size):
            self._range(old, new, start, end)
        os.ftruncate(new, size)

    def _range(self, old: int, new: int, at: int, end: int) -> None:
        """Copy a part of a file, by the kernel where it can."""
        while at < end:
            self.cancel.check()
            try:
                done = os.copy_file_range(old, new, min(_CHUNK, end - at), at, at)
            except OSError as error:
                if error.errno not in _NO_RANGES:
                    raise
                done = os.pwrite(new, os.pread(old, min(1 << 20, end - at), at), at)
            if not done:
                return  # it is shorter than it was
            at += done

    # What a file has besides its content

    def _settle(self, old: int, new: int, found: os.stat_result) -> None:
        owner = self.how.owner or (found.st_uid, found.st_gid)
        os.fchown(new, *owner)
        os.fchmod(new, self._mode(found))
        for key, value in xattrs_of(old).items():
            with suppress(OSError):  # a file system without them holds the file all the same
                os.setxattr(new, key, value)
        os.utime(new, ns=self._times(found))

    def _mode(self, found: os.stat_result) -> int:
        return self.how.mode(found.st_mode) if self.how.mode is not None else stat.S_IMODE(found.st_mode)

    def _times(self, found: os.stat_result) -> tuple[int, int]:
        if self.how.time_ns is not None:
            return self.how.time_ns, self.how.time_ns
        return found.st_atime_ns, found.st_mtime_ns


def _make_room(into: int, name: str, path: str) -> None:
    """Remove what is where a file is to be; BuildFailed for a folder."""
    try:
        os.unlink(name, dir_fd=into)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        if stat.S_ISDIR(os.lstat(name, dir_fd=into).st_mode):
            raise BuildFailed(f"cannot replace to directory {path} with file") from None
        raise


def _data(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield where a sparse file has data."""
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            if error.errno != errno.EINVAL:
                raise
            yield at, size  # a file system that doesn't tell
            return
        at = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        yield start, at
