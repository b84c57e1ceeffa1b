"""What a COPY's source means in a root: paths of what is there, wildcards as Go's `path/filepath.Match` has them."""

import errno
import os
from collections.abc import Callable, Iterator

from attrs import frozen

from moby.context.wildcards import Wildcard, has_wildcards, matcher, pieces
from moby_builder.dockerfile.effects.beneath import canonical, look, opened, parts_of

__all__ = ["Match", "matches", "matches_with_parents"]

_DEEP = "**"


@frozen
class Match:
    """Something that a source means."""

    path: str
    """Where it is, without links, from the root."""
    name: str
    """What it is called where the Dockerfile names it, which may be a link to it."""
    found: os.stat_result
    above: str = ""
    """The folders above that come along (`--parents`), relative to `pivot`."""
    pivot: str = "/"


def matches(root_fd: int, path: str) -> Iterator[Match]:
    """Yield what a path means, in order of names; a link at its end is followed. Nothing where nothing is there.

    FileNotFoundError with its path for a link that fits and leads nowhere.
    """
    fixed, wild = _split(path)
    if not wild:
        found = _one(root_fd, fixed)
        if found is not None:
            yield found
        return
    for each in _walk(root_fd, canonical(root_fd, fixed), wild):
        found = _one(root_fd, each)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), each)
        yield found


def matches_with_parents(root_fd: int, path: str) -> Iterator[Match]:
    """Yield what a path means, each with the folders above it that come along; links aren't followed."""
    before, pivot, after = path.partition("/./")
    base = canonical(root_fd, before) if pivot else "/"
    fixed, wild = _split(after if pivot else before)
    fixed = "/".join(parts_of(fixed))
    start = canonical(root_fd, f"{base}/{fixed}", last=False)
    for each in _walk(root_fd, start, wild) if wild else [start]:
        found = look(root_fd, each)
        if found is not None:
            inside = parts_of(each)[len(parts_of(base)) :]
            yield Match(each, inside[-1] if inside else "", found, "/".join(inside[:-1]), base)


def _split(path: str) -> tuple[str, list[str]]:
    """Return the part before the first name with a wildcard, and the names from there on."""
    names = parts_of(path)
    first = next((number for number, each in enumerate(names) if has_wildcards(each)), len(names))
    return "/" + "/".join(names[:first]), names[first:]


def _one(root_fd: int, path: str) -> Match | None:
    where = canonical(root_fd, path)
    found = look(root_fd, where)
    names = parts_of(path)
    return Match(where, names[-1] if names else "", found) if found is not None else None


def _walk(root_fd: int, folder: str, names: list[str]) -> Iterator[str]:
    """Yield paths below a folder that fit names, in order; no link is entered."""
    deep = "/".join(names)
    if _DEEP in deep:
        yield from _search(root_fd, folder, "", matcher(list(pieces(deep, deep=True))))
        return
    wanted = Wildcard(names[0])
    for name, is_folder in _inside(root_fd, folder):
        if wanted.matches(name):
            path = f"{folder.rstrip('/')}/{name}"
            if len(names) == 1:
                yield path
            elif is_folder:
                yield from _walk(root_fd, path, names[1:])


def _search(root_fd: int, folder: str, inside: str, wanted: Callable[[str], bool]) -> Iterator[str]:
    """Yield paths below a folder that are wanted by where they are in it; nothing below those."""
    for name, is_folder in _inside(root_fd, folder):
        path, within = f"{folder.rstrip('/')}/{name}", f"{inside}{name}"
        if wanted(within):
            yield path
        elif is_folder:
            yield from _search(root_fd, path, f"{within}/", wanted)


def _inside(root_fd: int, folder: str) -> list[tuple[str, bool]]:
    """Return what is in a folder, sorted, and whether it is one; nothing where that isn't there."""
    try:
        fd = opened(root_fd, folder)
    except OSError:  # what is no folder has nothing in it
        return []
    try:
        with os.scandir(fd) as entries:
            return sorted((each.name, each.is_dir(follow_symlinks=False)) for each in entries)
    finally:
        os.close(fd)
