"""Snapshots that are whole trees, however one comes to be like the one below; see the contract."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from moby.contracts.snapshotter import Change, ChangeKind, SnapshotKind, Usage
from moby.contracts.types import Mount
from moby.host.refusals import host_errors
from moby.oci import layer
from moby.oci.layer import LayerEntry
from moby.oci.pack import WHITEOUT, Entry, Packing
from moby.oci.unpack import Unpacking
from moby_snapshotter.folders.shelf import Record
from moby_snapshotter.folders.shelved import Shelved
from moby_snapshotter.folders.trees import Seen, keeps_owners, looked_at, opened, usage_of, walk

__all__ = ["WholeTrees"]


Opened = AbstractContextManager[list[int]]


class WholeTrees(Shelved):
    """Snapshots by key. Who inherits says by `_fill` how a new one gets to be like the one below."""

    keeps_folder_times = True
    """Whether folders of a new one are as old as those below."""

    def apply(self, key: str, layer: BinaryIO, below: Callable[[], object] | None = None) -> Usage:
        """Unpack a layer into an active snapshot."""
        record = self._shelf.record(key, SnapshotKind.ACTIVE)
        with host_errors("unpack a layer"), self._opened(record, write=True) as (own,):
            unpacking = Unpacking(own, keeps_owners(), self._limits)
            unpacking.keep_root()
            unpacking.apply(layer)
            unpacking.finish()
            usage = Usage(unpacking.size_bytes, unpacking.entries)
        self._shelf.note(key, usage)
        return usage

    def changes(self, key: str) -> tuple[Change, ...]:
        """Return what is other in an active snapshot than below."""
        record = self._shelf.record(key, SnapshotKind.ACTIVE)
        with host_errors("walk a snapshot"), self._opened(record, below=True) as (own, *below):
            return tuple(sorted(_changes(own, below, self.keeps_folder_times)))

    def diff(self, key: str) -> Iterator[bytes]:
        """Yield the layer that makes this snapshot of the one below."""
        record = self._shelf.record(key, SnapshotKind.ACTIVE, SnapshotKind.COMMITTED)
        with host_errors("read a snapshot"), self._opened(record, below=True) as (own, *below):
            changes = {each.path[1:]: each.kind for each in _changes(own, below, self.keeps_folder_times)}
            root = not below or Seen("", os.fstat(own)).differs(Seen("", os.fstat(below[0])))
            packing = Packing(own, only=lambda path: path in changes or (root and not path))
            gone = [path for path, kind in changes.items() if kind is ChangeKind.DELETED]
            yield from layer.stream(_both(packing, gone))

    def export(self, key: str) -> Iterator[bytes]:
        """Yield all that a snapshot shows."""
        record = self._shelf.record(key)
        with host_errors("read a snapshot"), self._opened(record) as (own,):
            yield from Packing(own).stream()

    def _mounts(self, record: Record) -> tuple[Mount, ...]:
        access = "rw" if record.kind is SnapshotKind.ACTIVE else "ro"
        return (Mount("/", str(self._tree(record)), "bind", ("rbind", access)),)

    def _tree(self, record: Record) -> Path:
        folder = record.below[0] if record.kind is SnapshotKind.VIEW else record.folder
        return self._shelf.path(folder) / "fs"

    def _opened(self, record: Record, *, below: bool = False, write: bool = False) -> Opened:
        """Lend a descriptor of a snapshot's tree, and, where it has one and that is asked for, of the one below."""
        lower = [self._shelf.path(each) / "fs" for each in record.below[:1]] if below else []
        return (opened if write else looked_at)(self._tree(record), *lower)

    def _usage(self, record: Record) -> Usage:
        """Return what is other than below: the copy itself counts for nothing, as in other snapshotters."""
        if record.usage.inodes:
            return record.usage
        if record.kind is SnapshotKind.VIEW:
            return Usage(0, 0)
        with self._opened(record, below=True) as (own, *below):
            if not below:
                return usage_of(own)
            changed = {
                each.path
                for each in _changes(own, below, self.keeps_folder_times)
                if each.kind is not ChangeKind.DELETED
            }
            found = [each for _, _, each in walk(own) if each.path in changed]
        return Usage(sum(each.stat.st_size for each in found if not each.is_folder), len(found))


def _both(packing: Packing, gone: list[str]) -> Iterator[Entry]:
    """Yield what is there, then whiteouts for what is gone; a whiteout hides nothing of its own layer."""
    yield from packing.entries()
    yield from _whiteouts(gone)


def _whiteouts(gone: list[str]) -> Iterator[Entry]:
    for path in gone:
        above, _, name = path.rpartition("/")
        yield LayerEntry(f"{above}/{WHITEOUT}{name}" if above else WHITEOUT + name), ()


def _changes(own: int, below: list[int], times: bool) -> Iterator[Change]:
    """Yield what is other in a tree than in the one below, and the folders above that (as Docker's naive diff)."""
    before = {each.path: each for _, _, each in walk(below[0])} if below else {}
    found: dict[str, ChangeKind] = {}
    for _, _, each in walk(own):
        old = before.pop(each.path, None)
        if old is None:
            found[each.path] = ChangeKind.ADDED
        elif each.differs(old) or (times and each.is_folder and each.stat.st_mtime_ns != old.stat.st_mtime_ns):
            found[each.path] = ChangeKind.MODIFIED
    for path in before:
        above = path.rpartition("/")[0]
        if above not in before or not before[above].is_folder:
            found[path] = ChangeKind.DELETED
    for path, kind in tuple(found.items()):
        above = path.rpartition("/")[0]
        if kind is not ChangeKind.MODIFIED and above:
            found.setdefault(above, ChangeKind.MODIFIED)
    yield from (Change(path, kind) for path, kind in found.items())
