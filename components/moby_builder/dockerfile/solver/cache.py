"""The cache as one build sees it: what it finds is kept for as long as the build goes on, and counted at its end."""

import threading
from collections.abc import Sequence
from contextlib import suppress

from moby.contracts.ambient import Clock
from moby.contracts.snapshotter import SnapshotKind, Snapshotter
from moby.errors import NotFound
from moby_builder.dockerfile.solver.effects import Tree
from moby_builder.dockerfile.solver.leases import Lease
from moby_builder.dockerfile.solver.records import Made, Record, Records, new_id

__all__ = ["Cache", "is_committed"]


class Cache:
    """What steps made before. Thread-safe."""

    def __init__(self, records: Records, snapshotter: Snapshotter, lease: Lease, clock: Clock) -> None:
        self._records = records
        self._snapshotter = snapshotter
        self._lease = lease
        self._clock = clock
        self._lock = threading.Lock()
        self._found: dict[str, set[str]] = {}

    def find(self, *keys: str) -> Record | None:
        """Find a record by the first key that has one whose files are there, and keep it from being pruned."""
        for each in keys:
            record = self._records.find(each)
            if record is not None and self._lease.hold(record.id) and is_committed(self._snapshotter, record.snapshot):
                with self._lock:
                    self._found.setdefault(record.id, set()).update({*keys} - {*record.keys})
                return record
        return None

    def keep(
        self,
        tree: Tree,
        identity: str,
        keys: Sequence[str],
        *,
        description: str,
        parents: Sequence[str] = (),
        made: Made | None = None,
        places: Sequence[str] = (),
    ) -> Record:
        """Write down what a step made; it is found from here on, whatever happens."""
        record_id = new_id()
        self._lease.hold(record_id)
        record = Record(
            record_id, tree.snapshot, identity, tuple(dict.fromkeys(keys)), description=description,
            parents=tuple(parents), size_bytes=self._size_bytes(tree.snapshot), created_ns=self._clock.now_ns(),
        )  # fmt: skip
        self._records.add(record, made, places)
        return record

    def last(self, place: str) -> Made | None:
        """Return what the last record of a place was made of."""
        return self._records.last(place)

    def count(self) -> None:
        """Write down what was found since the last time, in one change."""
        with self._lock:
            found, self._found = self._found, {}
        self._records.note(found, self._clock.now_ns())

    def _size_bytes(self, snapshot: str) -> int:
        return self._snapshotter.usage(snapshot).size_bytes if snapshot else 0


def is_committed(snapshotter: Snapshotter, key: str) -> bool:
    """Whether a committed snapshot is there; the empty one always is."""
    if not key:
        return True
    with suppress(NotFound):
        return snapshotter.stat(key).kind is SnapshotKind.COMMITTED
    return False
