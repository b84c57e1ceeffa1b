"""Snapshots that are subvolumes, which btrfs makes like another one without copying it."""

import errno
from contextlib import suppress
from pathlib import Path

from moby.contracts.metadata import Metadata
from moby.errors import HostUnfit
from moby.host import btrfs
from moby.oci.unpack import Limits
from moby_snapshotter.folders.shelf import Record
from moby_snapshotter.folders.whole import WholeTrees

__all__ = ["Btrfs"]

_OTHER = (errno.ENOTTY, errno.EOPNOTSUPP)


class Btrfs(WholeTrees):
    """Snapshots by key."""

    name = "btrfs"

    def __init__(self, state: Path, metadata: Metadata, limits: Limits | None = None) -> None:
        super().__init__(state, metadata, limits, _clear, btrfs.open_up)

    def _fill(self, record: Record, path: Path) -> None:
        try:
            if record.below:
                btrfs.snapshot(str(path), "fs", str(self._shelf.path(record.below[0]) / "fs"))
            else:
                btrfs.create(str(path), "fs")
                (path / "fs").chmod(0o755)
        except OSError as error:
            if error.errno in _OTHER:
                text = f"snapshotter/btrfs keeps snapshots in subvolumes, and {path.parent} isn't on btrfs"
                raise HostUnfit(text, hint="use a --root on a btrfs, or the part snapshotter/overlay") from error
            raise


def _clear(folder: Path) -> None:
    """Remove a subvolume; one that has others in it, as a container may make them, is left to go file by file.

    Some of those may be snapshots that can't be written.
    """
    with suppress(OSError):
        btrfs.delete(str(folder), "fs")
