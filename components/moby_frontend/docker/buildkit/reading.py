"""Files of a result, as a client's part of a build looks at them.

A root is a stranger's: links are followed inside it alone, what is no regular file is never opened, and what an answer
may hold is limited (gRPC's clients take 16 MiB).
"""

import errno
import os
import stat as modes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from moby.context.patterns import Match, Patterns
from moby.errors import Invalid, NotFound
from moby.host.mounts import open_in_root
from moby_frontend.docker.buildkit.messages import encode
from moby_frontend.docker.buildkit.protocol.gateway import FileRange
from moby_frontend.docker.buildkit.protocol.lending import Stat
from moby_frontend.docker.modes import go_mode

__all__ = ["described", "listed", "read"]

_MOST_BYTES = (16 << 20) - 4096
"""Of what one answer holds, with room for what is around it."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_SOCKET = go_mode(modes.S_IFSOCK)
_MISSING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


def read(root: Path, path: str, part: FileRange | None = None) -> bytes:
    """Return what is in a file, or a part of it, which may end early.

    NotFound where it isn't there; Invalid for what is no regular file, what can't be a part, and more than fits.
    """
    with _found(root, path, "open") as handle:
        found = os.fstat(handle)
        if not modes.S_ISREG(found.st_mode):
            raise Invalid(f"{path} is not a regular file")
        at, size = (part.offset, part.length) if part else (0, found.st_size)
        if at < 0 or size < 0:
            raise Invalid(f"read {path}: the range {at}+{size} can't be; offset and length are 0 or more")
        size = min(size, max(found.st_size - at, 0))
        if size > _MOST_BYTES:
            raise Invalid(f"read {path}: {size} bytes are too many for one answer; ask for ranges of {_MOST_BYTES}")
        if not size:
            return b""
        with _itself(handle).open("rb") as file:
            file.seek(at)
            return file.read(size)


def described(root: Path, path: str) -> Stat:
    """Return what is at a path, links followed; it has the name that it has there, the root `/`.

    NotFound where nothing is.
    """
    with _found(root, path, "lstat") as handle, _opened(root) as top:
        found = _itself(handle).readlink()
        return _stat(handle, "/" if found == _itself(top).readlink() else found.name)


def listed(root: Path, path: str, pattern: str = "") -> list[Stat]:
    """Return what is in a folder, sorted by name: all, or what a pattern as in .dockerignore means.

    A folder is meant too where something in it is. NotFound where there is no folder; Invalid for a malformed pattern,
    and for more than fits.
    """
    wanted = _Wanted(pattern)
    entries: list[Stat] = []
    room = _MOST_BYTES
    inodes: dict[tuple[int, int], str] = {}
    with _found(root, path, "open", _FOLDER) as folder:
        for name in sorted(os.listdir(folder), key=os.fsencode):  # noqa: PTH208
            if not wanted.takes(folder, name):
                continue
            with _entry(folder, name) as handle:
                entry = _stat(handle, name)
                found = os.fstat(handle)
            first = inodes.setdefault((found.st_dev, found.st_ino), name)
            if first != name:
                entry.link = entry.link or first
            room -= len(encode(entry)) + 8
            if room < 0:
                raise Invalid(f"readdir {path}: there is more than fits into one answer; ask by patterns")
            entries.append(entry)
    return entries


class _Wanted:
    """Tells which entries of a folder a pattern means; without one all of them."""

    def __init__(self, pattern: str) -> None:
        self._patterns = Patterns([pattern]) if pattern else None
        self._is_deep = "/" in pattern or "**" in pattern

    def takes(self, folder: int, name: str) -> bool:
        """Whether it means an entry, or something in it."""
        if self._patterns is None:
            return True
        match = self._patterns.match(name)
        return self._patterns.fits(match) or (self._is_deep and self._takes_some(folder, name, match))

    def _takes_some(self, folder: int, name: str, match: Match) -> bool:
        assert self._patterns is not None
        waiting = [(name, match)]
        while waiting:
            path, above = waiting.pop()
            for inner, is_folder in _inside(folder, path):
                match = self._patterns.match(f"{path}/{inner}", above)
                if self._patterns.fits(match):
                    return True
                if is_folder:
                    waiting.append((f"{path}/{inner}", match))
        return False


def _inside(folder: int, path: str) -> list[tuple[str, bool]]:
    """Return the names in a folder below another, and which are folders; nothing where that is none."""
    try:
        fd = open_in_root(folder, path, _FOLDER | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in _MISSING:
            return []
        raise
    try:
        with os.scandir(fd) as entries:
            return [(each.name, each.is_dir(follow_symlinks=False)) for each in entries]
    finally:
        os.close(fd)


@contextmanager
def _opened(root: Path) -> Iterator[int]:
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _found(root: Path, path: str, verb: str, flags: int = os.O_PATH) -> Iterator[int]:
    """Lend a descriptor of what a path leads to; errors are in Go's words."""
    if "\0" in path:
        raise Invalid(f"{verb} {path[:200]!r}: invalid argument")
    with _opened(root) as top:
        try:
            fd = open_in_root(top, path, flags)
        except OSError as error:
            words = f"{verb} {path[:1000]}: {(error.strerror or '').lower()}"
            raise (NotFound if error.errno in _MISSING else Invalid)(words) from error
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _entry(folder: int, name: str) -> Iterator[int]:
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        yield fd
    finally:
        os.close(fd)


def _stat(handle: int, name: str) -> Stat:
    found = os.fstat(handle)
    kind = modes.S_IFMT(found.st_mode)
    device = found.st_rdev if kind in {modes.S_IFCHR, modes.S_IFBLK} else 0
    return Stat(
        name,
        go_mode(found.st_mode) & ~_SOCKET,  # which archives have no word for
        found.st_uid,
        found.st_gid,
        0 if kind == modes.S_IFDIR else found.st_size,
        found.st_mtime_ns,
        os.readlink("", dir_fd=handle) if kind == modes.S_IFLNK else "",
        os.major(device),
        os.minor(device),
        _attributes(_itself(handle)),
    )


def _itself(handle: int) -> Path:
    """Return what opens the very file that a descriptor found."""
    return Path(f"/proc/self/fd/{handle}")


def _attributes(path: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with suppress(OSError):  # some file systems have none
        for name in os.listxattr(path):
            with suppress(OSError):
                found[name] = os.getxattr(path, name)
    return found
