"""Snapshots that one of containerd's snapshotters keeps: any, since their trees are looked at by mounting them."""

import hashlib
import os
import secrets
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

from moby.contracts.metadata import Metadata
from moby.contracts.snapshotter import SnapshotKind
from moby.contracts.types import Mount
from moby.errors import Conflict, NotFound, Unavailable
from moby.host.locks import locked
from moby.host.overlay import mount_root, paths_of, unmount_root
from moby.host.private_mounts import apart
from moby.host.refusals import host_errors
from moby.oci.unpack import Limits
from moby_snapshotter.containerd.service import Service
from moby_snapshotter.folders.shelf import Record
from moby_snapshotter.folders.trees import without_devices
from moby_snapshotter.folders.whole import WholeTrees

__all__ = ["Containerd"]

_TRIES, _PAUSE_S = 100, 0.02
_COPYING = ("native",)
"""Snapshotters whose new snapshots are copies, made file by file, with folders of now."""


class Containerd(WholeTrees):
    """Snapshots by key. Which there are, and on what, is in the engine's records; a folder here is a name there."""

    def __init__(
        self, state: Path, metadata: Metadata, service: Service, name: str, limits: Limits | None = None
    ) -> None:
        self.name = name
        self.keeps_folder_times = name not in _COPYING
        super().__init__(state, metadata, limits, lambda folder: self._remove(folder.name))
        self._service = service
        self._looking = state / "looking"
        self._mark = hashlib.sha256(os.fsencode(os.path.realpath(state))).hexdigest()[:12]

    def __enter__(self) -> Self:
        with suppress(Unavailable):  # images can't be used before it is there, and all else can
            super().__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave all as it is."""
        self._service.close()

    def details(self, key: str = "") -> Mapping[str, str]:
        """Return of which kind of containerd's plugins it is; what that keeps layers on, it doesn't say."""
        if key:
            self._shelf.record(key)
            return {}
        return {"driver-type": "io.containerd.snapshotter.v1"}

    def view(self, key: str, parent: str) -> tuple[Mount, ...]:
        """Begin a snapshot that can't be written."""
        self._shelf.record(parent, SnapshotKind.COMMITTED)
        return self._mounts(self._shelf.begin(key, SnapshotKind.VIEW, parent, self._fill))

    def commit(self, name: str, key: str) -> None:
        """Make an active snapshot a committed one."""
        with host_errors("commit a snapshot"):
            self._shelf.commit(name, key, self._usage, self._finish)

    def _finish(self, record: Record) -> None:
        """Commit one there; one that was, by a process that died before it wrote that down, stays so."""
        try:
            self._service.commit(self._done(record.folder), self._own(record.folder))
        except (NotFound, Conflict):
            with ExitStack() as held:
                self._looked_at(record.folder, held)

    def _fill(self, record: Record, path: Path) -> None:
        parent = self._done(record.below[0]) if record.below else ""
        begin = self._service.view if record.kind is SnapshotKind.VIEW else self._service.prepare
        for each in begin(self._own(record.folder), parent):
            if each.type == "overlay":
                _like_below(each)

    def _mounts(self, record: Record) -> tuple[Mount, ...]:
        return self._service.mounts(self._own(record.folder))

    def _own(self, folder: str) -> str:
        """Return the key there of one that isn't committed."""
        return f"moby-{self._mark}-{folder}"

    def _done(self, folder: str) -> str:
        """Return the name there of a committed one."""
        return f"{self._own(folder)}-committed"

    def _remove(self, folder: str) -> None:
        for each in (self._own(folder), self._done(folder)):
            for number in range(_TRIES):
                try:
                    self._service.remove(each)
                    break
                except Conflict:  # somebody looks at it, or removes what was on it, just now
                    if number == _TRIES - 1:
                        raise
                    if not self._forget_looks(folder):
                        time.sleep(_PAUSE_S)

    def _forget_looks(self, folder: str) -> bool:
        """Remove the views by which killed processes looked at a committed one; whether there were any."""
        with locked(self._looking, wait=False) as alone:
            if not alone:  # somebody looks, and goes
                return False
            found = [each for each in self._service.on(self._done(folder)) if each.startswith(f"{self._own(folder)}-")]
            for each in found:
                self._service.remove(each)
        return bool(found)

    @contextmanager
    def _opened(self, record: Record, *, below: bool = False, write: bool = False) -> Iterator[list[int]]:
        """Lend descriptors of trees, which are mounted where nobody else sees it for as long as those are open."""
        with ExitStack() as held:
            if record.kind is SnapshotKind.COMMITTED:
                mounts = self._looked_at(record.folder, held)
            else:
                mounts = self._mounts(record) if write else tuple(map(_only_read, self._mounts(record)))
            place = str(self._shelf.path(record.folder))
            found = [_mounted(mounts, place, held)]
            if below and record.below:
                found.append(_mounted(self._looked_at(record.below[0], held), place, held))
            yield found

    def _looked_at(self, folder: str, held: ExitStack) -> tuple[Mount, ...]:
        """Return what to mount to see a committed one, by a view that goes with a stack."""
        held.enter_context(locked(self._looking, exclusive=False))
        key = f"{self._own(folder)}-{secrets.token_hex(4)}"
        mounts = self._service.view(key, self._done(folder))
        held.callback(self._service.remove, key)
        return mounts


def _like_below(mount: Mount) -> None:
    """Have an overlay's root be as that below, of which containerd leaves it the owner alone."""
    paths = paths_of(mount.options)
    if paths.get("upperdir") and paths.get("lowerdir"):
        found, upper = Path(paths["lowerdir"][0]).stat(), Path(paths["upperdir"][0])
        os.chown(upper, found.st_uid, found.st_gid)
        upper.chmod(stat.S_IMODE(found.st_mode))


def _only_read(mount: Mount) -> Mount:
    """Return a mount that writes nothing: of an overlay that may be in use, one with the same layers below alone."""
    if mount.type != "overlay":
        return Mount(mount.destination, mount.source, mount.type, (*(o for o in mount.options if o != "rw"), "ro"))
    given = dict(each.partition("=")[::2] for each in mount.options)
    upper, lower = given.pop("upperdir", ""), given.pop("lowerdir", "")
    given.pop("workdir", "")
    rest = [f"{key}={value}" if value else key for key, value in given.items()]
    return Mount(
        mount.destination, mount.source, "overlay", ("ro", f"lowerdir={':'.join(filter(None, (upper, lower)))}", *rest)
    )  # fmt: skip


def _mounted(mounts: Sequence[Mount], place: str, held: ExitStack) -> int:
    """Return a descriptor of what is mounted, which a stack closes."""
    found: list[int] = []

    def work() -> None:
        mount_root(mounts, place)
        try:
            found.append(without_devices(Path(place)))
        finally:
            unmount_root(place, mounts)

    apart(work)
    held.callback(os.close, found[0])
    return found[0]
