"""Compressing: layers as gzip and zstd, the same bytes each time.

gzip is isal's where that is installed and no level is asked for, else zlib's; zstd is the standard library's from
Python 3.14 on, else that of a library that is installed, else the command `zstd`.
"""

import importlib
import shutil
import subprocess
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Protocol

from moby.errors import HostUnfit
from moby.oci.digest import CHUNK_BYTES
from moby_builder.dockerfile.exports.options import Compression

__all__ = ["compressed", "method_of"]

_GZIP_LEVEL = 5
"""A hundredth larger than by 6, and a third faster."""
_ISAL_LEVEL = 1
_ZSTD_LEVEL = 3


class _Packer(Protocol):
    def compress(self, data: bytes) -> bytes: ...

    def flush(self) -> bytes: ...


def method_of(kind: Compression, level: int | None) -> str:
    """Return what tells apart ways of compressing that don't come to the same bytes."""
    isal = kind is Compression.GZIP and level is None and _isal() is not None
    return f"{kind}-{'isal' if isal else level if level is not None else 'default'}"


def compressed(chunks: Iterable[bytes], kind: Compression, level: int | None = None) -> Iterator[bytes]:
    """Yield bytes compressed; HostUnfit where this host can't write zstd."""
    if kind is Compression.UNCOMPRESSED:
        yield from chunks
        return
    packer = _gzip(level) if kind is Compression.GZIP else _zstd(level)
    if packer is None:
        yield from _by_command(chunks, _ZSTD_LEVEL if level is None else level)
        return
    for chunk in chunks:
        if part := packer.compress(chunk):
            yield part
    yield packer.flush()


def _isal() -> Any:
    with suppress(ImportError):
        return importlib.import_module("isal.isal_zlib")
    return None


def _gzip(level: int | None) -> _Packer:
    isal = _isal() if level is None else None
    if isal is not None:
        return isal.compressobj(_ISAL_LEVEL, isal.DEFLATED, zlib.MAX_WBITS | 16)  # type: ignore[no-any-return]
    return zlib.compressobj(_GZIP_LEVEL if level is None else level, zlib.DEFLATED, zlib.MAX_WBITS | 16)


def _zstd(level: int | None) -> _Packer | None:
    for name in ("compression.zstd", "backports.zstd"):
        with suppress(ImportError):
            return importlib.import_module(name).ZstdCompressor(  # type: ignore[no-any-return]
                level=_ZSTD_LEVEL if level is None else level
            )
    return None


def _by_command(chunks: Iterable[bytes], level: int) -> Iterator[bytes]:
    """Yield what the command `zstd` makes of bytes, which a thread feeds to it."""
    command = shutil.which("zstd")
    if command is None:
        raise HostUnfit(
            "this host can't write zstd",
            hint="install the package zstd, or the Python package backports.zstd, or use compression=gzip",
        )
    failed: list[BaseException] = []
    arguments = [command, "-cq", "--ultra", f"-{level or 1}"]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        stdin = process.stdin

        def feed() -> None:
            try:
                with suppress(BrokenPipeError):
                    for chunk in chunks:
                        stdin.write(chunk)
            except BaseException as error:
                failed.append(error)
            finally:
                with suppress(BrokenPipeError):
                    stdin.close()

        thread = threading.Thread(target=feed, daemon=True)
        thread.start()
        try:
            while chunk := process.stdout.read(CHUNK_BYTES):
                yield chunk
            thread.join()
            if failed:
                raise failed[0]
            if process.wait() != 0:
                raise HostUnfit(f"zstd ended with {process.returncode}")
        finally:
            if process.poll() is None:
                process.kill()
            thread.join()
