"""Holes: what is nothing but zeros takes no room in a file that is written here."""

import os
from collections.abc import Iterable

__all__ = ["pour"]

_RUN_BYTES = 64 << 10
"""What is looked at together: small enough to find holes, large enough to cost nothing beside the write."""
_LEAST_BYTES = 4096
_ZEROS = bytes(_RUN_BYTES)


def pour(out: int, chunks: Iterable[bytes | memoryview]) -> None:
    """Write chunks into a new file at its beginning; runs of zeros become holes."""
    ends_in_hole = False
    for chunk in chunks:
        if len(chunk) < _LEAST_BYTES or (len(chunk) <= _RUN_BYTES and chunk[0]):
            _write(out, chunk)
            ends_in_hole = False
            continue
        start = 0
        for at in range(0, len(chunk), _RUN_BYTES):
            if chunk[at] == 0 and _is_hole(chunk[at : at + _RUN_BYTES]):
                _write(out, chunk[start:at])
                start = min(at + _RUN_BYTES, len(chunk))
                os.lseek(out, start - at, os.SEEK_CUR)
        _write(out, chunk[start:] if start else chunk)
        ends_in_hole = start == len(chunk)
    if ends_in_hole:
        os.ftruncate(out, os.lseek(out, 0, os.SEEK_CUR))


def _is_hole(run: bytes | memoryview) -> bool:
    size = len(run)
    return size >= _LEAST_BYTES and bytes(run) == (_ZEROS if size == _RUN_BYTES else _ZEROS[:size])


def _write(out: int, data: bytes | memoryview) -> None:
    done = os.write(out, data) if data else 0
    while done < len(data):
        done += os.write(out, memoryview(data)[done:])
