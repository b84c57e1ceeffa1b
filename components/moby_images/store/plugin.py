"""The component `images/store`."""

from collections.abc import Iterable

from attrs import field, frozen

from moby.component import Component, HostNeed
from moby.contracts.ambient import Clock, Place
from moby.contracts.content import Content
from moby.contracts.events import Events
from moby.contracts.image_registry import ImageRegistry
from moby.contracts.images import Images, ImagesFeature
from moby.contracts.metadata import Metadata
from moby.contracts.snapshotter import Snapshotter
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """Options of `images/store`."""

    max_unpacked_bytes: int = field(
        default=64 << 30, metadata={"help": "Refuse an archive that holds more than this many bytes."}
    )
    max_unpacked_files: int = field(
        default=4_000_000, metadata={"help": "Refuse an archive that holds more than this many files."}
    )
    drop_blobs: bool = field(
        default=False,
        metadata={
            "help": "Drop the blobs of layers once they are unpacked, which takes less room on disk. An image that came"
            " compressed can't be saved then, nor pushed to where its layers aren't yet; both refuse it by name."
        },
    )


def make(
    config: Config,
    *,
    content: Content,
    snapshotter: Snapshotter,
    metadata: Metadata,
    events: Events,
    registry: ImageRegistry,
    clock: Clock,
    place: Place,
) -> Images:
    """Keeps images as Docker does: blobs by digest, layers as snapshots, names and holds in the engine's metadata."""
    from moby.oci.unpack import Limits
    from moby_images.store.parts import Parts
    from moby_images.store.service import Store

    limits = Limits(config.max_unpacked_bytes, config.max_unpacked_files)
    return Store(Parts(content, snapshotter, metadata, events, clock, place, limits, config.drop_blobs), registry)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    why = "layers that come by zstd can't be unpacked without"
    zstd = HostNeed("binary", "zstd", package="zstd", why=why, module="compression.zstd backports.zstd", optional=True)
    features = (ImagesFeature.LAYERS, ImagesFeature.TRANSFERS)
    return [Component(name="store", factory=make, offers=features, host=(zstd,), preferred=True)]
