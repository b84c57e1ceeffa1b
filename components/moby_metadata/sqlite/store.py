"""Documents in a SQLite database; see the contract."""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from moby.contracts.metadata import Bucket
from moby.errors import Conflict, Unavailable
from moby_metadata.documents.text import LAST, checked, encoded
from moby_metadata.sqlite.connections import Connections

__all__ = ["Store"]

R = TypeVar("R")
_WAIT_S = 30.0
_SELECT = "SELECT key, document FROM documents WHERE bucket=? AND key>=? AND key<? AND key>? ORDER BY key LIMIT ?"


class _Held(threading.local):
    """What this thread has begun."""

    connection: sqlite3.Connection | None = None
    writing = False
    failed = False


class _Turn:
    """Lets one thread in at a time; Unavailable for who waits too long."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=_WAIT_S):
            raise Unavailable(f"another thread writes metadata for {_WAIT_S:.0f} s", hint="try again")

    def __exit__(self, *error: object) -> None:
        self._lock.release()


class Store:
    """Buckets of documents in one database file."""

    def __init__(self, path: Path, *, durable: bool = False) -> None:
        self._connections = Connections(path, durable=durable)
        self._held = _Held()
        # Writers of one process queue here, woken at once; SQLite's own waiting sleeps up to 100 ms at a time.
        self._turn = _Turn()

    def __enter__(self) -> "Store":
        with self._connections.lend():
            return self

    def __exit__(self, *_: object) -> None:
        self._connections.close()

    def bucket(self, name: str) -> Bucket:
        """Return the bucket of a name."""
        return _Bucket(self, checked(name, "bucket"))

    def buckets(self) -> tuple[str, ...]:
        """Return the names of all buckets that hold a document, sorted."""
        names = self.read(lambda db: db.execute("SELECT DISTINCT bucket FROM documents ORDER BY bucket").fetchall())
        return tuple(name for (name,) in names)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all calls of this thread one change."""
        held = self._held
        if held.connection is not None:
            if not held.writing:
                raise Conflict("a snapshot is for reading; begin the transaction outside it")
            try:
                yield
            except BaseException:
                held.failed = True
                raise
            return
        with self._turn, self._connections.lend() as connection:
            connection.execute("BEGIN IMMEDIATE")
            held.connection, held.writing, held.failed = connection, True, False
            try:
                yield
                if held.failed:
                    raise Conflict("a transaction inside this one failed, so nothing of it was stored")
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
            finally:
                held.connection, held.writing = None, False

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all reads of this thread see one moment."""
        held = self._held
        if held.connection is not None:
            yield
            return
        with self._connections.lend() as connection:
            connection.execute("BEGIN")
            connection.execute("SELECT 1 FROM documents LIMIT 1").fetchone()  # the moment is the first read's
            held.connection = connection
            try:
                yield
            finally:
                held.connection = None
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")

    def read(self, ask: Callable[[sqlite3.Connection], R]) -> R:
        """Read within what this thread has begun, or else by itself."""
        if self._held.connection is not None:
            return ask(self._held.connection)
        with self._connections.lend() as connection:
            return ask(connection)

    def write(self, change: Callable[[sqlite3.Connection], R]) -> R:
        """Write within what this thread has begun, or else by itself."""
        held = self._held
        if held.connection is not None:
            if not held.writing:
                raise Conflict("a snapshot is for reading; write outside it")
            return change(held.connection)
        with self._turn, self._connections.lend() as connection:
            return change(connection)


class _Bucket:
    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self.name = name

    def get(self, key: str) -> Any:
        text = self.text(key)
        return None if text is None else json.loads(text)

    def text(self, key: str) -> str | None:
        where = (self.name, checked(key, "key"))
        sql = "SELECT document FROM documents WHERE bucket=? AND key=?"
        row = self._store.read(lambda db: db.execute(sql, where).fetchone())
        return str(row[0]) if row else None

    def put(self, key: str, document: Any) -> None:
        self.put_text(key, encoded(document, key))

    def put_text(self, key: str, text: str) -> None:
        row = (self.name, checked(key, "key"), text)
        sql = "INSERT INTO documents VALUES (?,?,?) ON CONFLICT DO UPDATE SET document=excluded.document"
        self._store.write(lambda db: db.execute(sql, row))

    def insert(self, key: str, document: Any) -> None:
        row = (self.name, checked(key, "key"), encoded(document, key))
        sql = "INSERT INTO documents VALUES (?,?,?) ON CONFLICT DO NOTHING"
        if self._store.write(lambda db: db.execute(sql, row).rowcount) == 0:
            raise Conflict(f"{self.name} has a {key!r} already")

    def delete(self, key: str) -> bool:
        where = (self.name, checked(key, "key"))
        return self._store.write(
            lambda db: db.execute("DELETE FROM documents WHERE bucket=? AND key=?", where).rowcount > 0
        )

    def keys(self, prefix: str = "") -> tuple[str, ...]:
        sql = "SELECT key FROM documents WHERE bucket=? AND key>=? AND key<? ORDER BY key"
        where = (self.name, prefix, prefix + LAST)
        return tuple(key for (key,) in self._store.read(lambda db: db.execute(sql, where).fetchall()))

    def items(self, prefix: str = "", *, after: str = "", limit: int = 0) -> tuple[tuple[str, Any], ...]:
        return tuple((key, json.loads(text)) for key, text in self.texts(prefix, after=after, limit=limit))

    def texts(self, prefix: str = "", *, after: str = "", limit: int = 0) -> tuple[tuple[str, str], ...]:
        where = (self.name, prefix, prefix + LAST, after, limit or -1)
        return tuple(self._store.read(lambda db: db.execute(_SELECT, where).fetchall()))

    def count(self, prefix: str = "") -> int:
        sql = "SELECT count(*) FROM documents WHERE bucket=? AND key>=? AND key<?"
        where = (self.name, prefix, prefix + LAST)
        found: int = self._store.read(lambda db: db.execute(sql, where).fetchone())[0]
        return found
