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
from moby_metadata.etcd.client import Client, plain, text64

__all__ = ["Store"]

_WAIT_S = 30.0
_STEP_S = 0.003
_LEASE_S = 20
_RENEW_S = 5.0
"""How old a lease may be that a lock begins with; what is left of it is how long a transaction may take."""
_MOST_CHANGES = 127
"""In one transaction, with the lock's removal (etcd's --max-txn-ops is 128)."""
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

    def __init__(self, client: Client, prefix: str) -> None:
        self._client = client
        self._lock = prefix.encode() + b"lock"
        self.documents = prefix.encode() + b"d/"
        self._held = _Held()
        self._turn = threading.Lock()
        self._lease = ""
        self._leased_at = 0.0

    def __enter__(self) -> "Store":
        self._client.ask("kv/range", repeatable=True, key=text64(self._lock))
        return self

    def __exit__(self, *_: object) -> None:
        if self._lease:
            with suppress(MobyError):
                self._client.ask("lease/revoke", ID=self._lease)
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
        answer = self._client.ask("kv/range", repeatable=True, key=text64(self._lock))
        held.revision = int(answer["header"]["revision"])
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
        answer = self._client.ask(
            "kv/range", repeatable=True, key=text64(start), range_end=text64(end), limit=str(limit),
            sort_order="ASCEND", sort_target="KEY", revision=str(self._held.revision),
        )  # fmt: skip
        return [(plain(each["key"]), plain(each.get("value", ""))) for each in answer.get("kvs", ())]

    # --- writing ------------------------------------------------------------------------------------------------

    def write(self, key: bytes, value: bytes | None, *, free: bool = False) -> bool:
        """Store a value, or remove it; with `free` only where none is. Return whether anything changed."""
        held = self._held
        if held.revision:
            raise Conflict("a snapshot is for reading; write outside it")
        if held.changes is not None:
            there = bool(self.range(key, key + b"\0"))
            if (free and there) or (value is None and not there):
                return False
            held.changes[key] = value
            return True
        compare = [_absent(self._lock), *([_absent(key)] if free else [])]
        look = [{"request_range": {"key": text64(each), "keys_only": True}} for each in (self._lock, key)]
        until = time.monotonic() + _WAIT_S
        while True:
            answer = self._client.ask("kv/txn", compare=compare, success=[_change(key, value)], failure=look)
            if answer.get("succeeded"):
                removed = answer["responses"][0].get("response_delete_range", {})
                return value is not None or int(removed.get("deleted", 0)) > 0
            if not answer["responses"][0]["response_range"].get("kvs"):
                return False  # it was the key that is taken
            _wait(until)

    def _commit(self, token: str, changes: dict[bytes, bytes | None]) -> None:
        """Make changes, and give the lock back, at once."""
        if len(changes) > _MOST_CHANGES:
            raise Unsupported(
                f"a transaction of {len(changes)} changes; metadata/etcd makes {_MOST_CHANGES} at once at most",
                hint="choose the metadata `sqlite`",
            )
        mine = {"key": text64(self._lock), "target": "VALUE", "result": "EQUAL", "value": text64(token.encode())}
        made = [_change(key, value) for key, value in changes.items()]
        answer = self._client.ask("kv/txn", compare=[mine], success=[*made, _change(self._lock, None)])
        if not answer.get("succeeded"):
            raise Unavailable("a transaction took so long that its lock was lost; nothing of it is stored")

    @contextmanager
    def _locked(self) -> Iterator[str]:
        """Keep all others from writing."""
        until = time.monotonic() + _WAIT_S
        if not self._turn.acquire(timeout=_WAIT_S):
            raise Unavailable(f"another thread writes metadata for {_WAIT_S:.0f} s", hint="try again")
        try:
            token = secrets.token_hex(16)
            put = {"key": text64(self._lock), "value": text64(token.encode()), "lease": self._leased()}
            while True:
                answer = self._client.ask("kv/txn", compare=[_absent(self._lock)], success=[{"request_put": put}])
                if answer.get("succeeded"):
                    break
                _wait(until)
            try:
                yield token
            except BaseException:
                self._unlock(token)
                raise
        finally:
            self._turn.release()

    def _unlock(self, token: str) -> None:
        """Give the lock back, where it is still held; its lease ends it otherwise."""
        mine = {"key": text64(self._lock), "target": "VALUE", "result": "EQUAL", "value": text64(token.encode())}
        with suppress(MobyError):
            self._client.ask("kv/txn", compare=[mine], success=[_change(self._lock, None)])

    def _leased(self) -> str:
        """Return a lease that has some time to go."""
        now = time.monotonic()
        if not self._lease or now - self._leased_at > _RENEW_S:
            self._lease = str(self._client.ask("lease/grant", TTL=str(_LEASE_S))["ID"])
            self._leased_at = now
        return self._lease


def _wait(until: float) -> None:
    if time.monotonic() > until:
        raise Unavailable(f"somebody else writes metadata for {_WAIT_S:.0f} s", hint="try again")
    time.sleep(_STEP_S)


def _absent(key: bytes) -> dict[str, str]:
    return {"key": text64(key), "target": "CREATE", "result": "EQUAL", "create_revision": "0"}


def _change(key: bytes, value: bytes | None) -> dict[str, Any]:
    if value is None:
        return {"request_delete_range": {"key": text64(key)}}
    return {"request_put": {"key": text64(key), "value": text64(value)}}


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
