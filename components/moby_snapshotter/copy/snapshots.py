"""Snapshots that are whole copies."""

from pathlib import Path

from moby.oci.pack import Packing
from moby.oci.unpack import Limits, Unpacking
from moby_snapshotter.folders.shelf import Record
from moby_snapshotter.folders.trees import keeps_owners, opened
from moby_snapshotter.folders.whole import WholeTrees

__all__ = ["Copy"]

_UNLIMITED = Limits(1 << 62, 1 << 62)


class Copy(WholeTrees):
    """Snapshots by key."""

    name = "copy"

    def _fill(self, record: Record, path: Path) -> None:
        (path / "fs").mkdir(mode=0o755)
        (path / "fs").chmod(0o755)
        if record.below:
            with opened(path / "fs", self._shelf.path(record.below[0]) / "fs") as (own, below):
                unpacking = Unpacking(own, keeps_owners(), _UNLIMITED, literal=True)
                unpacking.take(Packing(below).entries())
                unpacking.finish()
