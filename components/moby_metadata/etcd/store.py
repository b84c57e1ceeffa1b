"""Documents in etcd; see the contract.

A key is the store's prefix, `d/`, the bucket's name, NUL and the document's key: etcd's order is the contract's.
Whoever writes holds the lock, a key with a lease, or writes only if nobody has it: one that was killed with it keeps
others out until its lease ends.
"""

import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from moby.contracts.metadata import Bucket
from moby.errors import Conflict, Corrupt, MobyError, Unavailable, Unsupported
from moby_metadata.documents.text import checked, encoded
from moby_metadata.etcd.client import Client
from moby_metadata.etcd.protocol import (
    VALUE,
    Compare,
    Deletion,
    Done,
    Found,
    Grant,
    Granted,
    Group,
    Grouped,
    Operation,
    Part,
    Put,
    Range,
    Revoke,
    Transaction,
)

__all__ = ["Store"]

_WAIT_S = 30.0
_STEP_S = 0.003
_LEASE_S = 20
_RENEW_S = 5.0
"""How old a lease may be that a lock begins with; what is left of it is how long a transaction may take."""
_GROUP = 64
"""Of changes in a transaction, and of transactions in one: both together are no more than etcd's --max-txn-ops, 128."""
_MOST_CHANGES = _GROUP * _GROUP - 1
"""In one transaction, beside the lock's removal."""
_MOST_BYTES = 1536 << 10
_AROUND = 64
"""Bytes that a change, or a transaction, takes at most beside keys and values."""
_END = b"\xff"


class _Held(threading.local):
    """What this thread has begun."""

    revision = 0
    """Of a snapshot."""
    changes: dict[bytes, bytes | None] | None = None
    """Of a transaction; None is a removal."""
    failed = False


class Store:
    """Buckets of documents below one prefix of an etcd."""

    def __init__(self, client: Client, prefix: str, most_bytes: int = _MOST_BYTES) -> None:
        self._client = client
        self._most_bytes = most_bytes
        self._lock = prefix.encode() + b"lock"
        self.documents = prefix.encode() + b"d/"
        self._held = _Held()
        self._turn = threading.Lock()
        self._lease = 0
        self._leased_at = 0.0

    def __enter__(self) -> "Store":
        self._client.ask("KV/Range", Range(self._lock), Found, repeatable=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._lease:
            with suppress(MobyError):
                self._client.ask("Lease/LeaseRevoke", Revoke(self._lease), Found)
        self._client.close()

    def bucket(self, name: str) -> Bucket:
        """Return the bucket of a name."""
        return _Bucket(self, checked(name, "bucket"))

    def buckets(self) -> tuple[str, ...]:
        """Return the names of all buckets that hold a document, sorted."""
        found, start = [], self.documents
        while rows := self.range(start, self.documents + _END, limit=1):
            name = rows[0][0][len(self.documents) :].split(b"\0")[0]
            found.append(name.decode())
            start = self.documents + name + b"\1"
        return tuple(sorted(found))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all calls of this thread one change."""
        held = self._held
        if held.revision:
            raise Conflict("a snapshot is for reading; begin the transaction outside it")
        if held.changes is not None:
            try:
                yield
            except BaseException:
                held.failed = True
                raise
            return
        with self._locked() as token:
            held.changes, held.failed = {}, False
            try:
                yield
                if held.failed:
                    raise Conflict("a transaction inside this one failed, so nothing of it was stored")
                self._commit(token, held.changes)
            finally:
                held.changes = None

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all reads of this thread see one moment."""
        held = self._held
        if held.revision or held.changes is not None:
            yield
            return
        answer = self._client.ask("KV/Range", Range(self._lock), Found, repeatable=True)
        held.revision = answer.header.revision if answer.header else 0
        try:
            yield
        finally:
            held.revision = 0

    # --- reading ------------------------------------------------------------------------------------------------

    def range(self, start: bytes, end: bytes, *, limit: int = 0) -> list[tuple[bytes, bytes]]:
        """Return keys and values from `start` up to, not including, `end`, sorted, as this thread is to see them."""
        changes = self._held.changes
        if not changes:
            return self._rows(start, end, limit)
        rows: dict[bytes, bytes | None] = dict(self._rows(start, end, 0))
        rows.update((key, value) for key, value in changes.items() if start <= key < end)
        found = sorted((key, value) for key, value in rows.items() if value is not None)
        return found[:limit] if limit else found

    def _rows(self, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        wanted = Range(start, end, limit, self._held.revision)
        answer = self._client.ask("KV/Range", wanted, Found, repeatable=True)
        return [(each.key, each.value) for each in answer.rows]

    # --- writing ------------------------------------------------------------------------------------------------

    def write(self, key: bytes, value: bytes | None, *, free: bool = False) -> bool:
        """Store a value, or remove it; with `free` only where none is. Return whether anything changed."""
        held = self._held
        if held.revision:
            raise Conflict("a snapshot is for reading; write outside it")
        if held.changes is not None:
            if (free or value is None) and bool(self.range(key, key + b"\0")) is free:
                return False  # it is there, or there is nothing to be removed
            held.changes[key] = value
            return True
        self._check({key: value}, len(key) if free else 0)
        compare = [_absent(self._lock), *([_absent(key)] if free else [])]
        look = [Operation(range=Range(self._lock, keys_only=True))]
        until = time.monotonic() + _WAIT_S
        while True:
            answer = self._made(Transaction(compare, [_change(key, value)], look))
            (happened,) = answer.responses
            if answer.succeeded:
                return value is not None or bool(happened.delete and happened.delete.deleted)
            if not (happened.range and happened.range.rows):
                return False  # it was the key that is taken
            _wait(until)

    def _commit(self, token: str, changes: dict[bytes, bytes | None]) -> None:
        """Make changes, and give the lock back, at once."""
        self._check(changes)
        made = [*(_change(key, value) for key, value in changes.items()), _change(self._lock, None)]
        groups = [Part(Group(made[at : at + _GROUP])) for at in range(0, len(made), _GROUP)]
        mine = [self._mine(token)]
        whole = Transaction(mine, made) if len(groups) == 1 else Grouped(mine, groups)
        if not self._made(whole).succeeded:
            raise Unavailable("a transaction took so long that its lock was lost; nothing of it is stored")

    def _check(self, changes: dict[bytes, bytes | None], more: int = 0) -> None:
        """See that etcd takes so much at once, and so many bytes more; Unsupported where it doesn't."""
        size = sum(len(key) + len(value or b"") + _AROUND for key, value in changes.items())
        size += 2 * len(self._lock) + _AROUND + more  # what goes with them names the lock twice
        if len(changes) > _MOST_CHANGES:
            raise Unsupported(
                f"a transaction of {len(changes)} changes; metadata/etcd makes {_MOST_CHANGES} at once at most",
                hint="choose the metadata `sqlite`",
            )
        if size > self._most_bytes:
            raise Unsupported(
                f"a change of {size} bytes; etcd takes {self._most_bytes} at once at most",
                hint="raise its --max-request-bytes, and the option `max_request_bytes` of metadata/etcd with it",
            )

    @contextmanager
    def _locked(self) -> Iterator[str]:
        """Keep all others from writing."""
        until = time.monotonic() + _WAIT_S
        if not self._turn.acquire(timeout=_WAIT_S):
            raise Unavailable(f"another thread writes metadata for {_WAIT_S:.0f} s", hint="try again")
        try:
            token = secrets.token_hex(16)
            while not self._taken(token):
                _wait(until)
            try:
                yield token
            except BaseException:
                self._unlock(token)
                raise
        finally:
            self._turn.release()

    def _taken(self, token: str) -> bool:
        """Take the lock, where nobody has it."""
        taking = Operation(put=Put(self._lock, token.encode(), self._leased()))
        return self._made(Transaction([_absent(self._lock)], [taking])).succeeded

    def _unlock(self, token: str) -> None:
        """Give the lock back, where it is still held; its lease ends it otherwise."""
        with suppress(MobyError):
            self._made(Transaction([self._mine(token)], [_change(self._lock, None)]))

    def _mine(self, token: str) -> Compare:
        return Compare(VALUE, self._lock, token.encode())

    def _made(self, transaction: Transaction | Grouped) -> Done:
        return self._client.ask("KV/Txn", transaction, Done)

    def _leased(self) -> int:
        """Return a lease that has some time to go."""
        now = time.monotonic()
        if not self._lease or now - self._leased_at > _RENEW_S:
            self._lease = self._client.ask("Lease/LeaseGrant", Grant(_LEASE_S), Granted).id
            self._leased_at = now
        return self._lease


def _wait(until: float) -> None:
    if time.monotonic() > until:
        raise Unavailable(f"somebody else writes metadata for {_WAIT_S:.0f} s", hint="try again")
    time.sleep(_STEP_S)


def _absent(key: bytes) -> Compare:
    return Compare(key=key)


def _change(key: bytes, value: bytes | None) -> Operation:
    if value is None:
        return Operation(delete=Deletion(key))
    return Operation(put=Put(key, value))


class _Bucket:
    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self.name = name
        self._base = store.documents + name.encode() + b"\0"

    def get(self, key: str) -> Any:
        text = self.text(key)
        return None if text is None else self._read(key, text)

    def text(self, key: str) -> str | None:
        at = self._key(key)
        rows = self._store.range(at, at + b"\0")
        return rows[0][1].decode() if rows else None

    def put(self, key: str, document: Any) -> None:
        self.put_text(key, encoded(document, key))

    def put_text(self, key: str, text: str) -> None:
        self._store.write(self._key(key), text.encode())

    def insert(self, key: str, document: Any) -> None:
        if not self._store.write(self._key(key), encoded(document, key).encode(), free=True):
            raise Conflict(f"{self.name} has a {key!r} already")

    def delete(self, key: str) -> bool:
        return self._store.write(self._key(key), None)

    def keys(self, prefix: str = "") -> tuple[str, ...]:
        return tuple(key for key, _ in self.texts(prefix))

    def items(self, prefix: str = "", *, after: str = "", limit: int = 0) -> tuple[tuple[str, Any], ...]:
        return tuple((key, self._read(key, text)) for key, text in self.texts(prefix, after=after, limit=limit))

    def texts(self, prefix: str = "", *, after: str = "", limit: int = 0) -> tuple[tuple[str, str], ...]:
        first = self._base + prefix.encode()
        start = max(first, self._base + after.encode() + b"\0") if after else first
        rows = self._store.range(start, first + _END, limit=limit) if start < first + _END else []
        return tuple((key[len(self._base) :].decode(), value.decode()) for key, value in rows)

    def count(self, prefix: str = "") -> int:
        return len(self.texts(prefix))

    def _key(self, key: str) -> bytes:
        return self._base + checked(key, "key").encode()

    def _read(self, key: str, text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError as error:
            raise Corrupt(f"the document {key!r} of {self.name} is no JSON: {error}", hint="put it anew") from error
