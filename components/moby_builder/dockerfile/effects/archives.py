"""Archives that are unpacked into a root: tar, plain or compressed, of nobody that is trusted."""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import BinaryIO

from moby.contracts.builder import BuildFailed
from moby.errors import Invalid
from moby.oci import compression, layer
from moby.oci.digest import CHUNK_BYTES
from moby.oci.unpack import Limits, Meta, Unpacking
from moby_builder.dockerfile.effects.beneath import opened
from moby_builder.dockerfile.effects.matches import Match
from moby_builder.dockerfile.solver.effects import Cancel

__all__ = ["is_archive", "is_archive_file", "open_file", "unpack", "unpack_stream"]

_READ = os.O_RDONLY | os.O_NONBLOCK


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

    def __init__(self, chunks: Iterator[bytes], cancel: Cancel) -> None:
        super().__init__()
        self._chunks = chunks
        self._cancel = cancel
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        self._cancel.check()
        if not self._rest:
            self._rest = next(self._chunks, b"")
        part = self._rest if size is None or size < 0 else self._rest[:size]
        self._rest = self._rest[len(part) :]
        return part


def open_file(root_fd: int, match: Match) -> BinaryIO:
    """Open a file that a source means, to be read."""
    return os.fdopen(opened(root_fd, match.path, _READ), "rb")


def is_archive(root_fd: int, match: Match) -> bool:
    """Whether a file is a tar archive, perhaps a compressed one."""
    if not stat.S_ISREG(match.found.st_mode) or not match.found.st_size:
        return False
    with open_file(root_fd, match) as file:
        return _begins_as_one(file)


def is_archive_file(path: Path) -> bool:
    """Whether a file of one's own is a tar archive, perhaps a compressed one."""
    with path.open("rb") as file:
        return _begins_as_one(file)


def _begins_as_one(file: BinaryIO) -> bool:
    with closing(compression.plain(file)) as plain, suppress(Invalid):
        return next(layer.read(plain), None) is not None
    return False


def unpack(chunks: Iterator[bytes], root_fd: int, cancel: Cancel, limits: Limits | None = None) -> None:
    """Unpack a plain tar into a folder, over what is there; BuildFailed for one that is hostile or damaged."""
    unpacking = _Archive(root_fd, os.geteuid() == 0, limits or Limits())
    unpacking.keep_root()
    try:
        unpacking.apply(_Watched(chunks, cancel))  # type: ignore[arg-type]
        unpacking.finish()
    except Invalid as error:
        raise BuildFailed(f"failed to unpack the archive: {error.message}", hint=error.hint) from error


def unpack_stream(source: BinaryIO, root_fd: int, cancel: Cancel, limits: Limits | None = None) -> None:
    """Unpack a tar, perhaps a compressed one, from a stream."""
    with compression.ReadAhead(compression.plain(source)) as reader:
        unpack(iter(lambda: reader.read(CHUNK_BYTES), b""), root_fd, cancel, limits)
