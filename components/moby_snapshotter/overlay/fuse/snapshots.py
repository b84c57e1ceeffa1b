"""Snapshots as fuse-overlayfs shows them: folders as overlayfs has them, but for one mark of its own."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from moby.contracts.metadata import Metadata
from moby.contracts.snapshotter import Change, SnapshotKind, Usage
from moby.contracts.types import Mount
from moby.host.overlay import FUSE
from moby.host.refusals import host_errors
from moby.host.user_maps import is_host_root
from moby.oci.pack import WHITEOUT, is_opaque, is_whiteout, marks_of
from moby.oci.unpack import Limits
from moby_snapshotter.folders.shelf import Record
from moby_snapshotter.folders.shelved import Shelved
from moby_snapshotter.folders.trees import opened, walk
from moby_snapshotter.overlay.snapshots import Overlay

__all__ = ["FuseOverlay"]

_PATHS = ("lowerdir=", "upperdir=", "workdir=")


class FuseOverlay(Overlay):
    """Snapshots by key."""

    name = "fuse-overlayfs"

    def __init__(self, state: Path, metadata: Metadata, program: str, limits: Limits | None = None) -> None:
        super().__init__(state, metadata, limits)
        self._program = program

    def details(self, key: str = "") -> Mapping[str, str]:
        """Return what the folders are on; of a snapshot, its folders."""
        return Shelved.details(self, key)

    def commit(self, name: str, key: str) -> None:
        """Make an active snapshot a committed one."""
        self._settle(key)
        super().commit(name, key)

    def changes(self, key: str) -> tuple[Change, ...]:
        """Return what is other in an active snapshot than below."""
        self._settle(key)
        return super().changes(key)

    def diff(self, key: str) -> Iterator[bytes]:
        """Yield the layer that makes this snapshot of the one below."""
        self._settle(key)
        yield from super().diff(key)

    def export(self, key: str) -> Iterator[bytes]:
        """Yield all that a snapshot shows."""
        self._settle(key)
        yield from super().export(key)

    def usage(self, key: str) -> Usage:
        """Return what a snapshot takes."""
        self._settle(key)
        return super().usage(key)

    def _mounts(self, record: Record) -> tuple[Mount, ...]:
        [found] = super()._mounts(record)
        if found.type != "overlay":
            return (found,)
        options = [each for each in found.options if each.startswith(_PATHS) or each == "ro"]
        return (Mount("/", self._program, FUSE, (*options, "noatime")),)

    def _marks(self) -> tuple[str, ...]:
        """Return what is gone by where a snapshot is mounted."""
        return marks_of(userxattr=not is_host_root(), fuse=True)

    def _settle(self, key: str) -> None:
        """Take away the files by which the program marks a folder that hides what is below, beside the attribute.

        Nobody else makes such names there: the program refuses them.
        """
        record = self._shelf.record(key)
        if record.kind is not SnapshotKind.ACTIVE or record.usage.inodes:
            return
        with host_errors("walk a snapshot"), opened(self._tree(record.folder)) as (own,):
            for fd, name, found in walk(own):
                if name.startswith(WHITEOUT) and (is_whiteout(found.stat) or is_opaque(fd, self._marks())):
                    _take_away(fd, name)


def _take_away(fd: int, name: str) -> None:
    """Remove a file; its folder is as old as before."""
    before = os.fstat(fd)
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=fd)
        os.utime(fd, ns=(before.st_atime_ns, before.st_mtime_ns))
