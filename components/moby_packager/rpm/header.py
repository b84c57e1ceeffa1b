"""Headers of a package of rpm, which hold its signature and all that is said of it (rpm's format of version 4).

Numbers are as in rpm's `rpmtag.h`.
"""

import struct
from collections.abc import Mapping, Sequence

__all__ = ["Value", "encoded", "texts"]

Value = bytes | str | Sequence[int] | Sequence[str]
MAGIC = b"\x8e\xad\xe8\x01\0\0\0\0"
INT16, INT32, STRING, BINARY, STRINGS, TRANSLATED = 3, 4, 6, 7, 8, 9
_SHORT = frozenset({1030, 1033})
"""Tags whose numbers have 16 bits: modes and devices of files."""
_TRANSLATED = frozenset({1004, 1005, 1016})
"""Summary, description, group."""
_INDEX_BYTES = 16


def encoded(tags: Mapping[int, Value], region: int) -> bytes:
    """Return a header; `region` is the tag of what says that all of it is signed as it is."""
    store = bytearray()
    index = []
    for tag, value in sorted(tags.items()):
        kind, count, data = _entry(tag, value)
        step = {INT16: 2, INT32: 4}.get(kind, 1)
        store += bytes(-len(store) % step)
        index.append(struct.pack(">IIII", tag, kind, len(store), count))
        store += data
    size = _INDEX_BYTES * (len(index) + 1)
    first = struct.pack(">IIII", region, BINARY, len(store), _INDEX_BYTES)
    store += struct.pack(">IIiI", region, BINARY, -size, _INDEX_BYTES)
    return MAGIC + struct.pack(">II", len(index) + 1, len(store)) + first + b"".join(index) + store


def _entry(tag: int, value: Value) -> tuple[int, int, bytes]:
    """Return a value's type, how many there are of it, and its bytes."""
    if isinstance(value, bytes):
        return BINARY, len(value), value
    if isinstance(value, str):
        return TRANSLATED if tag in _TRANSLATED else STRING, 1, texts([value])
    if value and isinstance(value[0], str):
        return STRINGS, len(value), texts([str(each) for each in value])
    numbers = [int(each) for each in value]
    if tag in _SHORT:
        return INT16, len(numbers), struct.pack(f">{len(numbers)}H", *numbers)
    return INT32, len(numbers), struct.pack(f">{len(numbers)}I", *numbers)


def texts(each: Sequence[str]) -> bytes:
    """Return texts as C has them, one after the other."""
    return b"".join(text.encode() + b"\0" for text in each)
