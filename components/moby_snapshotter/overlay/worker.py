"""The process that unpacks layers, one after the other: each one's bytes come by a pipe or a file, and what became of
them goes back by a socket.

It imports little, since one is started for a few large layers. It ends with its maker, who has the socket's other end.
"""

import io
import json
import mmap
import os
import select
import socket
import stat
import sys
from contextlib import suppress
from typing import Any

from moby.errors import MobyError
from moby.oci.unpack import Limits
from moby.oci.upper import UpperUnpacking

__all__ = ["BATCH", "BELOW", "LONGEST", "main"]

BELOW = b"below"
"""What it says when it must look below; it gets the folders' descriptors, so many at a time, and none at the end."""
BATCH = 128
LONGEST = 1 << 16
"""Of one message."""
_DESCRIPTORS = 3
"""With each layer: its bytes, the folder that it goes to, and what is to be held meanwhile."""


def main() -> None:
    """Unpack what comes by the socket whose descriptor is the program's argument, until nothing does any more."""
    with socket.socket(fileno=int(sys.argv[1])) as control:
        while True:
            asked, descriptors, _, _ = socket.recv_fds(control, LONGEST, _DESCRIPTORS)
            if not asked:
                return
            layer, own, _ = descriptors
            try:
                answer = _unpacked(control, json.loads(asked), layer, own)
            finally:
                for each in descriptors:
                    os.close(each)
            with suppress(BrokenPipeError):  # nobody waits for it any more
                control.sendall(json.dumps(answer).encode())


def _unpacked(control: socket.socket, asked: dict[str, Any], layer: int, own: int) -> dict[str, Any]:
    unpacking = UpperUnpacking(
        own, asked["owners"], Limits(asked["bytes"], asked["entries"]),
        lowers=lambda: _lowers(control), marks=asked["marks"],
    )  # fmt: skip
    try:
        unpacking.apply(_Wanted(_source(layer), control))  # type: ignore[arg-type]
        unpacking.finish()
    except MobyError as error:
        return {"error": type(error).__name__, "message": error.message, "hint": error.hint}
    except OSError as error:
        return {"error": "OSError", "errno": error.errno, "message": error.strerror, "path": _text(error.filename)}
    return {"size_bytes": unpacking.size_bytes, "inodes": unpacking.entries}


def _source(layer: int) -> "io.FileIO | _Mapped":
    """Return a layer's bytes, with no copy where they are a file's that can be mapped, as not all can (mmap(2))."""
    if stat.S_ISREG(os.fstat(layer).st_mode):
        with suppress(OSError):
            return _Mapped(layer)
    return io.FileIO(layer, closefd=False)


class _Mapped:
    """A file's bytes in memory, read from where it stands on, as a file is.

    Who makes it shorter meanwhile, or a disk that can't be read, ends this process.
    """

    def __init__(self, fd: int) -> None:
        mapped = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
        mapped.madvise(mmap.MADV_SEQUENTIAL)
        self._view = memoryview(mapped)
        self._fd = fd
        self._at = os.lseek(fd, 0, os.SEEK_CUR)

    def read(self, size: int) -> memoryview:
        part = self._view[self._at : self._at + size]
        self._at = os.lseek(self._fd, len(part), os.SEEK_CUR)
        return part


class _Wanted:
    """A layer's bytes, for as long as somebody waits for what becomes of them."""

    def __init__(self, source: "io.FileIO | _Mapped", control: socket.socket) -> None:
        self._source = source
        self._poll = select.poll()
        self._poll.register(control, 0)

    def read(self, size: int) -> bytes | memoryview:
        if self._poll.poll(0):
            raise BrokenPipeError("nobody waits for this layer any more")
        return self._source.read(size)


def _text(path: object) -> str | None:
    return os.fsdecode(path) if isinstance(path, (str, bytes)) else None


def _lowers(control: socket.socket) -> tuple[int, ...]:
    """Ask for what is below, and return its descriptors."""
    control.sendall(BELOW)
    found: list[int] = []
    while True:
        said, descriptors, _, _ = socket.recv_fds(control, 1, BATCH)
        if not said:
            raise BrokenPipeError("nobody waits for this layer any more")
        if not descriptors:
            return tuple(found)
        found += descriptors
