"""Unpacking: layers that nobody vouches for, applied to a folder (image-spec, layer.md, applying changesets).

Every path is walked from the root by descriptor, with links resolved as if that root were `/`; so nothing outside is
read, written or removed, whatever the layers hold.
"""

import errno
import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import BinaryIO

from moby.errors import HostUnfit, Invalid
from moby.host import tree
from moby.host.user_maps import is_host_root
from moby.oci import holes, layer
from moby.oci.layer import EntryType, LayerEntry
from moby.oci.pack import OVERLAY, xattrs_of
from moby.values import field, frozen

__all__ = ["Limits", "Meta", "Unpacking", "meta_of"]

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_AUFS = ".wh..wh."
_MOST_LINKS = 40
_DEEPEST = 1024
_OPEN_FOLDERS = 64
_PERMISSIONS = 0o777
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_HOST = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM}

Canonical = tuple[str, ...]
_Chunks = Iterable[bytes | memoryview]


@frozen
class Limits:
    """What an image may come to before it is refused."""

    bytes: int = 64 << 30
    entries: int = 4_000_000


@frozen
class Meta:
    """What a folder gets once nothing more is written into it."""

    mode: int = 0o755
    uid: int = 0
    gid: int = 0
    mtime_ns: int | None = None
    xattrs: Mapping[str, bytes] = field(factory=dict)


@frozen
class _News:
    """What a new file in some folder has at once: access control lists there, and the umask, take bits away."""

    uid: int
    gid: int
    bits: int

    @staticmethod
    def of(found: os.stat_result) -> "_News":
        """Return what the first one shows; permissions that it wasn't made with may be taken away or not."""
        return _News(found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))


class Unpacking:
    """An image on its way into a folder: apply its layers, lowest first, then finish.

    `owners` keeps the layers' owners and device nodes, which takes root; without, all is the caller's own and device
    nodes are left out. `literal` takes names that hide others in a layer for what they are in any other archive. Not
    thread-safe; nobody else may write to the folder meanwhile.
    """

    def __init__(self, root_fd: int, owners: bool, limits: Limits | None = None, *, literal: bool = False) -> None:
        self.root_fd = root_fd
        self.owners = owners
        self.limits = limits or Limits()
        self._hides = not literal
        self._folders: dict[Canonical, int] = {}
        self._metas: dict[Canonical, Meta] = {}
        self._walked: dict[str, Canonical] = {}
        self._news: dict[Canonical, _News] = {}
        self._fresh: set[Canonical] = set()
        self._bytes = 0
        self._entries = 0

    @property
    def size_bytes(self) -> int:
        """Of all files so far."""
        return self._bytes

    @property
    def entries(self) -> int:
        """How many there were so far."""
        return self._entries

    def keep_root(self) -> None:
        """Leave the root's own mode, owner and times, where no layer says otherwise."""
        self._metas[()] = meta_of(self.root_fd)

    def apply(self, source: BinaryIO) -> None:
        """Apply one uncompressed layer; Invalid for one that is hostile or damaged, HostUnfit where space ends."""
        self.take(layer.read(source))

    def take(self, entries: Iterable[tuple[LayerEntry, _Chunks]]) -> None:
        """Apply what a layer would hold, from whoever has read it, or a tree; errors as `apply`."""
        self._fresh = set()
        try:
            for entry, content in entries:
                self._count(entry)
                try:
                    self._entry(entry, content)
                except OSError as error:
                    raise _translated(error, entry.path) from error
        finally:
            self._forget()

    def finish(self) -> None:
        """Give the folders their modes, owners and times."""
        try:
            if () not in self._metas:
                self._metas[()] = self._root()
            for path in sorted(self._metas, key=len, reverse=True):
                self._settle(path, self._metas[path])
        finally:
            self._forget()

    def _root(self) -> Meta:
        """Return what the root is to be, which no layer described."""
        return Meta()

    def _count(self, entry: LayerEntry) -> None:
        self._bytes += entry.size_bytes
        self._entries += 1
        if self._bytes > self.limits.bytes:
            raise Invalid(f"image unpacks to more than {self.limits.bytes} bytes", hint="raise the limit if it may")
        if self._entries > self.limits.entries:
            raise Invalid(f"image holds more than {self.limits.entries} files", hint="raise the limit if it may")

    def _entry(self, entry: LayerEntry, content: _Chunks) -> None:
        above, _, name = entry.path.rpartition("/")
        where = self._walked.get(above)
        plain = entry.type is EntryType.FILE and not (self._hides and name.startswith(_WHITEOUT))
        if where is not None and name and plain:
            self._file(entry, content, where, name)
            self._mark((*where, name))
            return
        parts = above.split("/") if above else []
        if not name:
            if entry.type is EntryType.DIRECTORY:
                self._metas[()] = _meta(entry)
            return
        if self._hides and (name.startswith(_WHITEOUT) or any(part.startswith(_AUFS) for part in parts)):
            self._whiteout(parts, name)
            return
        where = self._walk(parts)
        if list(where) == parts:  # no link on the way, which somebody could cover
            self._walked[above] = where
        path = (*where, name)
        if entry.type is EntryType.HARDLINK:
            self._hardlink(entry, path)
        elif entry.type is EntryType.DIRECTORY:
            self._make_folder(path, _meta(entry))
        elif entry.type is EntryType.FILE:
            self._file(entry, content, where, name)
        else:
            self._clear(path)
            self._make(entry, self._folder(path[:-1]), name)
        self._mark(path)

    def _new_file(self, where: Canonical, name: str, mode: int) -> int:
        """Return a descriptor of a new file; where something is, which is rare, it makes room first."""
        try:
            return os.open(name, _NEW_FILE, mode, dir_fd=self._folder(where))
        except FileExistsError:
            self._clear((*where, name))
            return os.open(name, _NEW_FILE, mode, dir_fd=self._folder(where))

    def _make(self, entry: LayerEntry, fd: int, name: str) -> None:
        """Make what is neither a folder nor a file nor a hard link."""
        if entry.type is EntryType.SYMLINK:
            os.symlink(entry.link, name, dir_fd=fd)
        elif entry.type is EntryType.FIFO:
            os.mkfifo(name, 0o600, dir_fd=fd)
        elif not self._device(entry, fd, name):
            return
        if self.owners:
            os.chown(name, entry.uid, entry.gid, dir_fd=fd, follow_symlinks=False)
        if entry.type is not EntryType.SYMLINK:
            os.chmod(name, entry.mode, dir_fd=fd)  # just made, and not a link
        os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=fd, follow_symlinks=False)

    def _device(self, entry: LayerEntry, fd: int, name: str) -> bool:
        """Make a device node, where that is allowed; the kernel allows none in a user namespace."""
        kind = stat.S_IFCHR if entry.type is EntryType.CHARACTER else stat.S_IFBLK
        try:
            if self.owners:
                os.mknod(name, kind | 0o600, os.makedev(*entry.device), dir_fd=fd)
        except PermissionError:
            return False
        return self.owners

    def _file(self, entry: LayerEntry, content: _Chunks, where: Canonical, name: str) -> None:
        """Make and fill a file, which is never open to more than in the end; what it has untold, it isn't told."""
        news = self._news.get(where)
        out = self._new_file(where, name, entry.mode & _PERMISSIONS)
        try:
            if news is None:
                news = self._news[where] = _News.of(os.fstat(out))
            holes.pour(out, content)
            if self.owners and (entry.uid != news.uid or entry.gid != news.gid):
                os.fchown(out, entry.uid, entry.gid)
            if entry.mode & ~news.bits:
                os.fchmod(out, entry.mode)
            if entry.xattrs:
                self._xattrs(entry.xattrs, out)
            os.utime(out, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(out)

    def _xattrs(self, xattrs: Mapping[str, bytes], out: int) -> None:
        """Set what a program inside may rely on; never `trusted.`, by which overlayfs could be led astray."""
        for key, value in xattrs.items():
            if _is_kept(key) and (self.owners or key.startswith("user.")):
                with suppress(OSError):  # a file system without them holds the image all the same
                    os.setxattr(out, key, value)

    def _hardlink(self, entry: LayerEntry, path: Canonical) -> None:
        above, _, name = entry.link.rpartition("/")
        if not name:
            raise Invalid(f"hard link {entry.path!r} points to the root")
        where = self._walk(above.split("/") if above else [], make=False)
        if (*where, name) == path:
            return
        self._uncover((*where, name))
        source_fd = os.dup(self._folder(where))
        try:
            found = os.lstat(name, dir_fd=source_fd)
            if stat.S_ISDIR(found.st_mode):
                raise Invalid(f"hard link {entry.path!r} points to a folder")
            self._clear(path)
            fd = self._folder(path[:-1])
            os.link(name, path[-1], src_dir_fd=source_fd, dst_dir_fd=fd, follow_symlinks=False)
        finally:
            os.close(source_fd)
        if self.owners and (entry.uid, entry.gid) != (found.st_uid, found.st_gid):  # which takes capabilities away
            os.chown(path[-1], entry.uid, entry.gid, dir_fd=fd, follow_symlinks=False)
        if entry.xattrs and stat.S_ISREG(found.st_mode):
            self._linked_xattrs(entry.xattrs, path[-1], fd)
        if not stat.S_ISLNK(found.st_mode):  # whose time stays too, as with Docker
            os.chmod(path[-1], entry.mode, dir_fd=fd)
            os.utime(path[-1], ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=fd, follow_symlinks=False)

    def _linked_xattrs(self, xattrs: Mapping[str, bytes], name: str, fd: int) -> None:
        with suppress(PermissionError):  # a file that its own user may not read has what its first name gave it
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            try:
                self._xattrs(xattrs, file)
            finally:
                os.close(file)

    def _uncover(self, path: Canonical) -> None:
        """Bring what a hard link is to point to, where it isn't here yet."""

    def _whiteout(self, parts: list[str], name: str) -> None:
        """Hide what lower layers hold, and keep what this one brought already."""
        if any(part.startswith(_AUFS) for part in parts) or (name.startswith(_AUFS) and name != _OPAQUE):
            return  # aufs's own records, which mean nothing elsewhere
        hidden = name.removeprefix(_WHITEOUT)
        if hidden in ("", ".", ".."):
            raise Invalid(f"whiteout {'/'.join([*parts, name])!r} names nothing")
        try:
            where = self._walk(parts, make=False)
        except FileNotFoundError:
            return
        pending = self._hide((*where, hidden)) if name != _OPAQUE else [where]
        while pending:
            folder = pending.pop()
            inside = os.listdir(self._folder(folder))  # noqa: PTH208  # a descriptor has no Path
            for each in sorted(inside):
                pending += self._hide((*folder, each))

    def _hide(self, path: Canonical) -> list[Canonical]:
        """Remove what a lower layer brought; return a folder that is this layer's own, to look into."""
        if path not in self._fresh:
            self._remove(path)
            return []
        is_folder = stat.S_ISDIR(os.lstat(path[-1], dir_fd=self._folder(path[:-1])).st_mode)
        return [path] if is_folder else []

    def _remove(self, path: Canonical) -> None:
        """Remove a whole tree, of which some folders may be kept open."""
        self._forget()
        tree.remove(self._folder(path[:-1]), path[-1])

    def _mark(self, path: Canonical) -> None:
        """Remember a path, and all above it, as this layer's own."""
        while path and path not in self._fresh:
            self._fresh.add(path)
            path = path[:-1]

    def _clear(self, path: Canonical) -> None:
        """Make room for an entry where something is; usually nothing is."""
        with suppress(FileNotFoundError):
            os.lstat(path[-1], dir_fd=self._folder(path[:-1]))
            self._remove(path)

    def _make_folder(self, path: Canonical, meta: Meta) -> None:
        try:
            os.mkdir(path[-1], 0o700, dir_fd=self._folder(path[:-1]))
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(path[-1], dir_fd=self._folder(path[:-1])).st_mode):
                self._remove(path)
                os.mkdir(path[-1], 0o700, dir_fd=self._folder(path[:-1]))
        self._metas[path] = meta

    def _walk(self, parts: list[str], *, make: bool = True) -> Canonical:
        """Return where a folder really is, with links resolved inside the root.

        Folders that are missing are made, unless `make` is false.
        """
        path: Canonical = ()
        left = parts[::-1]
        links = 0
        while left:
            name = left.pop()
            if name == "..":
                path = path[:-1]
            elif name not in ("", "."):
                inner = (*path, name)
                if len(inner) > _DEEPEST:
                    raise OSError(errno.ENAMETOOLONG, f"nested deeper than {_DEEPEST} folders")
                target = None if inner in self._folders else self._enter(inner, make)
                if target is None:
                    path = inner
                    continue
                links += 1
                if links > _MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                path = () if target.startswith("/") else path
                left.extend(reversed(target.split("/")))
        return path

    def _folder(self, path: Canonical) -> int:
        """Return a descriptor, which stays this object's, of a folder that is known to be one."""
        if (there := self._folders.get(path)) is not None:
            return there
        known = len(path)
        while known and path[:known] not in self._folders:
            known -= 1
        fd = self._folders[path[:known]] if known else self.root_fd
        for depth in range(known + 1, len(path) + 1):
            fd = self._keep(path[:depth], os.open(path[depth - 1], tree.DIRECTORY_FLAGS, dir_fd=fd))
        return fd

    def _enter(self, path: Canonical, make: bool) -> str | None:
        """Open a folder, made where it is missing; or return the text of the link that stands there."""
        fd, name = self._folder(path[:-1]), path[-1]
        try:
            self._keep(path, os.open(name, tree.DIRECTORY_FLAGS, dir_fd=fd))
        except FileNotFoundError:
            below = self._missing(path, make)
            if isinstance(below, str):
                return below
            os.mkdir(name, 0o700, dir_fd=fd)
            self._metas[path] = below
            self._mark(path)
            self._entries += 1
            self._keep(path, os.open(name, tree.DIRECTORY_FLAGS, dir_fd=fd))
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            if not stat.S_ISLNK(os.lstat(name, dir_fd=fd).st_mode):
                raise
            return os.readlink(name, dir_fd=fd)
        return None

    def _missing(self, path: Canonical, make: bool) -> Meta | str:
        """Return what a missing folder is to be, or the text of a link that is there; else FileNotFoundError."""
        if not make:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "/".join(path))
        return Meta()

    def _keep(self, path: Canonical, fd: int) -> int:
        while len(self._folders) >= _OPEN_FOLDERS:
            oldest = next(iter(self._folders))
            os.close(self._folders.pop(oldest))
        self._folders[path] = fd
        return fd

    def _forget(self) -> None:
        """Close the folders that are kept open, as one of them may be replaced."""
        for fd in self._folders.values():
            os.close(fd)
        self._folders.clear()
        self._walked.clear()
        self._news.clear()

    def _settle(self, path: Canonical, meta: Meta) -> None:
        """Set one folder's attributes, unless a later layer took it away."""
        try:
            fd = os.dup(self._folder(path))
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return
            raise
        try:
            if self.owners:
                os.fchown(fd, meta.uid, meta.gid)
            os.fchmod(fd, meta.mode)
            self._xattrs(meta.xattrs, fd)
            if meta.mtime_ns is not None:
                os.utime(fd, ns=(meta.mtime_ns, meta.mtime_ns))
        finally:
            os.close(fd)


def meta_of(fd: int) -> Meta:
    """Return a folder's attributes as they are."""
    found = os.fstat(fd)
    return Meta(stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, found.st_mtime_ns, xattrs_of(fd))


def _is_kept(key: str) -> bool:
    own = key.startswith("user.") and not key.startswith(OVERLAY)
    return own or key == "security.capability" or key.startswith("system.posix_acl_")


def _meta(entry: LayerEntry) -> Meta:
    return Meta(entry.mode, entry.uid, entry.gid, entry.mtime_ns, entry.xattrs)


def _translated(error: OSError, path: str) -> Invalid | HostUnfit:
    if error.errno in _HOST:
        return HostUnfit(f"can't unpack {path!r}: {error.strerror}", hint="make room on the disk of the engine's root")
    if error.errno == errno.EINVAL and not is_host_root():
        hint = "give this user more ids, in /etc/subuid and /etc/subgid"
        return HostUnfit(f"layer entry {path!r} belongs to somebody whom this user namespace doesn't have", hint=hint)
    return Invalid(f"layer entry {path!r} can't be unpacked: {error.strerror}")
