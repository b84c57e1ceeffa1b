"""Streams that cross by a descriptor of their own: chunks with a length before each, of bytes or of JSON."""

import contextlib
import io
import json
import os
import socket
import typing
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, BinaryIO, cast

from moby.errors import Unavailable
from moby.served import faults
from moby.served.wire import close_all

__all__ = ["Received", "chunks_of", "item_of", "opened", "pump"]

_END = b"\0\0\0\0"
_ERROR = b"\xff\xff\xff\xff"
_LONGEST = 1 << 24
_CHUNK = 1 << 18


def item_of(hint: Any) -> Any:
    """Return what a method's result yields, one after the other; None where it isn't read so."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Iterator else None


def chunks_of(source: BinaryIO) -> Iterator[bytes]:
    """Yield what a file gives, as it comes."""
    read: Callable[[int], bytes] = getattr(source, "read1", source.read)
    while chunk := read(_CHUNK):
        yield chunk


def pump(chunks: Iterable[bytes], sock: socket.socket, note: Callable[[Exception], object] | None = None) -> None:
    """Write a stream to a socket; a reader who has gone ends it, an error goes to him."""
    source = iter(chunks)
    fd = sock.fileno()
    try:
        for chunk in source:
            for start in range(0, len(chunk), _LONGEST):
                part = chunk[start : start + _LONGEST]
                _write(fd, len(part).to_bytes(4, "big"))
                _write(fd, part)
        _write(fd, _END)
    except (BrokenPipeError, ConnectionResetError):
        return
    except Exception as error:
        if note is not None:
            note(error)
        with contextlib.suppress(OSError):
            _write(fd, _ERROR + json.dumps(faults.dump(error)).encode())
    finally:
        if isinstance(source, Generator):
            source.close()


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class Received(Iterator[Any]):
    """What comes in a stream, then its error; Unavailable where it ends in the middle. Closing it ends the sender."""

    def __init__(self, fd: int, decode: Callable[[bytes], Any]) -> None:
        self._fd = fd
        self._decode = decode
        self._file: BinaryIO | None = None

    def __next__(self) -> Any:
        if self._file is None:
            if self._fd < 0:
                raise StopIteration
            self._file = open(self._fd, "rb")  # noqa: PTH123, SIM115 - a descriptor, which is closed later
            self._fd = -1
        try:
            chunk = _next_chunk(self._file)
            value = None if chunk is None else self._decode(chunk)
        except BaseException:
            self.close()
            raise
        if chunk is None:
            self.close()
            raise StopIteration
        return value

    def close(self) -> None:
        """Read no more; twice is fine."""
        if self._fd >= 0:
            close_all((self._fd,))
        elif self._file is not None:
            self._file.close()
        self._fd, self._file = -1, None

    def __del__(self) -> None:
        self.close()


def _next_chunk(file: BinaryIO) -> bytes | None:
    head = file.read(4)
    if head == _END:
        return None
    if head == _ERROR:
        raise _error(file.read(1 << 20))
    length = int.from_bytes(head, "big")
    chunk = file.read(length) if len(head) == 4 and length <= _LONGEST else b""
    if not chunk or len(chunk) < length:
        raise Unavailable("the process that sent these bytes ended meanwhile", hint="do it again")
    return chunk


def opened(fd: int) -> BinaryIO:
    """Return a stream as a file to read."""
    return cast(BinaryIO, io.BufferedReader(_File(Received(fd, bytes)), _CHUNK))


class _File(io.RawIOBase):
    """The bytes of a stream, as they come."""

    def __init__(self, chunks: Received) -> None:
        super().__init__()
        self._chunks = chunks
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            self._left = memoryview(next(self._chunks, b""))
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size

    def close(self) -> None:
        self._chunks.close()
        super().close()


def _error(text: bytes) -> Exception:
    try:
        return faults.load(json.loads(text))
    except (ValueError, RecursionError):
        return faults.load(None)
