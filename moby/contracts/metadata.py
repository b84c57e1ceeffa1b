"""The kind `metadata`: what an engine must remember, as JSON documents by key, in named buckets.

A service takes a bucket of its own and knows nothing of others'. What is unique or counted is checked and written in
one transaction. A document is JSON; `texts` gives many of them unread, for a listing that only passes them on.
"""

import os
from contextlib import AbstractContextManager
from typing import Any, Protocol

from moby.contracts.kind import contract, of_thread, repeatable

__all__ = ["MAX_KEY_BYTES", "Bucket", "Metadata", "host_id"]

MAX_KEY_BYTES = 1024
"""Of a key, and of a bucket's name, in UTF-8."""
_HOST_ID = "host-id"


class Bucket(Protocol):
    """Documents by key. Thread-safe, and against other processes; a bucket is there as soon as it is named.

    A key is text of 1 to MAX_KEY_BYTES bytes without NUL, U+10FFFF and lone surrogates; else Invalid. A call outside
    a transaction is one of its own: what it wrote is whole, and survives the death of every process of the engine,
    once it returns. Reading never waits for a writer, and sees what was committed, or in a transaction its own writes.
    Every call may raise Corrupt, where the store is damaged, and HostUnfit, where the disk is full or can't be used.
    """

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @repeatable
    def get(self, key: str) -> Any:
        """Return a document, a fresh copy; None where there is none."""
        ...

    @repeatable
    def text(self, key: str) -> str | None:
        """Return a document as the JSON text that it is stored as; None where there is none."""
        ...

    def put(self, key: str, document: Any) -> None:
        """Store a document, in place of what is there; Invalid where it is no JSON value."""
        ...

    def put_text(self, key: str, text: str) -> None:
        """Store a document that is JSON text already, which isn't looked at."""
        ...

    def insert(self, key: str, document: Any) -> None:
        """Store a document where none is; Conflict where the key is taken, and then nothing is changed."""
        ...

    def delete(self, key: str) -> bool:
        """Remove a document; False where none is there."""
        ...

    @repeatable
    def keys(self, prefix: str = "") -> tuple[str, ...]:
        """Return the keys that begin so, sorted by their UTF-8 bytes."""
        ...

    @repeatable
    def items(self, prefix: str = "", *, after: str = "", limit: int = 0) -> tuple[tuple[str, Any], ...]:
        """Return keys and documents, sorted by key: those that begin with `prefix` and sort after `after`.

        At most `limit`, 0 for all.
        """
        ...

    @repeatable
    def texts(self, prefix: str = "", *, after: str = "", limit: int = 0) -> tuple[tuple[str, str], ...]:
        """Return the same with documents as JSON text, which is several times cheaper."""
        ...

    @repeatable
    def count(self, prefix: str = "") -> int:
        """Return how many keys begin so."""
        ...


@contract("metadata", version=1, many=True)
class Metadata(Protocol):
    """Remembers JSON documents by key, and changes many of them at once or none.

    An engine may have a second one, which it shares with engines of other hosts: those parts use it that are told so.
    """

    @repeatable
    def bucket(self, name: str) -> Bucket:
        """Return the bucket of a name, an empty one where nothing was stored; cheap, and kept as long as one likes."""
        ...

    @repeatable
    def buckets(self) -> tuple[str, ...]:
        """Return the names of all buckets that hold a document, sorted."""
        ...

    @of_thread
    def transaction(self) -> AbstractContextManager[None]:
        """Make all calls of this thread on all buckets one change, which an exception takes back.

        No other thread or process writes meanwhile, so what is read inside stays true until the end: keep it short.
        Waits for another's end, at most 30 s, then Unavailable. One inside another is part of it: an exception that
        leaves the inner one takes both back, even where it is caught between them; the outer one's end then raises
        Conflict. More than the store takes at once is Unsupported at the end, and nothing of it is stored.
        """
        ...

    @of_thread
    def snapshot(self) -> AbstractContextManager[None]:
        """Let all reads of this thread see one moment, whatever others write; writing inside raises Conflict."""
        ...


def host_id(metadata: Metadata, bucket: str) -> str:
    """Return what others that share a store know this host by; made once, kept in a bucket of its own store."""
    settings = metadata.bucket(bucket)
    with metadata.transaction():
        if settings.get(_HOST_ID) is None:
            settings.put(_HOST_ID, os.urandom(16).hex())
    return str(settings.get(_HOST_ID))
