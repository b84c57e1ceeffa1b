"""Sparse entries of a tar: where their bytes lie in the file that they stand for (GNU tar manual, Sparse Formats)."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from moby.errors import Invalid
from moby.oci.digest import CHUNK_BYTES

__all__ = ["MAP", "PREFIX", "Extent", "checked", "is_continued", "of_data", "of_map", "old", "spread"]

PREFIX = "GNU.sparse."
MAP = PREFIX + "map"
Extent = tuple[int, int]
"""Offset in the file, and how many bytes of it come."""
_BLOCK = 512
_MOST = 1 << 16
"""Extents of one file; a map of more is longer than what an extension header may be."""
_IN_HEADER = range(386, 482, 24)
_IN_BLOCK = range(0, 504, 24)
_ZEROS = bytes(CHUNK_BYTES)


def old(block: bytes, number: Callable[[bytes, str], int], *, first: bool) -> list[Extent]:
    """Return the extents that a header of the older format has, or one of the blocks that continue it."""
    found = []
    for at in _IN_HEADER if first else _IN_BLOCK:
        if not block[at]:
            break
        found.append((number(block[at : at + 12], "offset"), number(block[at + 12 : at + 24], "size")))
    return found


def is_continued(block: bytes, found: Sequence[Extent], *, first: bool) -> bool:
    """Say whether another block with extents follows."""
    if len(found) > _MOST:
        raise Invalid(f"layer has a sparse entry of more than {_MOST} pieces")
    return block[482 if first else 504] != 0


def of_map(text: bytes) -> list[Extent]:
    """Return the extents of a pax header's map: `OFFSET,SIZE,...`."""
    return _pairs(text.split(b",") if text else [])


def of_data(records: Mapping[str, bytes], line: Callable[[], bytes]) -> list[Extent]:
    """Return the extents that stand before an entry's bytes, a number a line; Invalid for an unknown version."""
    version = records.get(PREFIX + "major"), records.get(PREFIX + "minor")
    if version != (b"1", b"0"):
        raise Invalid("layer has a sparse entry of an unknown version")
    [count] = _numbers([line()])
    if count > _MOST:
        raise Invalid(f"layer has a sparse entry of {count} pieces; at most {_MOST} are allowed")
    return _pairs([line() for _ in range(2 * count)])


def _pairs(texts: Sequence[bytes]) -> list[Extent]:
    numbers = _numbers(texts)
    if len(numbers) % 2:
        raise Invalid("layer has a sparse entry whose map ends with half a piece")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _numbers(texts: Sequence[bytes]) -> list[int]:
    if not all(re.fullmatch(rb"[0-9]{1,19}", each) for each in texts):
        raise Invalid("layer has a sparse entry with a map of what are no numbers")
    return [int(each) for each in texts]


def checked(extents: Sequence[Extent], size_bytes: int, stored_bytes: int) -> Sequence[Extent]:
    """Return extents that fit a file and what is stored of it, in order and apart; Invalid for others."""
    end = 0
    for offset, length in extents:
        if offset < end or offset + length > size_bytes:
            raise Invalid("layer has a sparse entry whose pieces overlap, or reach beyond its end")
        end = offset + length
    if sum(length for _, length in extents) != stored_bytes:
        raise Invalid("layer has a sparse entry with other bytes than its map says")
    return extents


def spread(
    take: Callable[[int], bytes | memoryview], extents: Sequence[Extent], size_bytes: int
) -> Iterator[bytes | memoryview]:
    """Yield a whole file: what `take` gives, some of so many bytes at a time, and zeros between."""
    at = 0
    for offset, length in (*extents, (size_bytes, 0)):
        while at < offset:
            size = min(offset - at, CHUNK_BYTES)
            yield _ZEROS if size == CHUNK_BYTES else _ZEROS[:size]
            at += size
        end = offset + length
        while at < end:
            chunk = take(end - at)
            yield chunk
            at += len(chunk)
