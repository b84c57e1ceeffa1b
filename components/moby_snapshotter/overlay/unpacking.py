"""Unpacking a layer into an upper folder: a large one in a process of its own, so that several go on side by side."""

import io
import os
import stat
from typing import BinaryIO

from moby.contracts.snapshotter import Usage
from moby.oci.digest import CHUNK_BYTES
from moby.oci.upper import UpperUnpacking
from moby_snapshotter.overlay.workers import Task, Workers

__all__ = ["unpack"]

_SMALL_BYTES = 8 << 20
"""A layer of no more is unpacked here: a process takes longer to start."""


def unpack(task: Task, layer: BinaryIO, workers: Workers) -> Usage:
    """Unpack a layer; errors as `Unpacking`'s, and HostUnfit where the process is ended that does it.

    A plain file is read by that process itself.
    """
    left = _left_in_file(layer)
    if left is not None and left > _SMALL_BYTES:
        with workers.lent() as worker:
            return worker.unpack_file(task, layer.fileno())
    head = _head(layer)
    if sum(map(len, head)) > _SMALL_BYTES:
        with workers.lent() as worker:
            return worker.unpack(task, head, layer)
    unpacking = UpperUnpacking(task.own, task.owners, task.limits, lowers=task.lowers, marks=task.marks)
    unpacking.apply(io.BytesIO(b"".join(head)))
    unpacking.finish()
    return Usage(unpacking.size_bytes, unpacking.entries)


def _left_in_file(layer: BinaryIO) -> int | None:
    """Return how much there is still to be read of a plain file, of which nothing was read ahead; None for others."""
    if not isinstance(layer, io.FileIO):
        return None
    found = os.fstat(layer.fileno())
    return found.st_size - layer.tell() if stat.S_ISREG(found.st_mode) else None


def _head(layer: BinaryIO) -> list[bytes]:
    """Read a small layer whole; of another one a little more than that."""
    found: list[bytes] = []
    left = _SMALL_BYTES
    while left >= 0 and (chunk := layer.read(CHUNK_BYTES)):
        found.append(chunk)
        left -= len(chunk)
    return found
