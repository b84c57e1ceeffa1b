"""A store of blobs that the client keeps (containerd.services.content.v1)."""

import secrets
from collections.abc import Iterator
from typing import BinaryIO

from attrs import frozen

from moby.contracts.types import Digest
from moby.errors import NotFound, Unavailable
from moby_frontend.docker.buildkit.grpc import Caller, Code, Fault
from moby_frontend.docker.buildkit.protocol.lending import (
    BlobInfoRequest,
    BlobInfoResponse,
    BlobRead,
    BlobReadRequest,
    BlobWrite,
    BlobWritten,
)
from moby_frontend.docker.buildkit.session.streams import Incoming

__all__ = ["ClientBlobs"]

_SERVICE = "/containerd.services.content.v1.Content"
_STORE = "buildkit-attachable-store-id"
_CHUNK = 1 << 20
_WRITE, _COMMIT = 1, 2


@frozen
class ClientBlobs:
    """One store by its name; see the contract."""

    _caller: Caller
    _name: str

    def read(self, digest: Digest) -> BinaryIO:
        """Open a blob; see the contract."""
        self.size(digest)
        exchange = self._caller.begin(f"{_SERVICE}/Read", self._metadata)
        exchange.send(BlobReadRequest(str(digest)), end=True)
        return Incoming.of(exchange, BlobRead)

    def size(self, digest: Digest) -> int:
        """Return a blob's size; NotFound for none."""
        try:
            found = self._caller.ask(f"{_SERVICE}/Info", BlobInfoRequest(str(digest)), BlobInfoResponse, self._metadata)
        except Fault as error:
            if error.code == Code.NOT_FOUND:
                raise NotFound(f"the client's store {self._name} has no blob {digest}") from error
            raise
        return found.info.size if found.info else 0

    def write(self, digest: Digest, size_bytes: int, chunks: Iterator[bytes]) -> None:
        """Store a blob; see the contract."""
        ref, name = secrets.token_hex(16), str(digest)
        try:
            with self._caller.begin(f"{_SERVICE}/Write", self._metadata) as exchange:
                answers = exchange.batches(BlobWritten)
                offset = 0
                for each in _pieces(chunks):
                    exchange.send(BlobWrite(_WRITE, ref, size_bytes, name, offset, each))
                    offset += len(each)
                    next(answers, None)
                exchange.send(BlobWrite(_COMMIT, ref, size_bytes, name, offset), end=True)
                exchange.finish()
        except Fault as error:
            if error.code != Code.ALREADY_EXISTS:
                raise Unavailable(f"the client doesn't store the blob {digest}: {error.message}") from error

    @property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return ((_STORE, self._name),)


def _pieces(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the same in pieces that a message may have."""
    for chunk in chunks:
        for at in range(0, len(chunk), _CHUNK):
            yield chunk[at : at + _CHUNK]
