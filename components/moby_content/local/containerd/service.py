"""containerd's service of content, of one namespace."""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, TypeVar

from moby.contracts.content import Blob
from moby.contracts.types import Digest
from moby.errors import HostUnfit, Invalid, NotFound, Unavailable
from moby.grpc.client import Client, Code, Failed
from moby.oci import digest as digests
from moby.oci.digest import CHUNK_BYTES
from moby_content.local.containerd import protocol

__all__ = ["Service"]

M = TypeVar("M")
_SERVICE = "content.v1.Content"
_KEPT = {"containerd.io/gc.root": "moby"}
"""What containerd's own collection leaves alone: an engine collects itself."""
_ERRORS = {Code.NOT_FOUND: NotFound, Code.UNAVAILABLE: Unavailable}


class Service:
    """Calls; thread-safe. Unavailable where containerd doesn't answer, HostUnfit in its words for what it can't."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            self._client.close()

    def size_bytes(self, digest: Digest) -> int:
        """Return how large a blob is; NotFound where it isn't there."""
        found = self._ask("Info", protocol.Of(str(digest)), protocol.InfoOf).info
        return found.size if found else 0

    def delete(self, digest: Digest) -> None:
        """Remove a blob; nothing where there is none."""
        with suppress(NotFound):
            self._ask("Delete", protocol.Of(str(digest)), protocol.Empty)

    def all(self) -> Iterator[Blob]:
        """Yield all blobs of the namespace."""
        with _told("list"):
            for part in self._client.stream(f"{_SERVICE}/List", [protocol.Empty()], protocol.Listed):
                for each in part.info:
                    with suppress(Invalid):
                        yield Blob(digests.parse(each.digest), each.size)

    def read(self, digest: Digest) -> Iterator[bytes]:
        """Yield a blob's bytes."""
        with _told("read"):
            for each in self._client.stream(f"{_SERVICE}/Read", [protocol.Range(str(digest))], protocol.Part):
                yield each.data

    def write(self, digest: Digest, size_bytes: int, source: BinaryIO) -> None:
        """Store a blob, which is that by its digest; one that is there is fine."""
        ref = f"moby-{secrets.token_hex(8)}"
        try:
            with _told("write"):
                for _ in self._client.stream(
                    f"{_SERVICE}/Write", _written(ref, digest, size_bytes, source), protocol.Written
                ):
                    pass
        except _There:
            return

    def _ask(self, method: str, request: object, kind: type[M]) -> M:
        with _told(method.lower()), self._lock:
            return self._client.ask(f"{_SERVICE}/{method}", request, kind)


class _There(HostUnfit):
    """What is to be written is there."""


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except Failed as error:
        text = f"containerd's content store can't {what}: {error}"
        known = _There if error.code == Code.ALREADY_EXISTS else _ERRORS.get(error.code, HostUnfit)
        raise known(text) from error


def _written(ref: str, digest: Digest, size_bytes: int, source: BinaryIO) -> Iterator[protocol.Write]:
    offset = 0
    while chunk := source.read(CHUNK_BYTES):
        yield protocol.Write(protocol.WRITE, ref, size_bytes, str(digest), offset, chunk)
        offset += len(chunk)
    yield protocol.Write(protocol.COMMIT, ref, size_bytes, str(digest), offset, b"", _KEPT)
