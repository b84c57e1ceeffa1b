"""A folder of this host, handed over as the context of a build: walked by descriptor, and only what is wanted of it.

Source of what is wanted: moby/patternmatcher for patterns; what follows symbolic links does so inside the folder.
"""

import os
import posixpath
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from moby.context.patterns import NONE, Match, Patterns
from moby.context.wildcards import has_wildcards, matcher, pieces
from moby.contracts.builder import Entry, Receiver, Selection
from moby.errors import Invalid, NotFound, Unavailable
from moby.host import tree

__all__ = ["send"]

_CHUNK = 1 << 20
_MOST_LINKS = 255
_ATTRIBUTES = ("security.capability", "user.")


def send(folder: Path, selection: Selection, receiver: Receiver) -> None:
    """Give a folder to a receiver. Owners are root's, as in every context; sockets are left out.

    NotFound where the folder isn't there, Unavailable where a file can't be read, Invalid for a malformed pattern.
    """
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise NotFound(f"can't read the folder {folder}: {(error.strerror or '').lower()}") from error
    try:
        include = (*selection.include, *_followed(fd, selection.follow))
        _Walk(Patterns(include) if include else None, Patterns(selection.exclude), receiver).folder(fd, "", NONE, NONE)
    finally:
        os.close(fd)


class _Walk:
    """One walk through a folder."""

    def __init__(self, include: Patterns | None, exclude: Patterns, receiver: Receiver) -> None:
        self._include = include
        self._exclude = exclude
        self._receiver = receiver
        self._pending: list[Entry] = []
        self._inodes: dict[tuple[int, int], str] = {}

    def folder(self, fd: int, prefix: str, included: Match, excluded: Match) -> None:
        """Go through a folder, given what decides on it."""
        for name in sorted(os.listdir(fd), key=os.fsencode):
            path = prefix + name
            found = os.stat(name, dir_fd=fd, follow_symlinks=False)
            inside = self._include.match(path, included) if self._include else NONE
            outside = self._exclude.match(path, excluded)
            wanted = (self._include is None or self._include.fits(inside)) and not self._exclude.fits(outside)
            if not stat.S_ISDIR(found.st_mode):
                if wanted:
                    self._file(fd, name, path, found)
            elif wanted or self._may_hold_some(outside):
                self._subfolder(fd, name, path, found, (inside, outside), wanted=wanted)

    def _may_hold_some(self, outside: Match) -> bool:
        """Whether something in a folder may be wanted though it isn't itself."""
        return not (self._exclude.fits(outside) and self._exclude.final(outside))

    def _subfolder(
        self, fd: int, name: str, path: str, found: os.stat_result, matches: tuple[Match, Match], *, wanted: bool
    ) -> None:
        inner = os.open(name, tree.DIRECTORY_FLAGS, dir_fd=fd)
        try:
            entry = _entry(path, found, xattrs=_xattrs(inner))
            self._pending.append(entry)
            if wanted:
                self._flush()
            self.folder(inner, f"{path}/", *matches)
            if self._pending and self._pending[-1] is entry:
                self._pending.pop()
        finally:
            os.close(inner)

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        for each in pending:
            self._receiver.entry(each)

    def _file(self, fd: int, name: str, path: str, found: os.stat_result) -> None:
        if stat.S_ISSOCK(found.st_mode):
            return
        self._flush()
        if stat.S_ISLNK(found.st_mode):
            self._receiver.entry(_entry(path, found, link=os.readlink(name, dir_fd=fd)))
            return
        if not stat.S_ISREG(found.st_mode):
            self._receiver.entry(_entry(path, found))
            return
        inode = (found.st_dev, found.st_ino)
        if found.st_nlink > 1 and inode in self._inodes:
            self._receiver.entry(_entry(path, found, link=self._inodes[inode]))
            return
        if found.st_nlink > 1:
            self._inodes[inode] = path
        try:
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
        except OSError as error:
            raise Unavailable(f"can't read {path}: {(error.strerror or '').lower()}") from error
        try:
            if self._receiver.entry(_entry(path, found, xattrs=_xattrs(file))):
                while chunk := os.read(file, _CHUNK):
                    self._receiver.content(path, chunk)
                self._receiver.content(path, b"")
        finally:
            os.close(file)


def _entry(path: str, found: os.stat_result, *, link: str = "", xattrs: dict[str, bytes] | None = None) -> Entry:
    device = (os.major(found.st_rdev), os.minor(found.st_rdev))
    regular = stat.S_ISREG(found.st_mode)
    return Entry(
        path, found.st_mode, size_bytes=found.st_size if regular else 0, time_ns=found.st_mtime_ns, link=link,
        device=device, xattrs=xattrs or {},
    )  # fmt: skip


def _xattrs(fd: int) -> dict[str, bytes]:
    try:
        names = os.listxattr(fd)
        return {name: os.getxattr(fd, name) for name in names if name.startswith(_ATTRIBUTES)}
    except OSError:
        return {}


# Following links


def _followed(root: int, paths: Sequence[str]) -> Iterator[str]:
    """Yield the paths, the links on them, and what those lead to."""
    seen: set[str] = set()
    wanted = [each.strip("/") for each in paths]
    while wanted:
        path = posixpath.normpath(wanted.pop())
        if path in seen:
            continue
        if len(seen) > _MOST_LINKS * len(paths):
            raise Invalid(f"too many symbolic links on the way to {paths[0]}")
        seen.add(path)
        yield "**" if path == "." else path
        for link, target in _targets(root, path):
            yield link
            wanted.append(target)


def _targets(root: int, path: str) -> Iterator[tuple[str, str]]:
    """Yield the links on a path, which may have wildcards, and where each leads, with the rest of the path after it."""
    names = path.split("/")
    places = [""]
    for number, name in enumerate(names):
        found = [each for place in places for each in _fitting(root, place, name)]
        places = []
        for place in found:
            link = _link(root, place)
            if link is None:
                places.append(place)
                continue
            target = "/".join((posixpath.join("/", posixpath.dirname(place), link), *names[number + 1 :]))
            yield place, posixpath.normpath(target).lstrip("/") or "."


def _fitting(root: int, place: str, name: str) -> Iterator[str]:
    prefix = f"{place}/" if place else ""
    if not has_wildcards(name):
        yield prefix + name
        return
    fits = matcher(list(pieces(name, deep=False)), compiled=True)
    try:
        fd = tree.open_below(root, place)
    except OSError:
        return
    try:
        yield from (prefix + each for each in sorted(os.listdir(fd)) if fits(each))  # noqa: PTH208
    finally:
        os.close(fd)


def _link(root: int, path: str) -> str | None:
    """Return where a link leads; None where the path is none, or isn't there."""
    above, _, name = path.rpartition("/")
    try:
        fd = tree.open_below(root, above)
    except OSError:
        return None
    try:
        return os.readlink(name, dir_fd=fd)
    except OSError:
        return None
    finally:
        os.close(fd)
