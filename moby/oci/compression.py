"""Compressed streams: told apart by their first bytes, and read as what they hold.

gzip is isal's where that is installed, which takes less time, else the standard library's, as bzip2 and xz are; zstd is
its from Python 3.14 on, else that of a library that is installed (backports.zstd), else the command `zstd`.
"""

import bz2
import fcntl
import importlib
import io
import lzma
import os
import queue
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import IO, Any, BinaryIO

from moby.errors import HostUnfit, Invalid
from moby.oci.digest import CHUNK_BYTES

__all__ = ["ReadAhead", "Rewound", "detect", "plain"]

_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_LONGEST_MAGIC = 6
_AHEAD = 4
_LZMA_BYTES = 1 << 28
"""Memory that an xz stream may ask for; `xz -9` needs 65 MiB."""


def detect(head: bytes) -> str:
    """Return how a stream that begins so is compressed: gzip, bzip2, xz, zstd; empty where it isn't."""
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "")


class Rewound(io.RawIOBase):
    """A stream that can't seek, with its first bytes to be read again. Closing leaves the source open."""

    def __init__(self, source: BinaryIO, size: int = _LONGEST_MAGIC) -> None:
        super().__init__()
        self._source = source
        self.head = b""
        while len(self.head) < size and (part := source.read(size - len(self.head))):
            self.head += part
        self._rest = self.head

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return up to so many bytes; all where negative."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(CHUNK_BYTES), b""))
        if self._rest:
            part, self._rest = self._rest[:size], self._rest[size:]
            return part
        return self._source.read(size)


def plain(source: BinaryIO) -> BinaryIO:
    """Return what a stream holds, decompressed where it is compressed; the source stays the caller's.

    Invalid, while it is read, where it is damaged or ends too early; HostUnfit where this host can't read zstd.
    """
    rewound: Any = Rewound(source)
    kind = detect(rewound.head)
    if not kind:
        return rewound  # type: ignore[no-any-return]
    if isinstance(source, io.FileIO) and source.seekable():
        source.seek(-len(rewound.head), os.SEEK_CUR)
        rewound = source
    return _Inflated(rewound, kind)  # type: ignore[return-value]


class _Gzip:
    """zlib's object in the form that bz2 and lzma have; bounded in what one call gives."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(zlib.MAX_WBITS | 16)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max(0, max_length))


class _IsalGzip:
    """isal's object in the same form."""

    def __init__(self, igzip: Any) -> None:
        self._inner = igzip.IgzipDecompressor(flag=igzip.DECOMP_GZIP)
        self._error = igzip.IsalError

    @property
    def eof(self) -> bool:
        return self._inner.eof  # type: ignore[no-any-return]

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data  # type: ignore[no-any-return]

    @property
    def needs_input(self) -> bool:
        return self._inner.needs_input  # type: ignore[no-any-return]

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        try:
            return self._inner.decompress(data, max_length)  # type: ignore[no-any-return]
        except self._error as error:
            raise ValueError(str(error)) from error


def _gzip() -> Any:
    try:
        return _IsalGzip(importlib.import_module("isal.igzip_lib"))
    except ImportError:
        return _Gzip()


_MAKE: dict[str, Callable[[], Any]] = {
    "gzip": _gzip,
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(memlimit=_LZMA_BYTES),
}


def _zstd_maker() -> Callable[[], Any] | None:
    for name in ("compression.zstd", "backports.zstd"):
        with suppress(ImportError):
            found: Callable[[], Any] = importlib.import_module(name).ZstdDecompressor
            return found
    return None


class _Inflated(io.RawIOBase):
    """A reader of what a compressed stream holds; several streams one after the other are one."""

    def __init__(self, source: BinaryIO, kind: str) -> None:
        super().__init__()
        make = _MAKE.get(kind) or _zstd_maker()
        self._kind = kind
        self._chunks = _by_command(source) if make is None else _inflate(source, make)
        self._rest = b""
        self._start = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(CHUNK_BYTES), b""))
        if self._start >= len(self._rest):
            try:
                self._rest, self._start = next(self._chunks, b""), 0
            except (EOFError, OSError, zlib.error, lzma.LZMAError, ValueError) as error:
                raise Invalid(f"the stream is no whole {self._kind} stream: {error}") from error
        start, self._start = self._start, self._start + size
        return self._rest[start : self._start]

    def close(self) -> None:
        if not self.closed and hasattr(self._chunks, "close"):
            self._chunks.close()
        super().close()


def _inflate(source: BinaryIO, make: Callable[[], Any]) -> Iterator[bytes]:
    inner = make()
    data = source.read(CHUNK_BYTES)
    while data:
        while not inner.eof:
            part = inner.decompress(data, CHUNK_BYTES)
            if part:
                yield part
            data = b""
            if getattr(inner, "needs_input", True) and not inner.eof:
                data = source.read(CHUNK_BYTES)
                if not data:
                    raise EOFError("it ends too early")
        data = inner.unused_data or source.read(CHUNK_BYTES)
        if not data.strip(b"\0"):  # padding after the last stream, as tapes have it
            data = source.read(CHUNK_BYTES)
            continue
        inner = make()


def _by_command(source: BinaryIO) -> Iterator[bytes]:
    """Yield what `zstd -d` makes of a stream, which a thread feeds to it unless it is a plain file."""
    import shutil
    import subprocess

    command = shutil.which("zstd")
    if command is None:
        raise HostUnfit(
            "this host can't read zstd", hint="install the package zstd, or the Python package backports.zstd"
        )
    given: Any = source if isinstance(source, io.FileIO) else subprocess.PIPE
    with subprocess.Popen([command, "-dcq"], stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        failed = list[BaseException]()
        for each in (process.stdin, process.stdout):
            if each is not None:
                with suppress(OSError):  # more than a user may have; it goes slower then
                    fcntl.fcntl(each, fcntl.F_SETPIPE_SZ, CHUNK_BYTES)
        thread = threading.Thread(target=_feed, args=(source, process.stdin, failed), daemon=True)
        thread.start()
        try:
            while chunk := process.stdout.read(CHUNK_BYTES):
                yield chunk
            thread.join()
            if failed:
                raise failed[0]
            told = process.stderr.read().decode(errors="replace").strip()
            if process.wait() != 0:
                raise EOFError(told.rpartition(":")[2].strip() or f"zstd ended with {process.returncode}")
        finally:
            if process.poll() is None:
                process.kill()
            thread.join()


def _feed(source: BinaryIO, stdin: IO[bytes] | None, failed: list[BaseException]) -> None:
    """Write a stream into what reads it, if it doesn't by itself; append what went wrong."""
    if stdin is None:
        return
    try:
        with suppress(BrokenPipeError):
            while chunk := source.read(CHUNK_BYTES):
                stdin.write(chunk)
    except BaseException as error:
        failed.append(error)
    finally:
        with suppress(BrokenPipeError):
            stdin.close()


class ReadAhead(io.RawIOBase):
    """A reader whose source is read by a thread of its own, a few chunks ahead: inflating and hashing run beside.

    What the source raises is raised where its bytes would have been. Closing ends the thread, then closes the source.
    """

    def __init__(self, source: BinaryIO) -> None:
        super().__init__()
        self._source = source
        self._queue: queue.Queue[bytes | BaseException] = queue.Queue(_AHEAD)
        self._ended = threading.Event()
        self._rest = b""
        self._start = 0
        self._done: BaseException | None = None
        self._thread = threading.Thread(target=self._fill, daemon=True)
        self._thread.start()

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return up to so many bytes; all where negative."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(CHUNK_BYTES), b""))
        if self._start >= len(self._rest):
            if self._done is None:
                item = self._queue.get()
                if isinstance(item, BaseException):
                    self._done = item
                else:
                    self._rest, self._start = item, 0
            if self._done is not None:
                if isinstance(self._done, StopIteration):
                    return b""
                raise self._done
        start, self._start = self._start, self._start + size
        return self._rest[start : self._start]

    def close(self) -> None:
        """End the thread, and close the source."""
        if not self.closed:
            self._ended.set()
            while self._thread.is_alive():
                with suppress(queue.Empty):
                    self._queue.get(timeout=0.05)
            self._source.close()
        super().close()

    def _fill(self) -> None:
        last: BaseException = StopIteration()
        try:
            while not self._ended.is_set() and (chunk := self._source.read(CHUNK_BYTES)):
                self._put(chunk)
        except BaseException as error:
            last = error
        self._put(last)

    def _put(self, item: bytes | BaseException) -> None:
        while not self._ended.is_set():
            with suppress(queue.Full):
                self._queue.put(item, timeout=1.0)
                return
