"""Unpacking one layer for overlayfs: into a folder of its own, with the layers below only looked at.

What it hides is written as overlayfs reads it (kernel, filesystems/overlayfs): a character device 0/0 in place of one
name, an attribute on a folder that shows nothing of what is below. Merged with the layers below it shows just what
`Unpacking` would have made of all of them: a link below on the way is followed, a folder below that the layer doesn't
describe keeps its attributes, and a hard link to a file below brings that file up.
"""

import errno
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress

from moby.errors import HostUnfit, Invalid
from moby.host import tree
from moby.oci import holes
from moby.oci.digest import CHUNK_BYTES
from moby.oci.layer import LayerEntry
from moby.oci.pack import OPAQUE, WHITEOUT, is_opaque, is_whiteout, marks_of, xattrs_of
from moby.oci.unpack import Canonical, Limits, Meta, Unpacking, meta_of

__all__ = ["UpperUnpacking"]

_AUFS = ".wh..wh."
_MARKS = marks_of(userxattr=False)


class UpperUnpacking(Unpacking):
    """One layer on its way into an overlay's upper folder: apply it, then finish.

    `lowers` returns descriptors of the folders below, the topmost first, which are the caller's. It is called once, and
    only when something below must be looked at: by then those must be whole. `marks` are what overlayfs goes by there.
    """

    def __init__(
        self, root_fd: int, owners: bool, limits: Limits | None = None, *,
        lowers: Callable[[], tuple[int, ...]] = tuple, marks: Sequence[str] = _MARKS,
    ) -> None:  # fmt: skip
        super().__init__(root_fd, owners, limits)
        self.marks = marks
        self._ask = lowers
        self._lowers: tuple[int, ...] | None = None
        self._covered: set[Canonical] = set()
        self._opaque: set[Canonical] = set()

    @property
    def lowers(self) -> tuple[int, ...]:
        """The folders below."""
        if self._lowers is None:
            self._lowers = self._ask()
        return self._lowers

    def _root(self) -> Meta:
        return meta_of(self.lowers[0]) if self.lowers else super()._root()

    def _whiteout(self, parts: list[str], name: str) -> None:
        if any(part.startswith(_AUFS) for part in parts) or (name.startswith(_AUFS) and name != OPAQUE):
            return  # aufs's own records, which mean nothing elsewhere
        hidden = name.removeprefix(WHITEOUT)
        if hidden in ("", ".", ".."):
            raise Invalid(f"whiteout {'/'.join([*parts, name])!r} names nothing")
        where = self._walk(parts)
        if name == OPAQUE:
            self._hide_below(where)
            return
        self._cover((*where, hidden))

    def _mark(self, path: Canonical) -> None:
        """Remember nothing: whatever is in the folder, this layer brought."""

    def _cover(self, path: Canonical) -> None:
        """Hide one name of what is below, but nothing that this layer brought."""
        fd = self._folder(path[:-1])
        try:
            found = os.lstat(path[-1], dir_fd=fd)
        except FileNotFoundError:
            os.mknod(path[-1], stat.S_IFCHR, 0, dir_fd=fd)
            self._covered.add(path)
            return
        if stat.S_ISDIR(found.st_mode):
            self._hide_below(path)

    def _hide_below(self, path: Canonical) -> None:
        self._opaque.add(path)
        if path:
            self._set_opaque(path)
            return
        for lower in self.lowers:  # overlayfs looks for no attribute on its root
            for name in os.listdir(lower):  # noqa: PTH208  # a descriptor has no Path
                self._cover((name,))

    def _set_opaque(self, path: Canonical) -> None:
        try:
            os.setxattr(self._folder(path), f"{self.marks[0]}opaque", b"y")
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            hint = "the file system of the --root lacks extended attributes; use a --root on another one"
            raise HostUnfit(f"can't hide what is below {'/'.join(path)!r}: {error.strerror}", hint=hint) from error

    def _make_folder(self, path: Canonical, meta: Meta) -> None:
        with suppress(FileNotFoundError):
            if not stat.S_ISDIR(os.lstat(path[-1], dir_fd=self._folder(path[:-1])).st_mode):
                super()._make_folder(path, meta)
                self._covered.discard(path)
                self._hide_below(path)
                return
        super()._make_folder(path, meta)

    def _enter(self, path: Canonical, make: bool) -> str | None:
        if self._is_covered(path):
            if not make:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/".join(path))
            self._make_folder(path, Meta())
            self._mark(path)
        return super()._enter(path, make)

    def _is_covered(self, path: Canonical) -> bool:
        """Whether a name of what is below is hidden, and nothing took its place since."""
        if path not in self._covered:
            return False
        with suppress(FileNotFoundError):
            if is_whiteout(os.lstat(path[-1], dir_fd=self._folder(path[:-1]))):
                return True
        self._covered.discard(path)
        return False

    def _missing(self, path: Canonical, make: bool) -> Meta | str:
        found = self._below(path)
        if found is None:
            return super()._missing(path, make)
        fd, seen = found
        try:
            if stat.S_ISLNK(seen.st_mode):
                return os.readlink(path[-1], dir_fd=fd)
            if not stat.S_ISDIR(seen.st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), "/".join(path))
            inside = os.open(path[-1], tree.DIRECTORY_FLAGS, dir_fd=fd)
            try:
                return meta_of(inside)
            finally:
                os.close(inside)
        finally:
            os.close(fd)

    def _uncover(self, path: Canonical) -> None:
        """Bring a file below up, so that a hard link can point to it."""
        if self._is_covered(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/".join(path))
        with suppress(FileNotFoundError):
            os.lstat(path[-1], dir_fd=self._folder(path[:-1]))
            return
        found = self._below(path)
        if found is None:
            return
        below, seen = found
        try:
            self._bring(path, below, seen)
        finally:
            os.close(below)

    def _bring(self, path: Canonical, below: int, seen: os.stat_result) -> None:
        fd, name = self._folder(path[:-1]), path[-1]
        kind = stat.S_IFMT(seen.st_mode)
        if kind == stat.S_IFREG:
            self._bring_file(fd, name, below)
        elif kind == stat.S_IFLNK:
            os.symlink(os.readlink(name, dir_fd=below), name, dir_fd=fd)
        elif kind == stat.S_IFDIR:
            raise Invalid(f"hard link to {'/'.join(path)!r}, which is a folder")
        else:
            os.mknod(name, seen.st_mode, seen.st_rdev, dir_fd=fd)
        if self.owners and kind != stat.S_IFREG:
            os.chown(name, seen.st_uid, seen.st_gid, dir_fd=fd, follow_symlinks=False)
        if kind != stat.S_IFLNK:
            os.chmod(name, stat.S_IMODE(seen.st_mode), dir_fd=fd)  # just made, and not a link
        os.utime(name, ns=(seen.st_mtime_ns, seen.st_mtime_ns), dir_fd=fd, follow_symlinks=False)
        self._mark(path)

    def _bring_file(self, fd: int, name: str, below: int) -> None:
        source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=below)
        try:
            found = os.fstat(source)
            self._count(LayerEntry(name, size_bytes=found.st_size))
            out = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=fd)
            try:
                holes.pour(out, iter(lambda: os.read(source, CHUNK_BYTES), b""))
                if self.owners:
                    os.fchown(out, found.st_uid, found.st_gid)  # before capabilities, which it takes away
                self._xattrs(xattrs_of(source), out)
            finally:
                os.close(out)
        finally:
            os.close(source)

    def _below(self, path: Canonical) -> tuple[int, os.stat_result] | None:
        """Return what the layers below show at a path, and a descriptor of the folder that it is in."""
        if any(path[:depth] in self._opaque for depth in range(len(path))):
            return None
        for lower in self.lowers:
            fd, opaque = os.dup(lower), False
            try:
                for name in path[:-1]:
                    inner = os.open(name, tree.DIRECTORY_FLAGS, dir_fd=fd)
                    os.close(fd)
                    fd = inner
                    opaque = opaque or is_opaque(fd, self.marks)
                found = os.lstat(path[-1], dir_fd=fd)
                if not is_whiteout(found):
                    held, fd = fd, -1
                    return held, found
            except FileNotFoundError:
                if not opaque:
                    continue
            except OSError as error:
                if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                    raise
            finally:
                if fd >= 0:
                    os.close(fd)
            return None  # something there hides what is further below
        return None
