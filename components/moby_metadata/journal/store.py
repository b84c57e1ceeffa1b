"""Documents in memory, kept in step with a journal; see the contract."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from moby.contracts.metadata import Bucket
from moby.errors import Conflict, Unavailable
from moby_metadata.documents.text import checked, encoded
from moby_metadata.journal.journal import Change, Journal

__all__ = ["Store"]

_WAIT_S = 30.0
_REWRITTEN_BYTES = 1 << 20
"""A smaller journal is never written anew."""

Documents = dict[str, dict[str, str]]


class _Held(threading.local):
    """What this thread has begun: what it sees, and what it changed."""

    seen: Documents | None = None
    changes: list[Change] | None = None
    failed = False


class Store:
    """Buckets of documents. What was read once is never changed: a change makes new dictionaries."""

    def __init__(self, path: Path, *, durable: bool = False) -> None:
        self._journal = Journal(path, durable=durable)
        self._documents: Documents = {}
        self._mutex = threading.Lock()
        self._turn = threading.Lock()
        self._held = _Held()

    def bucket(self, name: str) -> Bucket:
        """Return the bucket of a name."""
        return _Bucket(self, checked(name, "bucket"))

    def buckets(self) -> tuple[str, ...]:
        """Return the names of all buckets that hold a document, sorted."""
        return tuple(sorted((name for name, held in self.seen().items() if held), key=str.encode))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all calls of this thread one change."""
        held = self._held
        if held.seen is not None:
            if held.changes is None:
                raise Conflict("a snapshot is for reading; begin the transaction outside it")
            try:
                yield
            except BaseException:
                held.failed = True
                raise
            return
        with self._alone():
            held.seen, held.changes, held.failed = self._current(), [], False
            try:
                yield
                if held.failed:
                    raise Conflict("a transaction inside this one failed, so nothing of it was stored")
                self._commit(held.seen, held.changes)
            finally:
                held.seen = held.changes = None

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all reads of this thread see one moment."""
        held = self._held
        if held.seen is not None:
            yield
            return
        held.seen = self._current()
        try:
            yield
        finally:
            held.seen = None

    def seen(self) -> Documents:
        """Return what this thread sees."""
        return self._current() if self._held.seen is None else self._held.seen

    def write(self, bucket: str, key: str, text: str | None) -> None:
        """Change a document, by itself or within what this thread has begun."""
        held = self._held
        if held.seen is None:
            with self.transaction():
                self.write(bucket, key, text)
            return
        if held.changes is None:
            raise Conflict("a snapshot is for reading; write outside it")
        held.seen = _applied(held.seen, [(bucket, key, text)])
        held.changes.append((bucket, key, text))

    def _current(self) -> Documents:
        with self._mutex:
            anew, news = self._journal.news()
            if anew:
                self._documents = {}
            for changes in news:
                self._documents = _applied(self._documents, changes)
            return self._documents

    def _commit(self, documents: Documents, changes: list[Change]) -> None:
        if not changes:
            return
        with self._mutex:
            self._journal.append(changes)
            self._documents = documents
            used = sum(len(key) + len(text) for held in documents.values() for key, text in held.items())
            if self._journal.size_bytes > max(_REWRITTEN_BYTES, 4 * used):
                whole: list[Change] = [(name, *each) for name, held in documents.items() for each in held.items()]
                self._journal.rewrite(whole)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=_WAIT_S):
            raise Unavailable(f"another thread writes metadata for {_WAIT_S:.0f} s", hint="try again")
        try:
            with self._journal.alone():
                yield
        finally:
            self._turn.release()


def _applied(documents: Documents, changes: list[Change]) -> Documents:
    found = dict(documents)
    for bucket, key, text in changes:
        held = dict(found.get(bucket, {}))
        if text is None:
            held.pop(key, None)
        else:
            held[key] = text
        found[bucket] = held
    return found


class _Bucket:
    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self.name = name

    def get(self, key: str) -> Any:
        text = self.text(key)
        return None if text is None else json.loads(text)

    def text(self, key: str) -> str | None:
        return self._seen().get(checked(key, "key"))

    def put(self, key: str, document: Any) -> None:
        self.put_text(key, encoded(document, key))

    def put_text(self, key: str, text: str) -> None:
        self._store.write(self.name, checked(key, "key"), text)

    def insert(self, key: str, document: Any) -> None:
        text = encoded(document, key)
        checked(key, "key")
        if self._store._held.seen is None:
            with self._store.transaction():
                self.insert(key, document)
            return
        if key in self._seen():
            raise Conflict(f"{self.name} has a {key!r} already")
        self._store.write(self.name, key, text)

    def delete(self, key: str) -> bool:
        checked(key, "key")
        if self._store._held.seen is None:
            with self._store.transaction():
                return self.delete(key)
        if key not in self._seen():
            return False
        self._store.write(self.name, key, None)
        return True

    def keys(self, prefix: str = "") -> tuple[str, ...]:
        return tuple(sorted((key for key in self._seen() if key.startswith(prefix)), key=str.encode))

    def items(self, prefix: str = "", *, after: str = "", limit: int = 0) -> tuple[tuple[str, Any], ...]:
        return tuple((key, json.loads(text)) for key, text in self.texts(prefix, after=after, limit=limit))

    def texts(self, prefix: str = "", *, after: str = "", limit: int = 0) -> tuple[tuple[str, str], ...]:
        seen, start = self._seen(), after.encode()
        found = sorted((key for key in seen if key.startswith(prefix) and key.encode() > start), key=str.encode)
        return tuple((key, seen[key]) for key in found[: limit or None])

    def count(self, prefix: str = "") -> int:
        return sum(key.startswith(prefix) for key in self._seen())

    def _seen(self) -> dict[str, str]:
        return self._store.seen().get(self.name, {})
