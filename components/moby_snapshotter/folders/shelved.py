"""What of a snapshotter's calls its shelf answers, whatever a snapshot's folder looks like."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from moby.contracts.metadata import Metadata
from moby.contracts.snapshotter import Snapshot, SnapshotKind, Usage
from moby.contracts.types import Mount
from moby.host.mount_table import kind_at
from moby.host.refusals import host_errors
from moby.oci.unpack import Limits
from moby_snapshotter.folders.shelf import Record, Shelf

__all__ = ["Shelved"]


class Shelved:
    """Snapshots by key. Who inherits fills folders, mounts them, and says what is in them."""

    name: str
    ahead = False

    def __init__(
        self,
        state: Path,
        metadata: Metadata,
        limits: Limits | None = None,
        clear: Callable[[Path], None] = lambda folder: None,
        open_up: Callable[[int], object] = lambda fd: None,
    ) -> None:
        self._shelf = Shelf(state, metadata, f"snapshots/{self.name}", clear, open_up)
        self._limits = limits or Limits()
        self._state = state

    def __enter__(self) -> Self:
        self._shelf.sweep(wait=False)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave all as it is."""

    def reclaim(self) -> None:
        """Remove what killed processes left."""
        self._shelf.sweep()

    def details(self, key: str = "") -> Mapping[str, str]:
        """Return what the folders are, or will be, on; of one of them, what shows it."""
        if key:
            return self._details(self._shelf.record(key))
        with host_errors("look at where snapshots are kept"):
            found = kind_at(str(self._on()))
        return {"Backing Filesystem": found} if found else {}

    def _on(self) -> Path:
        """Return a folder of the file system that the folders are, or will be, on."""
        return next(each for each in (self._state, *self._state.parents) if each.exists())

    def _details(self, record: Record) -> Mapping[str, str]:
        """Return nothing: a snapshot's folder is a whole tree, of which docker tells nothing."""
        return {}

    def prepare(self, key: str, parent: str = "") -> tuple[Mount, ...]:
        """Begin a writable snapshot."""
        return self._mounts(self._shelf.begin(key, SnapshotKind.ACTIVE, parent, self._fill, ahead=self.ahead))

    def view(self, key: str, parent: str) -> tuple[Mount, ...]:
        """Begin a snapshot that can't be written, which shows the one below."""
        self._shelf.record(parent, SnapshotKind.COMMITTED)
        return self._mounts(self._shelf.begin(key, SnapshotKind.VIEW, parent, lambda record, path: None))

    def mounts(self, key: str) -> tuple[Mount, ...]:
        """Return what to mount."""
        return self._mounts(self._shelf.record(key, SnapshotKind.ACTIVE, SnapshotKind.VIEW))

    def commit(self, name: str, key: str) -> None:
        """Make an active snapshot a committed one."""
        with host_errors("commit a snapshot"):
            self._shelf.commit(name, key, self._usage)

    def link(self, key: str, name: str) -> None:
        """Give a committed snapshot one more key."""
        with host_errors("name a snapshot"):
            self._shelf.link(key, name)

    def stat(self, key: str) -> Snapshot:
        """Return what is known of a snapshot."""
        return self._shelf.snapshot(key, self._shelf.record(key))

    def list(self) -> tuple[Snapshot, ...]:
        """Return all snapshots."""
        return self._shelf.snapshots()

    def usage(self, key: str) -> Usage:
        """Return what a snapshot takes."""
        record = self._shelf.record(key)
        with host_errors("walk a snapshot"):
            return record.usage if record.kind is SnapshotKind.COMMITTED else self._usage(record)

    def remove(self, key: str) -> None:
        """Remove a snapshot."""
        self._shelf.remove(key)

    def _fill(self, record: Record, path: Path) -> None:
        raise NotImplementedError

    def _mounts(self, record: Record) -> tuple[Mount, ...]:
        raise NotImplementedError

    def _usage(self, record: Record) -> Usage:
        """Return what one takes that may still change."""
        raise NotImplementedError
