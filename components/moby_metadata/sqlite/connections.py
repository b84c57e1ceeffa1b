"""Connections to one database: opened with their settings, lent to one thread at a time, and errors said in our words.

A connection is opened as needed and given back, since threads come and go; it is never used across a fork, which
SQLite forbids ("How To Corrupt", carrying an open database across a fork).
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from moby.errors import Corrupt, HostUnfit, MobyError, Unavailable, Unsupported

__all__ = ["FORMAT", "Connections"]

FORMAT = 1
_APPLICATION = 0x6D6F6279
"""`moby` in the header of the file."""
_WAIT_S = 30.0
_KEPT = 16
_TABLE = """CREATE TABLE IF NOT EXISTS documents (
    bucket TEXT NOT NULL, key TEXT NOT NULL, document TEXT NOT NULL, PRIMARY KEY (bucket, key)
) WITHOUT ROWID"""
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_BEFORE_A_FORK: list[sqlite3.Connection] = []
"""Kept for ever, unused: closing what another process has open would take its locks away."""


class Connections:
    """The open connections of this process to a database file."""

    def __init__(self, path: Path, *, durable: bool) -> None:
        self._path = path
        self._durable = durable
        self._free: list[sqlite3.Connection] = []
        self._pid = os.getpid()

    def lend(self) -> "_Lent":
        """Lend a connection to the caller alone; what SQLite raises is said in our words."""
        return _Lent(self)

    def close(self) -> None:
        """Close what isn't lent."""
        while self._free:
            with suppress(IndexError):  # another thread took it meanwhile
                self._discard(self._free.pop())

    def take(self) -> sqlite3.Connection:
        """Return a connection that nobody has."""
        if self._pid != os.getpid():
            _BEFORE_A_FORK.extend(self._free)
            self._free, self._pid = [], os.getpid()
        try:
            return self._free.pop()
        except IndexError:
            return self._open()

    def give_back(self, connection: sqlite3.Connection) -> None:
        """Have a connection for who comes next."""
        if self._pid != os.getpid():
            _BEFORE_A_FORK.append(connection)
        elif connection.in_transaction or len(self._free) >= _KEPT:
            self._discard(connection)
        else:
            self._free.append(connection)

    def _discard(self, connection: sqlite3.Connection) -> None:
        with suppress(sqlite3.Error):
            connection.close()

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(connection)
        except BaseException:
            self._discard(connection)
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        [found], [application] = (
            connection.execute(f"PRAGMA {name}").fetchone() for name in ("user_version", "application_id")
        )
        if found > FORMAT or (found and application != _APPLICATION):
            raise Unsupported(
                f"{self._path} was written in format {found}; this engine reads up to {FORMAT}",
                hint="start it with the newer engine, or name another folder with --root DIR",
            )
        connection.execute(f"PRAGMA synchronous={'FULL' if self._durable else 'NORMAL'}")
        if not found:
            with self._alone():  # two that change the mode at once don't wait for each other
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(_TABLE)
                connection.execute(f"PRAGMA application_id={_APPLICATION}")
                connection.execute(f"PRAGMA user_version={FORMAT}")
                connection.execute("COMMIT")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        fd = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            self._path.chmod(0o600)
            yield
        finally:
            os.close(fd)

    def told(self, error: sqlite3.DatabaseError | OSError) -> MobyError:
        """Return an error as it is said in our words."""
        if isinstance(error, OSError):
            hint = "name a folder that you may write with --root DIR"
            return HostUnfit(f"can't use {self._path}: {error.strerror or error}", hint=hint)
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _BUSY:
            return Unavailable(f"{self._path} is in use by another writer for {_WAIT_S:.0f} s", hint="try again")
        if code in _DAMAGED:
            hint = f"put a copy back, or move {self._path} and what is named like it away and start anew"
            return Corrupt(f"{self._path} is damaged: {error}", hint=hint)
        hint = "make room on that disk" if code == sqlite3.SQLITE_FULL else "see that the engine's user may write there"
        return HostUnfit(f"can't use {self._path}: {error}", hint=hint)


class _Lent:
    """A connection for the time of a block. It is lent for every read, so no generator makes it."""

    __slots__ = ("_connection", "_lender")

    def __init__(self, lender: Connections) -> None:
        self._lender = lender

    def __enter__(self) -> sqlite3.Connection:
        try:
            self._connection = self._lender.take()
        except (sqlite3.DatabaseError, OSError) as error:
            raise self._lender.told(error) from error
        return self._connection

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._lender.give_back(self._connection)
        if isinstance(error, (sqlite3.DatabaseError, OSError)):
            raise self._lender.told(error) from error
