"""Archives of what is at a path in a container, and archives unpacked there (docker cp)."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import BinaryIO

from attrs import define, field, frozen

from moby.errors import Conflict, HostUnfit, Invalid
from moby.host import tree
from moby.host.mounts import open_in_root
from moby.oci.compression import plain
from moby.oci.layer import EntryType, LayerEntry, read
from moby.oci.pack import xattrs_of
from moby.values import evolve
from moby_containers.engine.views import make_folders

__all__ = ["Piece", "Unpacked", "single", "unpack"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK_BYTES = 1 << 20
_OF_THE_PLACE = frozenset({errno.EROFS, errno.EBUSY, errno.EPERM, errno.EACCES})
"""Errors for which no other archive would help: a mount is read-only, or there, or a file may not be changed."""
_XATTRS = ("user.", "security.capability", "system.posix_acl_")

Piece = tuple[LayerEntry, Iterable[bytes]]


def single(parent_fd: int, name: str, base: str) -> Iterator[Piece]:
    """Yield the entry of what is no folder, under another name; a link is a link."""
    found = os.lstat(name, dir_fd=parent_fd)
    mode = stat.S_IMODE(found.st_mode)
    plain = LayerEntry(base, EntryType.FILE, mode, found.st_uid, found.st_gid, mtime_ns=max(0, found.st_mtime_ns))
    if stat.S_ISLNK(found.st_mode):
        yield evolve(plain, type=EntryType.SYMLINK, link=os.readlink(name, dir_fd=parent_fd)), ()
    elif stat.S_ISREG(found.st_mode):
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=parent_fd)
        try:
            size = os.fstat(fd).st_size
            yield evolve(plain, size_bytes=size, xattrs=xattrs_of(fd)), _chunks(fd, size)
        finally:
            os.close(fd)
    elif stat.S_ISFIFO(found.st_mode):
        yield evolve(plain, type=EntryType.FIFO), ()
    elif stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
        kind = EntryType.CHARACTER if stat.S_ISCHR(found.st_mode) else EntryType.BLOCK
        yield evolve(plain, type=kind, device=(os.major(found.st_rdev), os.minor(found.st_rdev))), ()


def _chunks(fd: int, size: int) -> Iterator[bytes]:
    left = size
    while left and (chunk := os.read(fd, min(left, _CHUNK_BYTES))):
        left -= len(chunk)
        yield chunk


@frozen
class Unpacked:
    """How an archive is to be unpacked."""

    keep_types: bool = False
    owner: tuple[int, int] | None = None
    """Whose the files become; None is as the archive says."""


def unpack(source: BinaryIO, root_fd: int, folder: str, how: Unpacked) -> None:
    """Unpack a tar into a folder inside a root, out of which no link leads, be it there or in the archive."""
    writer = _Writer(root_fd, folder.rstrip("/"), how)
    for entry, content in read(plain(source)):
        try:
            writer.put(entry, content)
        except OSError as error:
            kind = HostUnfit if error.errno in _OF_THE_PLACE else Invalid
            raise kind(f"{entry.path!r} can't be unpacked: {(error.strerror or '').lower()}") from error
        except Conflict as error:  # what is in its place can't be removed
            raise HostUnfit(f"{entry.path!r} can't be unpacked: {error.message}") from error
    writer.finish()


@define
class _Writer:
    root_fd: int
    folder: str
    how: Unpacked
    times: list[tuple[str, int]] = field(factory=list)

    def put(self, entry: LayerEntry, content: Iterable[bytes | memoryview]) -> None:
        """Make one entry, in the place of what is there."""
        above, _, name = entry.path.rpartition("/")
        if not name:
            return
        parent = make_folders(self.root_fd, f"{self.folder}/{above}")
        try:
            if not self._clear(parent, name, entry):
                self._make(parent, name, entry, content)
            if entry.type is EntryType.DIRECTORY:
                self.times.append((f"{self.folder}/{entry.path}", entry.mtime_ns))
        finally:
            os.close(parent)

    def _clear(self, parent: int, name: str, entry: LayerEntry) -> bool:
        """Make room; True for a folder that is there and stays, with the entry's owner and mode."""
        try:
            found = os.lstat(name, dir_fd=parent)
        except FileNotFoundError:
            return False
        was, becomes = stat.S_ISDIR(found.st_mode), entry.type is EntryType.DIRECTORY
        if self.how.keep_types and was != becomes:
            first, second = ("directory", "non-directory") if was else ("non-directory", "directory")
            raise Invalid(f'cannot overwrite {first} "{self.folder}/{entry.path}" with {second} "{self.folder}"')
        if was and becomes:
            fd = os.open(name, _FOLDER, dir_fd=parent)
            try:
                self._finish(fd, entry)
            finally:
                os.close(fd)
            return True
        if was:
            tree.remove(parent, name)
        else:
            os.unlink(name, dir_fd=parent)
        return False

    def _make(self, parent: int, name: str, entry: LayerEntry, content: Iterable[bytes | memoryview]) -> None:
        kind = entry.type
        if kind is EntryType.FILE:
            self._file(parent, name, entry, content)
        elif kind is EntryType.DIRECTORY:
            os.mkdir(name, 0o700, dir_fd=parent)
            fd = os.open(name, _FOLDER, dir_fd=parent)
            try:
                self._finish(fd, entry)
            finally:
                os.close(fd)
        elif kind is EntryType.HARDLINK:
            self._hard_link(parent, name, entry)
        else:
            self._special(parent, name, entry)

    def _file(self, parent: int, name: str, entry: LayerEntry, content: Iterable[bytes | memoryview]) -> None:
        fd = os.open(name, _NEW, 0o600, dir_fd=parent)
        try:
            for chunk in content:
                view = memoryview(chunk)
                while view:
                    view = view[os.write(fd, view) :]
            self._finish(fd, entry)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(fd)

    def _hard_link(self, parent: int, name: str, entry: LayerEntry) -> None:
        above, _, last = entry.link.rpartition("/")
        there = open_in_root(self.root_fd, f"{self.folder}/{above}", _FOLDER & ~os.O_NOFOLLOW)
        try:
            os.link(last, name, src_dir_fd=there, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(there)

    def _special(self, parent: int, name: str, entry: LayerEntry) -> None:
        kind = entry.type
        if kind is EntryType.SYMLINK:
            os.symlink(entry.link, name, dir_fd=parent)
        elif kind is EntryType.FIFO:
            os.mkfifo(name, 0o600, dir_fd=parent)
        else:
            type_ = stat.S_IFCHR if kind is EntryType.CHARACTER else stat.S_IFBLK
            os.mknod(name, type_ | 0o600, os.makedev(*entry.device), dir_fd=parent)
        os.chown(name, *self._owner(entry), dir_fd=parent, follow_symlinks=False)
        if kind is not EntryType.SYMLINK:
            tree.set_mode(parent, name, entry.mode)
        os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent, follow_symlinks=False)

    def _owner(self, entry: LayerEntry) -> tuple[int, int]:
        return self.how.owner or (entry.uid, entry.gid)

    def _finish(self, fd: int, entry: LayerEntry) -> None:
        os.fchown(fd, *self._owner(entry))
        os.fchmod(fd, entry.mode)
        self._set_attributes(fd, entry.xattrs)

    def _set_attributes(self, fd: int, found: Mapping[str, bytes]) -> None:
        for name, value in found.items():
            if name.startswith(_XATTRS) and not name.startswith("user.overlay."):
                with suppress(OSError):  # a file system without them
                    os.setxattr(fd, name, value)

    def finish(self) -> None:
        """Give the folders their times, the deepest first."""
        for path, mtime_ns in sorted(self.times, reverse=True):
            with suppress(OSError):
                fd = open_in_root(self.root_fd, path, _FOLDER)
                try:
                    os.utime(fd, ns=(mtime_ns, mtime_ns))
                finally:
                    os.close(fd)
