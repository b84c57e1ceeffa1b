"""Packing: a tree of files as entries of a layer, for `moby.oci.layer.write`.

The tree may be written meanwhile, by somebody hostile: every step goes by descriptor, and no link is followed. Entries
are sorted by name; files of several names become hard links to the first.
"""

import errno
import os
import stat
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from moby.errors import Invalid
from moby.host import tree
from moby.oci import layer
from moby.oci.digest import CHUNK_BYTES
from moby.oci.layer import EntryType, LayerEntry

__all__ = [
    "Entry", "Level", "OPAQUE", "OVERLAY", "WHITEOUT", "Packing", "is_opaque", "is_whiteout", "marks_of", "xattrs_of",
]  # fmt: skip

Entry = tuple[LayerEntry, Iterable[bytes]]
WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
OVERLAY = ("trusted.overlay.", "user.overlay.", "user.fuseoverlayfs.")
"""Beginnings of overlayfs's own attributes (kernel, filesystems/overlayfs), and of fuse-overlayfs's."""
_TRUSTED, _USERS = OVERLAY[:1], OVERLAY[1:2]
_KEPT = ("user.", "security.capability", "system.posix_acl_")
_DEEPEST = 1024
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_SWAPPED = (errno.ELOOP, errno.ENXIO)
"""What opening says of a link or a socket that somebody puts in a file's place meanwhile."""
_TYPES = {
    stat.S_IFREG: EntryType.FILE, stat.S_IFLNK: EntryType.SYMLINK, stat.S_IFCHR: EntryType.CHARACTER,
    stat.S_IFBLK: EntryType.BLOCK, stat.S_IFDIR: EntryType.DIRECTORY, stat.S_IFIFO: EntryType.FIFO,
}  # fmt: skip


def is_whiteout(found: os.stat_result) -> bool:
    """Say whether a file is how overlayfs writes `there is none`: a character device 0/0."""
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def marks_of(*, userxattr: bool, fuse: bool = False) -> tuple[str, ...]:
    """Return beginnings of those of its attributes that a mount of overlayfs goes by, first the one that it writes.

    All others are a program's inside, which may set them as it likes: without `userxattr` the kernel goes by trusted
    ones alone, with it by users' own, which it then keeps from programs. `fuse-overlayfs` keeps all from them.
    """
    written = _USERS if userxattr else _TRUSTED
    return tuple(dict.fromkeys((*written, *OVERLAY))) if fuse else written


def is_opaque(fd: int, marks: Sequence[str]) -> bool:
    """Say whether overlayfs that goes by these marks shows nothing of what is below a folder."""
    for prefix in marks:
        with suppress(OSError):
            if os.getxattr(fd, prefix + "opaque") == b"y":
                return True
    return False


def xattrs_of(fd: int | str) -> dict[str, bytes]:
    """Return the extended attributes that a layer carries: users' own, file capabilities, access control lists."""
    found: dict[str, bytes] = {}
    try:
        names = os.listxattr(fd)
    except OSError:  # a file system without them
        return found
    for name in names:
        if name.startswith(_KEPT) and not name.startswith(OVERLAY):
            with suppress(OSError):
                found[name] = os.getxattr(fd, name)
    return found


class Level(Protocol):
    """A folder on the way down; `above` is what paths in it begin with."""

    above: str

    def names(self) -> Iterator[tuple[str, bool, Sequence[int]]]:
        """Return the names that are left, sorted, each with whether it is a file, and the folders that have it."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class _Folder:
    """One that is as it is on disk."""

    def __init__(self, fd: int, above: str) -> None:
        self.fd = fd
        self.above = above
        self._left: Iterator[tuple[str, bool, Sequence[int]]] | None = None

    def names(self) -> Iterator[tuple[str, bool, Sequence[int]]]:
        """As a level has them."""
        if self._left is None:
            own = (self.fd,)
            with os.scandir(self.fd) as entries:
                self._left = iter(sorted((each.name, each.is_file(follow_symlinks=False), own) for each in entries))
        return self._left

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)


class Packing:
    """A tree on its way into a layer.

    `upper` says that it is overlayfs's, and by which marks: what that hides is written as whiteouts. `only` chooses
    paths; a folder that it leaves out is still looked into. `base` is the root's own path, below which all others are.
    """

    def __init__(
        self, root_fd: int, *, upper: Sequence[str] = (), only: Callable[[str], bool] | None = None, base: str = ""
    ) -> None:
        self.root_fd = root_fd
        self.upper = upper
        self.only = only
        self.base = base
        self._links: dict[tuple[int, int], str] = {}
        self._streams = False

    def stream(self) -> Generator[bytes, None, None]:
        """Yield the layer in chunks, most files without a value for each; the descriptor stays the caller's."""
        self._streams = True
        return layer.stream(self.entries())

    def entries(self) -> Iterator[Entry]:
        """Yield the entries, the root's own first; the descriptor stays the caller's."""
        root = os.fstat(self.root_fd)
        if self.only is None or self.only(self.base):
            yield self._described(self.base, root, EntryType.DIRECTORY, xattrs=xattrs_of(self.root_fd)), ()
        yield from self._below(_Folder(os.open(".", tree.DIRECTORY_FLAGS, dir_fd=self.root_fd), self._above()))

    def _above(self) -> str:
        """Return what all paths below the root begin with."""
        return f"{self.base}/" if self.base and self.base != "/" else self.base

    def _below(self, first: Level) -> Iterator[Entry]:
        """Yield all below a folder, which this call closes; depth costs descriptors, but no stack."""
        levels = [first]
        try:
            while levels:
                level = levels[-1]
                for name, is_file, folders in level.names():
                    inner = level.above + name
                    with suppress(FileNotFoundError):  # it went meanwhile
                        if not is_file:
                            below = yield from self._met(name, folders, inner)
                            if below is not None:
                                levels.append(below)
                                _check_depth(levels, inner)
                                break
                        elif self.only is None or self.only(inner):
                            yield from self._file(folders[0], name, inner)
                else:
                    levels.pop().close()
        finally:
            for each in levels:
                each.close()

    def _met(self, name: str, folders: Sequence[int], path: str) -> Generator[Entry, None, Level | None]:
        """Yield what a name that is no file comes to; return the folder that is to be looked into."""
        folder = yield from self._one(folders[0], name, path)
        return _Folder(folder, f"{path}/") if folder is not None else None

    def _one(self, fd: int, name: str, path: str) -> Generator[Entry, None, int | None]:
        """Yield what isn't a file, and return the descriptor of a folder, which is the caller's to look into."""
        found = os.lstat(name, dir_fd=fd)
        kind = _TYPES.get(stat.S_IFMT(found.st_mode))
        if kind is None:
            return None  # sockets, which no layer holds
        wanted = self.only is None or self.only(path)
        if self.upper and is_whiteout(found):
            if wanted:
                above, _, last = path.rpartition("/")
                whiteout = f"{above}/{WHITEOUT}{last}" if above else WHITEOUT + last
                yield LayerEntry(whiteout, mtime_ns=max(0, found.st_mtime_ns)), ()
            return None
        if kind is EntryType.DIRECTORY:
            return (yield from self._folder(fd, name, path, wanted))
        if wanted:
            yield from self._leaf(fd, name, path, found, kind)
        return None

    def _folder(self, fd: int, name: str, path: str, wanted: bool) -> Generator[Entry, None, int]:
        inner = os.open(name, tree.DIRECTORY_FLAGS, dir_fd=fd)
        try:
            found = os.fstat(inner)
            if wanted:
                yield self._described(path, found, EntryType.DIRECTORY, xattrs=xattrs_of(inner)), ()
                if self.upper and is_opaque(inner, self.upper):
                    yield LayerEntry(f"{path}/{OPAQUE}", mtime_ns=max(0, found.st_mtime_ns)), ()
        except BaseException:
            os.close(inner)
            raise
        return inner

    def _leaf(self, fd: int, name: str, path: str, found: os.stat_result, kind: EntryType) -> Iterable[Entry]:
        if kind is EntryType.FILE:
            return self._file(fd, name, path)
        if (first := self._first(found, path)) is not None:
            return ((self._described(path, found, EntryType.HARDLINK, link=first), ()),)
        if kind is EntryType.SYMLINK:
            return ((self._described(path, found, kind, link=os.readlink(name, dir_fd=fd)), ()),)
        device = (os.major(found.st_rdev), os.minor(found.st_rdev)) if kind is not EntryType.FIFO else (0, 0)
        return ((self._described(path, found, kind, device=device), ()),)

    def _first(self, found: os.stat_result, path: str) -> str | None:
        """Return by which path a file of several names came already; None where this is the first."""
        if found.st_nlink == 1:
            return None
        first = self._links.setdefault((found.st_dev, found.st_ino), path)
        return first if first != path else None

    def _file(self, fd: int, name: str, path: str) -> Iterable[Entry]:
        """Return what a file comes to, its bytes read unless they are many; nothing where it was swapped meanwhile."""
        try:
            file = os.open(name, _FILE_FLAGS, dir_fd=fd)
        except OSError as error:
            if error.errno in _SWAPPED or _is_device(fd, name):
                return ()
            raise
        is_large = False
        try:
            found = os.fstat(file)
            size = found.st_size
            if not stat.S_ISREG(found.st_mode):
                return ()  # swapped as well
            if (first := self._first(found, path)) is not None:  # attributes too, which dockerd's chown takes away
                return ((self._described(path, found, EntryType.HARDLINK, link=first, xattrs=xattrs_of(file)), ()),)
            mode, time_ns, xattrs = stat.S_IMODE(found.st_mode), max(0, found.st_mtime_ns), xattrs_of(file)
            is_large = size > CHUNK_BYTES
            data = b"" if is_large else os.read(file, size)
            if self._streams and not xattrs and len(data) == size:
                pieces = layer.ready(path, mode, (found.st_uid, found.st_gid), time_ns, data)
                if pieces:
                    return ((layer.READY, pieces),)
            entry = LayerEntry(
                path, EntryType.FILE, mode, found.st_uid, found.st_gid, size, time_ns, "", (0, 0), xattrs,
            )  # fmt: skip
            return _large(entry, file) if is_large else ((entry, (data,)),)
        finally:
            if not is_large:
                os.close(file)

    def _described(self, path: str, found: os.stat_result, kind: EntryType, **more: object) -> LayerEntry:
        return LayerEntry(
            path, kind, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, mtime_ns=max(0, found.st_mtime_ns),
            **more,  # type: ignore[arg-type]
        )  # fmt: skip


def _check_depth(levels: Sequence[Level], path: str) -> None:
    """Invalid for a path below more folders than a layer may have, each of which keeps a descriptor."""
    if len(levels) > _DEEPEST:
        raise Invalid(f"{path[:60]}... is nested deeper than {_DEEPEST} folders", hint="move it up, or remove it")


def _is_device(fd: int, name: str) -> bool:
    """Say whether somebody has put a device in a file's place, which a mount may keep from being opened."""
    mode = os.lstat(name, dir_fd=fd).st_mode
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def _large(entry: LayerEntry, fd: int) -> Iterator[Entry]:
    """Yield a file that is read as its bytes are asked for, and close it then."""
    try:
        yield entry, _chunks(fd, entry.size_bytes)
    finally:
        os.close(fd)


def _chunks(fd: int, size_bytes: int) -> Iterator[bytes]:
    """Yield a file's bytes, as many as it had when it was looked at; one that is shorter by now ends early."""
    left = size_bytes
    while left and (chunk := os.read(fd, min(left, CHUNK_BYTES))):
        left -= len(chunk)
        yield chunk
