"""The kind `snapshotter`: layers as file systems, each on the one below, and what to mount to see them.

A snapshot is active (writable), a view, or committed; only what is committed can have others on it. Keys are the
caller's; images name theirs by chain id (image-spec, config.md, layer chain id). Several who need the same snapshot
each have a key of their own for it.
"""

from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum, StrEnum
from typing import BinaryIO, Protocol

from moby.contracts.kind import contract, repeatable
from moby.contracts.types import Mount
from moby.values import frozen

__all__ = ["Change", "ChangeKind", "Snapshot", "SnapshotKind", "Snapshotter", "Usage"]


class SnapshotKind(StrEnum):
    """What a snapshot is."""

    ACTIVE = "active"
    VIEW = "view"
    COMMITTED = "committed"


@frozen(order=True)
class Snapshot:
    """What is known of a snapshot."""

    key: str
    kind: SnapshotKind
    parent: str = ""
    """Key of the one below; empty where there is none."""
    created_ns: int = 0
    aliases: tuple[str, ...] = ()
    """Other keys of the same files, sorted."""


@frozen
class Usage:
    """What a snapshot takes by itself, without those below."""

    size_bytes: int
    inodes: int


class ChangeKind(IntEnum):
    """What happened to a path, by Docker's numbers."""

    MODIFIED = 0
    ADDED = 1
    DELETED = 2


@frozen(order=True)
class Change:
    """What is other in a snapshot than in the one below."""

    path: str
    """Absolute, inside."""
    kind: ChangeKind


@contract("snapshotter", version=1)
class Snapshotter(Protocol):
    """Keeps layers as file systems. Thread-safe, also against other processes on the same folder.

    A key is 1 to 1024 bytes; Conflict where it is taken, NotFound where a key, or a parent, isn't there or isn't of
    the kind that the call needs. What a call stored is whole once it returns, and survives the death of every process.
    Every call may raise HostUnfit.
    """

    name: str
    """What it is called where people read how layers are kept: `overlay`, `copy`."""

    ahead: bool
    """Whether a layer is unpacked before those below are, but for what it needs of them."""

    @repeatable
    def details(self, key: str = "") -> Mapping[str, str]:
        """Return what people may want to know of how layers are kept, in docker's words where it has some.

        As `Backing Filesystem`: `ext4`; with a key, of that snapshot alone, as `UpperDir`: `/var/...`. Only what is so;
        empty where nothing is known.
        """
        ...

    def prepare(self, key: str, parent: str = "") -> tuple[Mount, ...]:
        """Begin a writable snapshot on a committed one, or on nothing; return what to mount, as `mounts`.

        Where layers are unpacked `ahead`, the parent may be an active one that is unpacked into. Such a snapshot is
        only for a layer: it isn't mounted before it is committed, after its parent, whose new key it is on then.
        """
        ...

    def view(self, key: str, parent: str) -> tuple[Mount, ...]:
        """Begin a snapshot that can't be written, of a committed one; return what to mount."""
        ...

    @repeatable
    def mounts(self, key: str) -> tuple[Mount, ...]:
        """Return what to mount, in order and at the same place, to see an active snapshot or a view.

        Destinations are `/`. `moby.host.overlay.mount_root` mounts them. An active one is mounted once at a time.
        """
        ...

    def apply(self, key: str, layer: BinaryIO, below: Callable[[], object] | None = None) -> Usage:
        """Unpack an uncompressed layer, read to its end, into an active snapshot that was never mounted.

        Once only. `below` is called before anything below is looked at, in any thread, where the parent was active;
        it returns once that is committed, and what it raises is raised here. Invalid for a layer that
        is hostile or no tar; nothing outside the snapshot is touched, and what came of it stays until the snapshot is
        removed. Owners are kept where the engine may give files away.
        """
        ...

    def commit(self, name: str, key: str) -> None:
        """Make an active snapshot, which isn't mounted, a committed one of this name; the key is free then.

        Conflict where the one that it is on isn't committed.
        """
        ...

    def link(self, key: str, name: str) -> None:
        """Give a committed snapshot one more key, which is as good as the first; its files go with the last key.

        What is on it stays on it under whichever key is left.
        """
        ...

    @repeatable
    def stat(self, key: str) -> Snapshot:
        """Return what is known of a snapshot."""
        ...

    @repeatable
    def list(self) -> tuple[Snapshot, ...]:
        """Return all snapshots, sorted by key."""
        ...

    @repeatable
    def usage(self, key: str) -> Usage:
        """Return what a snapshot takes: sizes of its files, and how many there are. Walks an active one."""
        ...

    def remove(self, key: str) -> None:
        """Remove a snapshot, which isn't mounted; Conflict where others are on it and it has no other key."""
        ...

    @repeatable
    def changes(self, key: str) -> tuple[Change, ...]:
        """Return what is other in an active snapshot than below, sorted by path; it may be written meanwhile."""
        ...

    @repeatable
    def diff(self, key: str) -> Iterator[bytes]:
        """Yield the layer (an uncompressed tar, image-spec, layer.md) that makes this snapshot of the one below.

        Of an active or committed one; Conflict where a file changes its size while it is read.
        """
        ...

    @repeatable
    def export(self, key: str) -> Iterator[bytes]:
        """Yield all that a snapshot shows, those below included, as one uncompressed tar."""
        ...
