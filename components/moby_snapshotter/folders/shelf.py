"""A shelf: a folder for each snapshot, and a record of each in the engine's metadata.

A folder is made before its record and removed after it, so that one without a record is what a killed process left;
`sweep` removes those, under a lock that who makes one shares.
"""

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from moby.contracts.metadata import Metadata
from moby.contracts.snapshotter import Snapshot, SnapshotKind, Usage
from moby.errors import Conflict, HostUnfit, MobyError, NotFound
from moby.host import tree
from moby.host.locks import locked
from moby.host.refusals import host_errors
from moby_snapshotter.folders.children import Children

__all__ = ["Record", "Shelf"]


@frozen
class Record:
    """A snapshot as it is written down."""

    folder: str
    kind: SnapshotKind
    parent: str = ""
    below: tuple[str, ...] = ()
    """Folders of those below, the topmost first."""
    created_ns: int = 0
    usage: Usage = field(default=Usage(0, 0))
    """Of a committed one, and of what was unpacked into an active one."""
    aliases: tuple[str, ...] = ()
    """Other keys with the same folder, sorted."""

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "folder": self.folder, "kind": self.kind.value, "parent": self.parent, "below": list(self.below),
            "created_ns": self.created_ns, "size_bytes": self.usage.size_bytes, "inodes": self.usage.inodes,
            **({"aliases": list(self.aliases)} if self.aliases else {}),
        }  # fmt: skip

    @classmethod
    def of(cls, document: Any) -> "Record":
        """Read it from JSON."""
        return cls(
            document["folder"], SnapshotKind(document["kind"]), document["parent"], tuple(document["below"]),
            document["created_ns"], Usage(document["size_bytes"], document["inodes"]),
            tuple(document.get("aliases", ())),
        )  # fmt: skip


class Shelf:
    """Snapshots by key; `bucket` is where their records are.

    `clear` removes what of a snapshot's folder goes at once; all that is left goes file by file, each folder once
    `open_up` was called with its descriptor.
    """

    def __init__(
        self, state: Path, metadata: Metadata, bucket: str, clear: Callable[[Path], None] = lambda folder: None,
        open_up: Callable[[int], object] = lambda fd: None,
    ) -> None:  # fmt: skip
        self._state = state
        self._clear, self._open_up = clear, open_up
        self._metadata = metadata
        self._bucket = metadata.bucket(bucket)
        self._children = Children(metadata, bucket)

    def path(self, folder: str) -> Path:
        """Return a snapshot's folder."""
        return self._state / folder

    def record(self, key: str, *kinds: SnapshotKind) -> Record:
        """Return a record; NotFound where there is none of these kinds."""
        document = self._bucket.get(key)
        found = Record.of(document) if document is not None else None
        if found is None or (kinds and found.kind not in kinds):
            what = " or ".join(kinds) if found is not None else ""
            raise NotFound(f"no {what + ' ' if what else ''}snapshot {key!r} is here")
        return found

    def records(self) -> dict[str, Record]:
        """Return all records by key, sorted."""
        return {key: Record.of(document) for key, document in self._bucket.items()}

    def begin(
        self, key: str, kind: SnapshotKind, parent: str, fill: Callable[[Record, Path], None], *, ahead: bool = False
    ) -> Record:
        """Make a snapshot: its folder, filled by `fill`, and its record; `ahead` also on an active one."""
        with host_errors("make a snapshot"), self._lock(exclusive=False):
            if self._bucket.text(key) is not None:
                raise Conflict(f"a snapshot {key!r} is here already")
            below = self._below(parent, ahead)
            record = Record(self._make(), kind, parent, below, time.time_ns())
            try:
                fill(record, self.path(record.folder))
                with self._metadata.transaction():
                    if self._below(parent, ahead) != below:
                        raise NotFound(f"the snapshot {parent!r} was replaced meanwhile")
                    self._insert(key, record)
            except BaseException:
                with suppress(MobyError):  # what went wrong is to be told; what is left goes by `sweep`
                    self._drop(record.folder)
                raise
            return record

    def note(self, key: str, usage: Usage) -> None:
        """Write down what an active snapshot takes."""
        with self._metadata.transaction():
            self._bucket.put(key, evolve(self.record(key, SnapshotKind.ACTIVE), usage=usage).document())

    def commit(
        self, name: str, key: str, usage: Callable[[Record], Usage], finish: Callable[[Record], None] | None = None
    ) -> None:
        """Make an active snapshot a committed one; where `finish` fails, it stays active."""
        record = self.record(key, SnapshotKind.ACTIVE)
        found = usage(record)
        with self._metadata.transaction():
            record = self.record(key, SnapshotKind.ACTIVE)
            if record.parent and self.record(record.parent).kind is not SnapshotKind.COMMITTED:
                raise Conflict(f"snapshot {key!r} is on {record.parent!r}, which isn't committed", hint="commit that")
            self._insert(name, evolve(record, kind=SnapshotKind.COMMITTED, usage=found))
            self._move(self._on(key), key, name)
            self._delete(key, record)
            if finish is not None:
                finish(record)

    def link(self, key: str, name: str) -> None:
        """Give a committed snapshot one more key."""
        with self._metadata.transaction():
            record = self.record(key, SnapshotKind.COMMITTED)
            self._insert(name, record)
            self._know((key, *record.aliases, name))

    def remove(self, key: str) -> None:
        """Remove a key, and with the last one the snapshot, which has none on it."""
        with host_errors("remove a snapshot"), self._lock(exclusive=False):
            try:
                record = self._forget(key)
            except HostUnfit:
                record = self.record(key)
                if record.kind is not SnapshotKind.ACTIVE:
                    raise
                # The disk may be full, of what goes here; nobody needs its files, whatever becomes of its record.
                self._drop(record.folder)
                record = self._forget(key)
            if not record.aliases:
                self._drop(record.folder)

    def _forget(self, key: str) -> Record:
        """Remove a record, and return it."""
        with self._metadata.transaction():
            record = self.record(key)
            on_it = self._on(key) if record.kind is not SnapshotKind.VIEW else []
            if record.aliases:
                self._hand_over(on_it, record.aliases)
            elif on_it:
                raise Conflict(f"snapshot {key!r} has others on it: {', '.join(on_it[:3])}", hint="remove those first")
            self._delete(key, record)
            return record

    def _on(self, key: str) -> list[str]:
        """Return the snapshots that are on one, which no other than a committed one has."""
        if not self._children.is_complete():
            self._children.complete((name, each.parent) for name, each in self.records().items())
        return self._children.of(key)

    def _insert(self, key: str, record: Record) -> None:
        self._bucket.insert(key, record.document())
        self._children.add(key, record.parent)

    def _delete(self, key: str, record: Record) -> None:
        self._bucket.delete(key)
        self._children.discard(key, record.parent)

    def _know(self, keys: tuple[str, ...]) -> None:
        """Write into each record which other keys its snapshot has."""
        for each in keys:
            others = tuple(sorted(set(keys) - {each}))
            self._bucket.put(each, evolve(self.record(each), aliases=others).document())

    def _hand_over(self, on_it: list[str], heirs: tuple[str, ...]) -> None:
        """Let the keys that are left have what was on one that goes."""
        self._know(heirs)
        for each in on_it:
            self._move([each], self.record(each).parent, heirs[0])

    def _move(self, keys: Iterable[str], parent: str, other: str) -> None:
        """Have snapshots be on another key of what they are on."""
        for each in keys:
            self._bucket.put(each, evolve(self.record(each), parent=other).document())
            self._children.discard(each, parent)
            self._children.add(each, other)

    def snapshots(self) -> tuple[Snapshot, ...]:
        """Return all as the contract has them."""
        return tuple(self.snapshot(key, record) for key, record in self.records().items())

    def snapshot(self, key: str, record: Record) -> Snapshot:
        """Return one as the contract has it."""
        return Snapshot(key, record.kind, record.parent, record.created_ns, record.aliases)

    def sweep(self, *, wait: bool = True) -> None:
        """Remove the folders that killed processes left; later, where one is being made and `wait` is false.

        One that can't go keeps no other one, and is told of at the end; but not without `wait`, where an engine starts.
        """
        failed: Conflict | HostUnfit | None = None
        with host_errors("sweep snapshots"), self._lock(exclusive=True, wait=wait) as got:
            if not got:
                return
            known = {each.folder for each in self.records().values()}
            for path in tuple(self._state.iterdir()):
                if path.is_dir() and not path.is_symlink() and path.name not in known:
                    try:
                        self._drop(path.name)
                    except (Conflict, HostUnfit) as error:
                        failed = failed or error
        if failed is not None and wait:
            raise failed

    def _below(self, parent: str, ahead: bool) -> tuple[str, ...]:
        if not parent:
            return ()
        found = self.record(parent, SnapshotKind.COMMITTED, *((SnapshotKind.ACTIVE,) if ahead else ()))
        return (found.folder, *found.below)

    def _make(self) -> str:
        while True:
            name = secrets.token_hex(4)  # short, since an overlay's options name one for each layer
            try:
                self.path(name).mkdir(mode=0o700)
            except FileExistsError:
                continue
            return name

    def _drop(self, folder: str) -> None:
        self._clear(self.path(folder))
        fd = os.open(self._state, tree.DIRECTORY_FLAGS)
        try:
            tree.remove(fd, folder, self._open_up)
        finally:
            os.close(fd)

    @contextmanager
    def kept(self) -> Iterator[int]:
        """Lend a descriptor that keeps `sweep` from removing anything until it, and all copies of it, are closed."""
        self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH)
            yield fd
        finally:
            os.close(fd)

    def _lock(self, *, exclusive: bool, wait: bool = True) -> AbstractContextManager[bool]:
        self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
        return locked(self._state / "lock", exclusive=exclusive, wait=wait)
