"""Snapshots as the kernel's overlayfs shows them; see the contract."""

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO

from moby.contracts.metadata import Metadata
from moby.contracts.snapshotter import Change, SnapshotKind, Usage
from moby.contracts.types import Mount
from moby.host.files import read_text
from moby.host.overlay import escape
from moby.host.refusals import host_errors
from moby.host.user_maps import is_host_root
from moby.oci.merged import MergedPacking
from moby.oci.pack import Packing, marks_of
from moby.oci.unpack import Limits
from moby_snapshotter.folders.shelf import Record
from moby_snapshotter.folders.shelved import Shelved
from moby_snapshotter.folders.trees import Seen, keeps_owners, looked_at, opened, usage_of
from moby_snapshotter.overlay.changes import changes
from moby_snapshotter.overlay.entries import tells_kinds
from moby_snapshotter.overlay.unpacking import unpack
from moby_snapshotter.overlay.workers import Task, Workers

__all__ = ["Overlay"]

_PARAMETERS = "/sys/module/overlay/parameters"
_UNWANTED = ("index", "redirect_dir", "metacopy")
"""What a kernel may have on by default, and what a layer that others unpack can't carry."""
_path = attrgetter("path")


class Overlay(Shelved):
    """Snapshots by key."""

    name = "overlay"
    ahead = True

    def __init__(self, state: Path, metadata: Metadata, limits: Limits | None = None) -> None:
        super().__init__(state, metadata, limits)
        self._workers = Workers()

    def details(self, key: str = "") -> Mapping[str, str]:
        """Return what the folders are on, and how overlayfs is asked to show them; of a snapshot, its folders."""
        if key:
            return super().details(key)
        own = {"Using metacopy": False, "Native Overlay Diff": True, "userxattr": _is_users()}
        return {**super().details(), **{name: str(value).lower() for name, value in (self._below | own).items()}}

    @cached_property
    def _below(self) -> dict[str, bool]:
        """What is so of the file system below; nothing where it can't be tried."""
        with suppress(OSError):
            return {"Supports d_type": tells_kinds(self._on())}
        return {}

    def _details(self, record: Record) -> Mapping[str, str]:
        trees = [str(each) for each in self._trees(record)]
        upper = [] if record.kind is SnapshotKind.VIEW else [trees.pop(0)]
        work = self._shelf.path(record.folder) / "work"
        found = {"LowerDir": trees, "UpperDir": upper, "WorkDir": [str(work)] if upper and work.is_dir() else []}
        return {name: ":".join(paths) for name, paths in found.items() if paths}

    def apply(self, key: str, layer: BinaryIO, below: Callable[[], object] | None = None) -> Usage:
        """Unpack a layer into an active snapshot."""
        record = self._shelf.record(key, SnapshotKind.ACTIVE)
        with host_errors("unpack a layer"), ExitStack() as held:
            lock = held.enter_context(self._shelf.kept())
            own, *_ = held.enter_context(opened(self._tree(record.folder)))

            def lowers() -> tuple[int, ...]:
                if record.below and below is not None:
                    below()
                return tuple(held.enter_context(opened(*map(self._tree, record.below))))

            task = Task(own, lowers, keeps_owners(), self._limits, lock, self._marks())
            usage = unpack(task, layer, self._workers)
        self._shelf.note(key, usage)
        return usage

    def changes(self, key: str) -> tuple[Change, ...]:
        """Return what is other in an active snapshot than below."""
        record = self._shelf.record(key, SnapshotKind.ACTIVE)
        with host_errors("walk a snapshot"), opened(*self._trees(record)) as (own, *lowers):
            return tuple(sorted(changes(own, lowers), key=_path))

    def diff(self, key: str) -> Iterator[bytes]:
        """Yield the layer that makes this snapshot of the one below."""
        record = self._shelf.record(key, SnapshotKind.ACTIVE, SnapshotKind.COMMITTED)
        with host_errors("read a snapshot"), looked_at(*self._trees(record)) as (own, *lowers):
            root = Seen("", os.fstat(own)).differs(Seen("", os.fstat(lowers[0]))) if lowers else True
            packing = Packing(own, upper=self._marks(), only=lambda path: bool(path) or root)
            yield from packing.stream()

    def export(self, key: str) -> Iterator[bytes]:
        """Yield all that a snapshot shows."""
        record = self._shelf.record(key)
        with host_errors("read a snapshot"), looked_at(*self._trees(record)) as (own, *lowers):
            yield from MergedPacking(own, lowers=lowers, marks=self._marks()).stream()

    def _fill(self, record: Record, path: Path) -> None:
        """Make an upper folder like the root below, and the folder that overlayfs works in."""
        (path / "fs").mkdir(mode=0o755)
        (path / "work").mkdir(mode=0o700)
        (path / "fs").chmod(0o755)
        if record.below:
            found = self._tree(record.below[0]).stat()
            if keeps_owners():
                os.chown(path / "fs", found.st_uid, found.st_gid)
            (path / "fs").chmod(stat.S_IMODE(found.st_mode))

    def _mounts(self, record: Record) -> tuple[Mount, ...]:
        trees = self._trees(record)
        if record.kind is SnapshotKind.ACTIVE and not record.below:
            return (Mount("/", str(trees[0]), "bind", ("rbind", "rw")),)
        if record.kind is SnapshotKind.VIEW and len(trees) == 1:
            return (Mount("/", str(trees[0]), "bind", ("rbind", "ro")),)
        lowers = trees[1:] if record.kind is SnapshotKind.ACTIVE else trees
        options = [f"lowerdir={':'.join(escape(str(each)) for each in lowers)}"]
        if record.kind is SnapshotKind.ACTIVE:
            options.append(f"upperdir={escape(str(trees[0]))}")
            options.append(f"workdir={escape(str(self._shelf.path(record.folder) / 'work'))}")
        else:
            options.insert(0, "ro")
        options += ["userxattr"] if _is_users() else []
        return (Mount("/", "overlay", "overlay", (*options, *_off())),)

    def _marks(self) -> tuple[str, ...]:
        """Return what is gone by where a snapshot is mounted."""
        return marks_of(userxattr=_is_users())

    def _trees(self, record: Record) -> tuple[Path, ...]:
        """Return the folders that show together, the topmost first."""
        own = () if record.kind is SnapshotKind.VIEW else (record.folder,)
        return tuple(self._tree(each) for each in (*own, *record.below))

    def _tree(self, folder: str) -> Path:
        return self._shelf.path(folder) / "fs"

    def _usage(self, record: Record) -> Usage:
        if record.usage.inodes:
            return record.usage
        if record.kind is SnapshotKind.VIEW:
            return Usage(0, 0)
        with looked_at(self._tree(record.folder)) as (own,):
            return usage_of(own)


def _is_users() -> bool:
    """Whether what is mounted here keeps its marks in users' own attributes, as it must in a user namespace."""
    return not is_host_root()


def _off() -> tuple[str, ...]:
    found = []
    for name in _UNWANTED:
        with suppress(OSError):
            if read_text(f"{_PARAMETERS}/{name}").strip() == "Y":
                found.append(f"{name}=off")
    return tuple(found)
