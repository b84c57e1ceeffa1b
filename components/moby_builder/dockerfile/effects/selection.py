"""What a COPY takes of its inputs, and the digest of that."""

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from posixpath import dirname, join, normpath

from moby.context.patterns import Patterns
from moby.context.wildcards import has_wildcards
from moby.contracts.builder import BuildFailed
from moby.contracts.types import Digest
from moby_builder.dockerfile.effects.beneath import canonical, look
from moby_builder.dockerfile.effects.listings import Excludes, Listing
from moby_builder.dockerfile.effects.matches import Match, matches, matches_with_parents
from moby_builder.dockerfile.operations import Copy, CopySource

__all__ = ["chosen", "digest_of_copy", "digest_of_path", "excludes_of", "lines_of_copy"]


def excludes_of(source: CopySource) -> Excludes | None:
    """Return what says whether a path is left out; None where nothing is."""
    if not source.exclude:
        return None
    return Patterns(source.exclude)


def chosen(root_fd: int, copy: Copy, source: CopySource, excludes: Excludes | None) -> Iterator[Match]:
    """Yield what a source means, in order; BuildFailed, in BuildKit's words, where that is nothing and must not be."""
    wild = has_wildcards(source.path)
    count = 0
    found = (matches_with_parents if copy.parents else matches)(root_fd, source.path)
    while True:
        try:
            each = next(found, None)
        except FileNotFoundError as error:
            raise missing(root_fd, str(error.filename)) from error
        if each is None:
            break
        count += 1
        inside = f"{each.above}/{each.name}".lstrip("/")
        if excludes is None or not (wild or copy.parents) or not excludes.matches(inside):
            yield each
    if not count and (copy.require or not wild):
        raise missing(root_fd, source.path)


def missing(root_fd: int, path: str) -> BuildFailed:
    """Return what BuildKit says of a source that isn't there, or is a link to what isn't."""
    with suppress(OSError):
        path = normpath(join(dirname(path), os.readlink(path.lstrip("/"), dir_fd=root_fd)))
    return BuildFailed(f'failed to compute cache key: failed to calculate checksum of ref: "{path}": not found')


def digest_of_copy(root_fd: int, copy: Copy, number: int, listing: Listing) -> Digest:
    """Return the digest of all that a COPY takes of an input: names, attributes, content; no times."""
    total = hashlib.sha256()
    for lines in lines_of_copy(root_fd, copy, number, listing):
        _take(total, *lines)
    return Digest("sha256", total.hexdigest())


def lines_of_copy(root_fd: int, copy: Copy, number: int, listing: Listing) -> Iterator[Iterable[str]]:
    """Yield lines of what a COPY takes of an input, each with a name, a NUL, and what counts of that file."""
    for source in copy.sources:
        if source.input != number:
            continue
        excludes = excludes_of(source)
        yield ("source\0",)
        for match in chosen(root_fd, copy, source, excludes):
            if copy.parents:
                yield _lines_above(match, listing)
            is_folder = stat.S_ISDIR(match.found.st_mode)
            if copy.parents or not is_folder:
                yield (f"{match.name}\0{listing.line(match.path)}\n",)
            if is_folder:
                yield listing.below(match.path, excludes)


def digest_of_path(root_fd: int, path: str, listing: Listing) -> Digest:
    """Return the digest of a file, or of a folder with all in it; BuildFailed where it isn't there."""
    where = canonical(root_fd, path)
    found = look(root_fd, where)
    if found is None:
        raise missing(root_fd, path)
    total = hashlib.sha256()
    _take(total, listing.line(where))
    if stat.S_ISDIR(found.st_mode):
        _take(total, *listing.below(where, None))
    return Digest("sha256", total.hexdigest())


def _lines_above(match: Match, listing: Listing) -> Iterator[str]:
    """Yield what counts of the folders that come along with a file."""
    path = dirname(match.path)
    for each in reversed(match.above.split("/") if match.above else ()):
        yield f"{each}\0{listing.line(path)}\n"
        path = dirname(path)


def _take(total: "hashlib._Hash", *lines: str) -> None:
    total.update("".join(lines).encode("utf-8", "surrogateescape"))
