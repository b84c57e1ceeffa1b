"""Blobs of SHA-256 in containerd's content store; all else of a store as `local` has it; see the contract."""

import io
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Self, cast

from moby.contracts.content import Blob
from moby.contracts.types import Digest
from moby.errors import NotFound
from moby.host.locks import locked
from moby.oci.digest import Verified
from moby_content.local.containerd.service import Service
from moby_content.local.ingest import FileWriter
from moby_content.local.leases import FileLease
from moby_content.local.proofs import Proofs
from moby_content.local.store import Store

__all__ = ["RemoteStore"]

_THEIRS = "sha256"
"""The only digests of blobs that containerd keeps."""


class RemoteStore(Store):
    """Blobs that containerd has, and, of other digests, in a folder."""

    def __init__(self, state: Path, service: Service) -> None:
        super().__init__(state)
        self._service = service

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of containerd."""
        self._service.close()

    def info(self, digest: Digest) -> Blob:
        """Return what is known of a blob."""
        if digest.algorithm != _THEIRS:
            return super().info(digest)
        try:
            return Blob(digest, self._service.size_bytes(digest))
        except NotFound as error:
            raise NotFound(f"blob {digest} isn't in containerd's content store", hint="fetch it again") from error

    def open(self, digest: Digest, *, size_bytes: int | None = None) -> BinaryIO:
        """Open a blob, which is proven at its end."""
        if digest.algorithm != _THEIRS:
            return super().open(digest, size_bytes=size_bytes)
        found = self.info(digest)
        source = _Blob(self._service.read(digest) if found.size_bytes else iter(()))
        return cast(BinaryIO, Verified(cast(BinaryIO, source), digest, size_bytes=size_bytes))

    def _all_blobs(self) -> Iterator[Blob]:
        yield from self._service.all()
        yield from super()._all_blobs()

    def _has(self, digest: Digest) -> bool:
        if digest.algorithm != _THEIRS:
            return super()._has(digest)
        try:
            self._service.size_bytes(digest)
        except NotFound:
            return False
        return True

    def _remove(self, digest: Digest) -> None:
        if digest.algorithm == _THEIRS:
            self._service.delete(digest)
        else:
            super()._remove(digest)

    def _begun(self, folder: Path, ref: str, lease: FileLease, algorithm: str) -> FileWriter:
        if algorithm != _THEIRS:
            return super()._begun(folder, ref, lease, algorithm)
        return _Sending(self._service, folder, ref, lease, self._blobs, self._lock, algorithm, self._proofs)


class _Sending(FileWriter):
    """A blob that goes to containerd once it is whole, and proven."""

    def __init__(
        self, service: Service, folder: Path, ref: str, lease: FileLease, blobs: Path, lock: Path, algorithm: str,
        proofs: Proofs,
    ) -> None:  # fmt: skip
        self._service = service
        super().__init__(folder, ref, lease, blobs, lock, algorithm, proofs)

    def _keep(self, digest: Digest) -> None:
        with locked(self._lock, exclusive=False):
            self._lease.hold_locked(digest)  # first: from here on no collection takes it
        with (self._folder / "data").open("rb") as source:
            self._service.write(digest, self.offset_bytes, source)
        (self._folder / "ref").unlink(missing_ok=True)
        (self._folder / "data").unlink(missing_ok=True)


class _Blob(io.RawIOBase):
    """A blob's bytes as a file; the first are asked for at once, so that it may be removed meanwhile."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._source = parts
        first = next(parts, b"")
        self._parts = chain((first,), parts)
        self._left = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size is None or size < 0:
            found, self._left = self._left + b"".join(self._parts), b""
            return found
        while not self._left:
            part = next(self._parts, None)
            if part is None:
                return b""
            self._left = part
        found, self._left = self._left[:size], self._left[size:]
        return found

    def close(self) -> None:
        if not self.closed:
            close = getattr(self._source, "close", None)
            if close is not None:
                close()
        super().close()
