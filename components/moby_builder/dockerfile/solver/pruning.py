"""What a builder keeps, and what of it goes."""

import heapq
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from moby.contracts.ambient import Clock
from moby.contracts.builder import CacheEntry, Keep, Reclaimed
from moby.contracts.images import Images
from moby.contracts.snapshotter import Snapshot, SnapshotKind, Snapshotter
from moby.errors import Conflict, NotFound
from moby.values import frozen
from moby_builder.dockerfile.solver.choosing import Choice
from moby_builder.dockerfile.solver.kept import Kept
from moby_builder.dockerfile.solver.leases import Leases
from moby_builder.dockerfile.solver.records import Record, Records, Uses
from moby_builder.dockerfile.solver.results import Results

__all__ = ["PREFIX", "Pruning", "Stores"]

PREFIX = "builder/"
"""Before the keys of all snapshots that are a builder's."""

_RESULT_NS = 30 * 86400 * 10**9
"""How long a result is known that nobody builds anew."""


@frozen
class Stores:
    """Where a builder keeps what it keeps."""

    records: Records
    leases: Leases
    snapshotter: Snapshotter
    images: Images
    kept: Sequence[Kept]
    results: Results
    folder: Path
    """On the disk whose free space counts."""
    forget: Callable[[str], None] = lambda snapshot: None
    """Called for each snapshot that has gone."""


class Pruning:
    """Lists and removes what is kept. Thread-safe, also against other processes."""

    def __init__(self, stores: Stores, clock: Clock) -> None:
        self._stores = stores
        self._clock = clock

    def usage(self) -> tuple[CacheEntry, ...]:
        """Return all that is kept, sorted by id."""
        found = [*self._of_records(), *(entry for each in self._stores.kept for entry in each.entries())]
        return tuple(sorted(found, key=lambda each: each.id))

    def prune(self, keep: Keep, is_over: Callable[[], bool] = lambda: False) -> Reclaimed:
        """Remove what is in no use, but for what is to stay; what others are on goes after those.

        `is_over` is asked before each one, and ends it.
        """
        choice = Choice(keep, self._clock.now_ns())
        owners = {entry.id: each for each in self._stores.kept for entry in each.entries()}
        entries = {each.id: each for each in self.usage()}
        room = choice.room(list(entries.values()), self._free_bytes())
        gone: list[CacheEntry] = []
        waiting = _Waiting(entries, choice)
        while room > 0 and not is_over() and (entry := waiting.take()) is not None:
            if self._remove(entry.id, owners.get(entry.id)):
                gone.append(entry)
                room -= _bytes(entry)
                waiting.free(entry)
        if any(each.type == "regular" for each in gone):
            self._tidy()
            self._stores.images.collect()
        return Reclaimed(tuple(gone), sum(_bytes(each) for each in gone))

    def _remove(self, entry_id: str, owner: Kept | None) -> bool:
        """Remove an entry; False where a build needs it."""
        if owner is None:
            return self._remove_record(entry_id)
        with suppress(Conflict):
            owner.remove(entry_id)
            return True
        return False

    def _remove_record(self, record_id: str) -> bool:
        """Remove a record, and then what it made; False where a build needs it."""
        with self._stores.leases.seized(record_id) as got:
            record = self._stores.records.get(record_id) if got else None
            if record is None:
                return bool(got)
            self._stores.records.remove([record_id])
            self._drop(record.snapshot)
            return True

    def _drop(self, snapshot: str) -> None:
        """Remove a snapshot that no record names any more, with those below that it alone was on."""
        while snapshot.startswith(PREFIX) and not self._stores.records.has_snapshot(snapshot):
            try:
                parent = self._stores.snapshotter.stat(snapshot).parent
                self._stores.snapshotter.remove(snapshot)
            except (NotFound, Conflict):
                return
            self._stores.forget(snapshot)
            snapshot = parent

    def _tidy(self) -> None:
        """Forget what was known of records and snapshots that have gone."""
        left = {"", *(each.key for each in self._stores.snapshotter.list())}
        since_ns = self._clock.now_ns() - _RESULT_NS
        self._stores.records.tidy()
        self._stores.results.keep(lambda made: made.snapshot in left and made.written_ns > since_ns)

    def _free_bytes(self) -> int:
        found = os.statvfs(self._stores.folder)
        return found.f_bavail * found.f_frsize

    def sweep(self) -> None:
        """Forget what lost its files, and remove what killed builds left without a record; nobody builds meanwhile."""
        stores = self._stores
        snapshots = {each.key: each for each in stores.snapshotter.list()}
        records = stores.records.list()
        stores.records.remove(each.id for each in records if not _is_there(each, snapshots))
        named = {each.snapshot for each in records}
        below = Counter(each.parent for each in snapshots.values())
        lost = [key for key in snapshots if _is_a_steps(key) and key not in named and not below[key]]
        for each in lost:
            self._drop(each)
        self._tidy()

    # Entries

    def _of_records(self) -> Iterator[CacheEntry]:
        uses = self._stores.records.uses()
        snapshots = {each.key: each for each in self._stores.snapshotter.list()}
        records = [each for each in self._stores.records.list() if _is_there(each, snapshots)]
        known = {each.id for each in records}
        for each in records:
            used = uses.get(each.id, Uses())
            yield CacheEntry(
                each.id, each.type, each.description, each.size_bytes, each.created_ns, used.last_ns, used.count,
                tuple(parent for parent in each.parents if parent in known), self._stores.leases.in_use(each.id),
                _is_shared(each, snapshots),
            )  # fmt: skip


def _is_a_steps(key: str) -> bool:
    """Whether a snapshot is what a step made; what else is the builder's has a name of more parts."""
    return key.startswith(PREFIX) and "/" not in key.removeprefix(PREFIX)


def _is_there(record: Record, snapshots: Mapping[str, Snapshot]) -> bool:
    found = snapshots.get(record.snapshot)
    return not record.snapshot or (found is not None and found.kind is SnapshotKind.COMMITTED)


def _is_shared(record: Record, snapshots: Mapping[str, Snapshot]) -> bool:
    """Whether an image has a snapshot too, under its chain id."""
    found = snapshots.get(record.snapshot)
    return found is not None and any(not each.startswith(PREFIX) for each in (found.key, *found.aliases))


def _bytes(entry: CacheEntry) -> int:
    """Return what removing an entry frees."""
    return 0 if entry.shared else entry.size_bytes


class _Waiting:
    """What may go, that which wasn't used for longest first, but nothing before what is on it."""

    def __init__(self, entries: Mapping[str, CacheEntry], choice: Choice) -> None:
        self._entries = entries
        self._choice = choice
        self._on_it = Counter(parent for each in entries.values() for parent in each.parents)
        self._ready: list[tuple[int, int, str]] = []
        for each in entries.values():
            self._consider(each)

    def take(self) -> CacheEntry | None:
        """Return the next; None where there is none."""
        return self._entries[heapq.heappop(self._ready)[2]] if self._ready else None

    def free(self, entry: CacheEntry) -> None:
        """Let what an entry, which has gone, was on go too."""
        for each in entry.parents:
            self._on_it[each] -= 1
            self._consider(self._entries[each])

    def _consider(self, entry: CacheEntry) -> None:
        if not self._on_it[entry.id] and self._choice.may_go(entry):
            heapq.heappush(self._ready, (max(entry.used_ns, entry.created_ns), entry.uses, entry.id))
