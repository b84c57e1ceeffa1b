"""The component `snapshotter/fuse-overlayfs`."""

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
    """Options of `snapshotter/fuse-overlayfs`."""

    binary: str = field(default="", metadata={"help": "Path of fuse-overlayfs; empty takes the one on PATH."})
    max_unpacked_bytes: int = field(
        default=64 << 30, metadata={"help": "Refuse a layer that unpacks to more than this many bytes."}
    )
    max_unpacked_files: int = field(
        default=4_000_000, metadata={"help": "Refuse a layer that unpacks to more than this many files."}
    )


def make(config: Config, *, metadata: Metadata, place: Place) -> Snapshotter:
    """Keeps layers in folders that the program fuse-overlayfs shows as one."""
    from moby.oci.unpack import Limits
    from moby_snapshotter.overlay.fuse.snapshots import FuseOverlay

    limits = Limits(config.max_unpacked_bytes, config.max_unpacked_files)
    return FuseOverlay(place.state, metadata, config.binary or "fuse-overlayfs", limits)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    program = HostNeed(
        "binary", "fuse-overlayfs", ">=1.8", "fuse-overlayfs", why="it shows the layers", option="binary"
    )
    return [Component(name="fuse-overlayfs", factory=make, host=(program, HostNeed("kernel", "fuse")))]
