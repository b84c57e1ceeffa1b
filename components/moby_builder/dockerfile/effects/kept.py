"""A kept folder: what was seen of a folder that somebody lends, so that only what changed has to come again.

What is the same by size, time, mode, owner and link is trusted to have the same content. What is there is written down
in an index with the digest of each file, so that nothing is hashed twice. The index is away while files change, unless
those who change them can say afterwards what there is.
"""

import errno
import marshal
import os
import stat
import sys
import zlib
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import define, field

from moby.contracts.builder import Entry
from moby.errors import HostUnfit, Invalid
from moby.host import tree
from moby_builder.dockerfile.effects.digesting import Digesting
from moby_builder.dockerfile.effects.listings import KeptListing, facts

__all__ = ["Index", "Reception"]

_INDEX = "index"
_FILES = "files"
_VERSION = f"1 {sys.version_info[:2]} {marshal.version}"
_LONGEST_PATH = 4095
_LONGEST_NAME = 255
_MOST_OPEN = 64
_TOLD_BYTES = 1 << 20
_NEW = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC

_WRONG = (OSError, OverflowError, ValueError)
"""What system calls raise: the latter two for numbers and names that no file has."""
_KINDS = {stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO}

_Same = tuple[Any, ...]
_Kept = tuple[_Same, str]
"""By what a file is known again, and what counts of it."""


@define
class Index:
    """What is in a kept folder, by path."""

    folder: Path
    entries: dict[str, _Kept] = field(factory=dict)

    @property
    def files(self) -> Path:
        """Where the files are."""
        return self.folder / _FILES

    @classmethod
    def of(cls, folder: Path) -> "Index":
        """Read it; where there is none, or none that can be relied on, the folder is emptied."""
        try:
            data = (folder / _INDEX).read_bytes()
            if int.from_bytes(data[:4], "big") == zlib.crc32(data[4:]):
                version, entries = marshal.loads(data[4:])  # noqa: S302 - a file of one's own, whose checksum is right
                if version == _VERSION and (folder / _FILES).is_dir():
                    return cls(folder, entries)
        except (OSError, ValueError, EOFError, TypeError):
            pass
        fd = os.open(folder, tree.DIRECTORY_FLAGS)
        try:
            tree.remove(fd, _FILES)
            os.mkdir(_FILES, 0o755, dir_fd=fd)
        finally:
            os.close(fd)
        return cls(folder)

    def forget(self) -> None:
        """Have what is there count for nothing, until it is written down again."""
        (self.folder / _INDEX).unlink(missing_ok=True)

    def write(self) -> None:
        """Write it down."""
        data = marshal.dumps((_VERSION, self.entries))
        new = self.folder / f"{_INDEX}.new"
        new.write_bytes(zlib.crc32(data).to_bytes(4, "big") + data)
        new.replace(self.folder / _INDEX)

    def listing(self) -> KeptListing:
        """Return what counts of its files."""
        size = sum(same[1] for same, _ in self.entries.values())
        return KeptListing({path: line for path, (_, line) in self.entries.items()}, size)


@define
class _Arriving:
    """A file whose content is coming."""

    entry: Entry
    same: _Same
    fd: int = -1
    digest: Digesting | None = None


class Reception:
    """Takes a folder into a kept one (see `moby.contracts.builder.Receiver`); then `finish`, or `give_up`.

    Invalid for names that lead out, that come twice or before their folder; nothing outside is touched, whatever comes.
    """

    def __init__(self, index: Index, told: Callable[[int], None] = lambda received_bytes: None) -> None:
        self._told = told
        self._index = index
        self._old = index.entries
        self._new: dict[str, _Kept] = {}
        self._root = os.open(index.files, tree.DIRECTORY_FLAGS)
        self._folders = {""}
        self._arriving: dict[str, _Arriving] = {}
        self._unsettled: set[str] = set()
        self._links: dict[str, str] = {}
        self._open: dict[str, int] = {}
        self._clean = True
        self._beside = ThreadPoolExecutor(1, "digests")  # begins its thread once there is something for it
        self.received_bytes = 0
        self._next = _TOLD_BYTES

    def entry(self, entry: Entry) -> bool:
        """Take the next entry; whether its content is wanted."""
        path = entry.path
        xattrs = tuple(sorted(entry.xattrs.items())) if entry.xattrs else ()
        same = (
            entry.time_ns, entry.size_bytes, entry.mode, entry.uid, entry.gid, entry.link, entry.device, xattrs,
        )  # fmt: skip
        if path.rpartition("/")[0] not in self._folders or path in self._new:
            raise Invalid(f"{path[:200]!r} comes twice, or before the folder that it is in")
        kept = self._old.get(path)
        if kept is not None and kept[0] == same and self._is_still(entry):
            self._new[path] = kept
            if entry.mode & 0o170000 == 0o040000:
                self._folders.add(path)
            return False
        try:
            return self._take(entry, same, kept)
        except _WRONG as error:
            raise _told(error, path) from error

    def content(self, path: str, chunk: bytes) -> None:
        """Take a piece of a wanted file; an empty one is its end."""
        file = self._arriving.get(path)
        if file is None:
            raise Invalid(f"{path[:200]!r} wasn't asked for")
        try:
            if file.digest is None:
                file.fd = os.open(path.rpartition("/")[2], _NEW, 0o600, dir_fd=self._above(path))
                file.digest = Digesting(self._beside)
            if chunk:
                file.digest.update(chunk)
                self.received_bytes += len(chunk)
                if self.received_bytes >= self._next:
                    self._next = self.received_bytes + _TOLD_BYTES
                    self._told(self.received_bytes)
                while chunk:
                    chunk = chunk[os.write(file.fd, chunk) :]
                return
            self._end(path, file)
        except _WRONG as error:
            raise _told(error, path) from error

    def finish(self) -> KeptListing:
        """Remove what isn't there any more, write down what is, and return it; Invalid where content is missing."""
        if self._arriving:
            raise Invalid(f"{next(iter(self._arriving))!r} wasn't received in full")
        gone = self._old.keys() - self._new.keys()
        try:
            if gone:
                self._change()
                self._old = {}
                self._remove(gone)
            self._settle()
        except _WRONG as error:
            raise _told(error, "") from error
        for path, target in self._links.items():
            self._new[path] = (self._new[path][0], self._new[target][1])
        self._index.entries = self._new
        if not self._clean:
            self._index.write()
        self._close()
        return self._index.listing()

    def give_up(self) -> None:
        """Leave what came whole, for the next time."""
        try:
            if not self._clean:
                for path in (*self._arriving, *self._links):
                    tree.remove(self._above(path), path.rpartition("/")[2])
                    self._new.pop(path, None)
                self._settle()
                self._index.entries = {**self._old, **self._new}
                self._index.write()
        except Exception:  # all of it comes again then
            self._index.forget()
        finally:
            self._close()

    # One entry

    def _is_still(self, entry: Entry) -> bool:
        """Whether what is here of an entry that hasn't changed is it: a hard link's target may have."""
        if not entry.link or stat.S_ISLNK(entry.mode):
            return True
        return entry.link in self._new and self._new[entry.link] is self._old.get(entry.link)

    def _take(self, entry: Entry, same: _Same, kept: _Kept | None) -> bool:
        path, name = entry.path, entry.path.rpartition("/")[2]
        if name in ("", ".", "..") or "\0" in path or len(path) > _LONGEST_PATH or len(name) > _LONGEST_NAME:
            raise Invalid(f"{path[:200]!r} is no path of a file inside a folder")
        kind = stat.S_IFMT(entry.mode)
        if kind not in _KINDS:
            raise Invalid(f"{path[:200]!r} is of no kind that can be kept")
        self._change()
        self._unsettled.add(path.rpartition("/")[0])
        if kept is not None and (kind != stat.S_IFDIR or not stat.S_ISDIR(kept[0][2])):
            self._remove({path})
            if stat.S_ISDIR(kept[0][2]):
                self._old = {key: value for key, value in self._old.items() if not key.startswith(f"{path}/")}
        self._old.pop(path, None)
        if kind == stat.S_IFREG and not entry.link:
            self._arriving[path] = _Arriving(entry, same)
            if not entry.size_bytes:
                self.content(path, b"")
            return bool(entry.size_bytes)
        self._make(entry, name, kind)
        self._new[path] = (same, _line(entry))
        return False

    def _make(self, entry: Entry, name: str, kind: int) -> None:
        """Make what has no content."""
        fd = self._above(entry.path)
        if kind == stat.S_IFDIR:
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=fd)
            self._unsettled.add(entry.path)
            self._folders.add(entry.path)
            return
        if kind == stat.S_IFREG:
            self._link(entry, name)
            return
        if kind == stat.S_IFLNK:
            os.symlink(entry.link, name, dir_fd=fd)
        else:
            os.mknod(name, kind | 0o600, os.makedev(*entry.device), dir_fd=fd)
        os.chown(name, entry.uid, entry.gid, dir_fd=fd, follow_symlinks=False)
        if kind != stat.S_IFLNK:
            os.chmod(name, stat.S_IMODE(entry.mode), dir_fd=fd)  # just made, and not a link
        os.utime(name, ns=(entry.time_ns, entry.time_ns), dir_fd=fd, follow_symlinks=False)

    def _link(self, entry: Entry, name: str) -> None:
        """Make one more name of an earlier file, whose content may be still to come."""
        target = self._links.get(entry.link, entry.link)
        arriving = self._arriving.get(target)
        known = self._new.get(target)
        if arriving is None and (known is None or not stat.S_ISREG(known[0][2])):
            raise Invalid(f"{entry.path[:200]!r} is a hard link to {entry.link[:200]!r}, which is no earlier file")
        above, last = os.dup(self._above(target)), target.rpartition("/")[2]
        try:
            if arriving is not None and arriving.fd < 0:
                os.close(os.open(last, _NEW, 0o600, dir_fd=above))
            os.link(last, name, src_dir_fd=above, dst_dir_fd=self._above(entry.path), follow_symlinks=False)
        finally:
            os.close(above)
        self._links[entry.path] = target

    def _end(self, path: str, file: _Arriving) -> None:
        entry = file.entry
        try:
            os.fchown(file.fd, entry.uid, entry.gid)
            os.fchmod(file.fd, stat.S_IMODE(entry.mode))
            for key, value in entry.xattrs.items():
                with suppress(OSError):  # a file system without them holds the file all the same
                    os.setxattr(file.fd, key, value)
            os.utime(file.fd, ns=(entry.time_ns, entry.time_ns))
        finally:
            os.close(file.fd)
            del self._arriving[path]
        assert file.digest is not None
        self._new[path] = (file.same, _line(entry, file.digest.hexdigest()))

    # The whole

    def _change(self) -> None:
        if self._clean:
            self._clean = False
            self._index.forget()

    def _remove(self, paths: Collection[str]) -> None:
        """Remove files and folders, with all below them."""
        self._close_folders()
        last = "\0"
        for path in sorted(paths, key=lambda each: each.replace("/", "\0")):
            if path.startswith(last):
                continue
            last = f"{path}/"
            self._unsettled.add(path.rpartition("/")[0])
            with suppress(FileNotFoundError, NotADirectoryError):
                tree.remove(self._above(path), path.rpartition("/")[2])

    def _settle(self) -> None:
        """Give the folders that changed, and those in which something did, what they are to have."""
        for path in sorted(self._unsettled - {""}, key=len, reverse=True):
            if path not in self._folders:
                continue  # it has gone with what was in it
            time_ns, _, mode, uid, gid, *_ = self._new[path][0]
            fd = os.open(path.rpartition("/")[2], tree.DIRECTORY_FLAGS, dir_fd=self._above(path))
            try:
                os.fchown(fd, uid, gid)
                os.fchmod(fd, stat.S_IMODE(mode))
                os.utime(fd, ns=(time_ns, time_ns))
            finally:
                os.close(fd)
        self._unsettled.clear()

    def _above(self, path: str) -> int:
        """Return a descriptor of the folder that a path is in, which stays this object's."""
        folder = path.rpartition("/")[0]
        if not folder:
            return self._root
        if folder in self._open:
            return self._open[folder]
        above = self._above(folder)
        fd = os.open(folder.rpartition("/")[2], tree.DIRECTORY_FLAGS, dir_fd=above)
        if len(self._open) >= _MOST_OPEN:
            self._close_folders()
        self._open[folder] = fd
        return fd

    def _close_folders(self) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()

    def _close(self) -> None:
        self._close_folders()
        for each in self._arriving.values():
            if each.fd >= 0:
                os.close(each.fd)
        self._arriving.clear()
        self._beside.shutdown()
        os.close(self._root)


def _line(entry: Entry, content: str = "") -> str:
    link = entry.link if stat.S_ISLNK(entry.mode) else ""
    return facts(
        entry.mode, (entry.uid, entry.gid), content=content, link=link, device=entry.device, xattrs=entry.xattrs
    )


def _told(error: Exception, path: str) -> HostUnfit | Invalid:
    if not isinstance(error, OSError):
        return Invalid(f"can't keep {path[:200]!r} of the client's folder: {error}")
    text = f"can't keep {path[:200]!r} of the client's folder: {error.strerror}"
    if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EEXIST, errno.ENAMETOOLONG):
        return Invalid(text)
    return HostUnfit(text, hint="see to the disk of the engine's root, and to the right to give files away")
