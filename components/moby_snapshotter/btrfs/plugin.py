"""The component `snapshotter/btrfs`."""

from collections.abc import Iterable

from attrs import field, frozen

from moby.component import Component, HostNeed
from moby.contracts.ambient import Place
from moby.contracts.metadata import Metadata
from moby.contracts.snapshotter import Snapshotter
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """Options of `snapshotter/btrfs`."""

    max_unpacked_bytes: int = field(
        default=64 << 30, metadata={"help": "Refuse a layer that unpacks to more than this many bytes."}
    )
    max_unpacked_files: int = field(
        default=4_000_000, metadata={"help": "Refuse a layer that unpacks to more than this many files."}
    )


def make(config: Config, *, metadata: Metadata, place: Place) -> Snapshotter:
    """Keeps each snapshot as a subvolume of btrfs, which shares with the one below what neither changes."""
    from moby.oci.unpack import Limits
    from moby_snapshotter.btrfs.snapshots import Btrfs

    return Btrfs(place.state, metadata, Limits(config.max_unpacked_bytes, config.max_unpacked_files))


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    need = HostNeed("kernel", "btrfs", why="it keeps the snapshots")
    return [Component(name="btrfs", factory=make, host=(need,))]
