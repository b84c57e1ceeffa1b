"""Listings: what counts of each file in a tree (names, attributes, content; no times), and digests of parts of it."""

import hashlib
import os
import stat
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Protocol

from moby.contracts.types import Digest
from moby.host import tree
from moby.oci.digest import CHUNK_BYTES
from moby.oci.pack import xattrs_of
from moby_builder.dockerfile.effects.beneath import opened
from moby_builder.dockerfile.solver.effects import Cancel

__all__ = ["Excludes", "KeptListing", "Listing", "RootListing", "facts"]

_FOLDER = "4"
"""What the line of a folder begins with: the type in its mode, in octal digits."""
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def facts(
    mode: int, owner: tuple[int, int], *, content: str = "", link: str = "", device: tuple[int, int] = (0, 0),
    xattrs: Mapping[str, bytes] | None = None,
) -> str:  # fmt: skip
    """Return what counts of a file, as one line: `content` is the digest of a regular one's bytes."""
    more = " ".join(f"{key}={value.hex()}" for key, value in sorted(xattrs.items())) if xattrs else ""
    return f"{mode:o} {owner[0]} {owner[1]} {device[0]},{device[1]} {content} {link!r} {more}"


class Excludes(Protocol):
    """What is left out of a folder (moby.context.patterns.Patterns)."""

    @property
    def inverts(self) -> bool:
        """Whether something may be wanted below a folder that is left out."""
        ...

    def matches(self, path: str) -> bool:
        """Whether a path inside the folder is left out."""
        ...


class Listing(Protocol):
    """What is known of a tree's files."""

    def line(self, path: str) -> str:
        """Return what counts of one file, by its canonical path."""
        ...

    def below(self, path: str, excludes: Excludes | None) -> Iterable[str]:
        """Return a line for each file below a folder, with its path inside that folder."""
        ...


class KeptListing:
    """Of files that are written down: lines by path, relative to the root."""

    def __init__(self, lines: Mapping[str, str], size_bytes: int = 0) -> None:
        self.size_bytes = size_bytes
        self._lines = lines
        self._sorted = sorted(lines, key=lambda path: path.replace("/", "\0"))

    def digest(self) -> Digest:
        """Return the digest of all of it."""
        text = "".join(self.below("", None))
        return Digest("sha256", hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest())

    def line(self, path: str) -> str:
        """Return what counts of one file."""
        return self._lines.get(path.strip("/"), "")

    def below(self, path: str, excludes: Excludes | None) -> Iterable[str]:
        """Return a line for each file below a folder."""
        lines, prefix = self._lines, path.strip("/")
        if not prefix:
            inside = self._sorted
            if excludes is None:
                return [f"{each}\0{lines[each]}\n" for each in inside]
        else:
            order = f"{prefix}/".replace("/", "\0")
            start = bisect_left(self._sorted, order, key=lambda each: each.replace("/", "\0"))
            end = bisect_left(self._sorted, order[:-1] + "\1", key=lambda each: each.replace("/", "\0"))
            inside = self._sorted[start:end]
        return _kept(lines, inside, len(prefix) + 1 if prefix else 0, excludes)


def _kept(lines: Mapping[str, str], paths: list[str], skip: int, excludes: Excludes | None) -> Iterator[str]:
    out = "\0"
    for each in paths:
        inside = each[skip:]
        if excludes is not None:
            if inside.startswith(out):
                continue
            if excludes.matches(inside) and not (excludes.inverts and lines[each].startswith(_FOLDER)):
                out = "\0" if excludes.inverts else f"{inside}/"
                continue
        yield f"{inside}\0{lines[each]}\n"


class RootListing:
    """Of the files below a root, each of which is read."""

    def __init__(self, root_fd: int, cancel: Cancel) -> None:
        self._root = root_fd
        self._cancel = cancel
        self._known: dict[tuple[int, int], str] = {}

    def line(self, path: str) -> str:
        """Return what counts of one file."""
        above, name = PurePosixPath(path).parent, PurePosixPath(path).name
        fd = opened(self._root, str(above))
        try:
            return self._line(fd, name or ".", os.stat(name or ".", dir_fd=fd, follow_symlinks=False))
        finally:
            os.close(fd)

    def below(self, path: str, excludes: Excludes | None) -> Iterable[str]:
        """Return a line for each file below a folder."""
        return self._below(opened(self._root, path), "", excludes)

    def _below(self, fd: int, inside: str, excludes: Excludes | None) -> Iterator[str]:
        try:
            self._cancel.check()
            with os.scandir(fd) as entries:
                names = sorted(each.name for each in entries)
            for name in names:
                path = f"{inside}/{name}" if inside else name
                found = os.lstat(name, dir_fd=fd)
                # Where something below a folder may be wanted, it counts all the same.
                out = excludes is not None and excludes.matches(path)
                if excludes is not None and out and not (excludes.inverts and stat.S_ISDIR(found.st_mode)):
                    continue
                yield f"{path}\0{self._line(fd, name, found)}\n"
                if stat.S_ISDIR(found.st_mode):
                    yield from self._below(os.open(name, tree.DIRECTORY_FLAGS, dir_fd=fd), path, excludes)
        finally:
            os.close(fd)

    def _line(self, fd: int, name: str, found: os.stat_result) -> str:
        owner = (found.st_uid, found.st_gid)
        kind = stat.S_IFMT(found.st_mode)
        if kind == stat.S_IFLNK:
            return facts(found.st_mode, owner, link=os.readlink(name, dir_fd=fd))
        if kind not in (stat.S_IFREG, stat.S_IFDIR):
            return facts(found.st_mode, owner, device=(os.major(found.st_rdev), os.minor(found.st_rdev)))
        file = os.open(name, _READ, dir_fd=fd)
        try:
            xattrs = xattrs_of(file)
            if kind == stat.S_IFDIR:
                return facts(found.st_mode, owner, xattrs=xattrs)
            return facts(found.st_mode, owner, content=self._content(file, found), xattrs=xattrs)
        finally:
            os.close(file)

    def _content(self, file: int, found: os.stat_result) -> str:
        identity = (found.st_dev, found.st_ino)
        if found.st_nlink > 1 and identity in self._known:
            return self._known[identity]
        digest = hashlib.sha256()
        while chunk := os.read(file, CHUNK_BYTES):
            self._cancel.check()
            digest.update(chunk)
            if len(chunk) < CHUNK_BYTES and found.st_size < CHUNK_BYTES:
                break
        self._known[identity] = digest.hexdigest()
        return self._known[identity]
