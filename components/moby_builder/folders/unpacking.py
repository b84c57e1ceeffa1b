"""Archives that are unpacked into a root: tar, plain or compressed, of nobody that is trusted."""

import io
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from moby.contracts.builder import BuildFailed
from moby.errors import Invalid
from moby.host import tree
from moby.oci import compression
from moby.oci.digest import CHUNK_BYTES
from moby.oci.unpack import Limits, Meta, Unpacking

__all__ = ["take", "unpack", "unpack_stream"]

_LOOKED_AT_BYTES = 512
"""What it takes to tell a tar by."""


class _Archive(Unpacking):
    """An archive, in which no name has a meaning of its own."""

    def keep_root(self) -> None:
        """Leave the root as it is, but for its times."""
        found = os.fstat(self.root_fd)
        self._metas[()] = Meta(stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)

    def _whiteout(self, parts: list[str], name: str) -> None:
        """Leave out what in a layer says that something is hidden: no layer can hold such a name."""


class _Watched(io.RawIOBase):
    """A reader of chunks that ends when the build is given up."""

    def __init__(self, chunks: Iterator[bytes], check: Callable[[], None]) -> None:
        super().__init__()
        self._chunks = chunks
        self._check = check
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        self._check()
        if not self._rest:
            self._rest = next(self._chunks, b"")
        part = self._rest if size is None or size < 0 else self._rest[:size]
        self._rest = self._rest[len(part) :]
        return part


def unpack(chunks: Iterator[bytes], root_fd: int, check: Callable[[], None], limits: Limits | None = None) -> None:
    """Unpack a plain tar into a folder, over what is there; BuildFailed for one that is hostile or damaged."""
    unpacking = _Archive(root_fd, os.geteuid() == 0, limits or Limits())
    unpacking.keep_root()
    try:
        unpacking.apply(_Watched(chunks, check))  # type: ignore[arg-type]
        unpacking.finish()
    except Invalid as error:
        raise BuildFailed(f"failed to unpack the archive: {error.message}", hint=error.hint) from error


def unpack_stream(source: BinaryIO, root_fd: int, check: Callable[[], None], limits: Limits | None = None) -> None:
    """Unpack a tar, perhaps a compressed one, from a stream."""
    with compression.ReadAhead(compression.plain(source)) as reader:
        unpack(iter(lambda: reader.read(CHUNK_BYTES), b""), root_fd, check, limits)


def take(sent: BinaryIO, folder: Path, check: Callable[[], None]) -> None:
    """Take what a client sends as its context into a new folder: an archive, or else a Dockerfile alone."""
    head = compression.Rewound(sent, _LOOKED_AT_BYTES)
    if not (compression.detect(head.head) or _is_tar(head.head)):
        with (folder / "Dockerfile").open("wb") as file:
            while chunk := head.read(CHUNK_BYTES):
                check()
                file.write(chunk)
        return
    root_fd = os.open(folder, tree.DIRECTORY_FLAGS)
    try:
        unpack_stream(head, root_fd, check)  # type: ignore[arg-type]
    finally:
        os.close(root_fd)


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"
