"""The kind `content`: blobs by digest, immutable, proven when they are written and when they are read.

What keeps a blob is a root: whatever the caller of `collect` says is in use. Between the first byte that arrives and
the moment in which something in use names it, a lease keeps it; so a collection can't take from under a writer.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

from moby.contracts.kind import contract, repeatable
from moby.contracts.types import Digest
from moby.values import frozen

__all__ = ["Blob", "Collected", "Content", "Ingest", "Lease", "Writer"]


@frozen(order=True)
class Blob:
    """A blob that is whole."""

    digest: Digest
    size_bytes: int


@frozen(order=True)
class Ingest:
    """A blob on its way in, which nobody may be writing at the moment."""

    ref: str
    offset_bytes: int
    updated_ns: int
    """When it last grew, in nanoseconds since the epoch."""


@frozen
class Collected:
    """What a collection removed."""

    blobs: tuple[Blob, ...] = ()
    ingests: tuple[Ingest, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Of all of it."""
        return sum(each.size_bytes for each in self.blobs) + sum(each.offset_bytes for each in self.ingests)


class Lease(Protocol):
    """Keeps blobs from being collected, until it is closed or its process dies; thread-safe, closing twice is fine."""

    def hold(self, digest: Digest) -> bool:
        """Keep a blob from here on; whether it is there. One that comes later is kept as well."""
        ...

    def close(self) -> None:
        """Let go. What the caller published before stays, however far a collection is."""
        ...


class Writer(Protocol):
    """One blob on its way in; its only writer. Not thread-safe. Closing without commit keeps what came, to go on."""

    @property
    def offset_bytes(self) -> int:
        """Of the next byte: what came so far."""
        ...

    def write(self, data: bytes | memoryview) -> None:
        """Append; HostUnfit where the disk is full."""
        ...

    def commit(self, digest: Digest | None = None, *, size_bytes: int | None = None) -> Blob:
        """Make it a blob, held by the lease it was begun with; a blob that is there already is fine.

        Corrupt, and all that came is dropped, where it isn't what it should be.
        """
        ...

    def abort(self) -> None:
        """Drop what came."""
        ...

    def close(self) -> None:
        """Let another one go on; twice is fine."""
        ...


@contract("content", version=1)
class Content(Protocol):
    """Keeps blobs by digest. Thread-safe, also against other processes on the same folder.

    A blob is whole as soon as it is visible, and survives the death of every process of the engine.
    """

    def lease(self) -> AbstractContextManager[Lease]:
        """Begin a lease, which leaving closes."""
        ...

    def writer(self, ref: str, lease: Lease, *, algorithm: str = "sha256") -> AbstractContextManager[Writer]:
        """Begin, or go on with, a blob under a name of the caller's choice (1 to 1024 bytes); leaving closes it.

        What came before is hashed anew. Conflict where another one writes it. Leaving by an exception keeps what came.
        """
        ...

    @repeatable
    def ingests(self) -> tuple[Ingest, ...]:
        """Return all that is on its way in, sorted by ref."""
        ...

    @repeatable
    def info(self, digest: Digest) -> Blob:
        """Return what is known of a blob, whose bytes aren't looked at; NotFound where it isn't here."""
        ...

    @repeatable
    def open(self, digest: Digest, *, size_bytes: int | None = None) -> BinaryIO:
        """Open a blob, which stays readable when it is removed meanwhile; the caller closes it.

        Whoever reads to the end has proof: else Corrupt is raised on the way, or there, where its bytes or their number
        aren't what they should be. NotFound where it isn't here.
        """
        ...

    @repeatable
    def list(self) -> tuple[Blob, ...]:
        """Return all blobs, sorted by digest."""
        ...

    @repeatable
    def delete(self, digest: Digest) -> None:
        """Remove a blob, whoever holds it: for one that is damaged. None there is fine."""
        ...

    def collect(self, roots: Callable[[], Iterable[Digest]], *, idle_s: float = 86400.0) -> Collected:
        """Remove blobs that are neither among the roots nor leased, and ingests that nobody wrote to for so long.

        `roots` is asked once, after the collection began, and must give what is in use then: a blob that is published
        later was leased meanwhile. Writers and leases wait for it at most 100 ms at a time. Two at once take turns.
        """
        ...
