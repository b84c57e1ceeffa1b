"""Declares `builder/dockerfile`."""

from collections.abc import Iterable

from attrs import field, frozen
from attrs.validators import ge

from moby.component import Component, HostNeed
from moby.contracts.ambient import Clock, Log, Place
from moby.contracts.builder import Builder, BuilderFeature
from moby.contracts.content import Content
from moby.contracts.image_registry import ImageRegistry
from moby.contracts.images import Images, ImagesFeature
from moby.contracts.metadata import Metadata
from moby.contracts.networks import Networks
from moby.contracts.runtime import RuntimeFeature
from moby.contracts.snapshotter import Snapshotter
from moby.contracts.supervisor import Supervisor
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """Options of `builder/dockerfile`."""

    collect: bool = field(
        default=True, metadata={"help": "Remove what builds keep once it is too much, or wasn't used for 60 days."}
    )
    keep_bytes: int = field(
        default=0,
        validator=ge(0),
        metadata={"help": "How much builds may keep for the next ones; 0 is a tenth of the disk."},
    )
    parallel: int = field(
        default=0,
        validator=ge(0),
        metadata={"help": "How many RUNs go on at a time; 0 is two more than there are processors."},
    )
    most_processes: int = field(
        default=0, validator=ge(0), metadata={"help": "How many processes a RUN may have; 0 is no limit."}
    )


def make(
    config: Config,
    *,
    images: Images,
    content: Content,
    snapshotter: Snapshotter,
    supervisor: Supervisor,
    networks: Networks,
    image_registry: ImageRegistry,
    metadata: Metadata,
    place: Place,
    clock: Clock,
    log: Log,
) -> Builder:
    """Builds images from Dockerfiles: independent steps in parallel, unchanged ones from a cache."""
    from moby_builder.dockerfile.parts import Parts, Policy
    from moby_builder.dockerfile.service import Service

    parts = Parts(images, content, snapshotter, supervisor, networks, image_registry, metadata, place, clock, log)
    return Service(parts, Policy(config.collect, config.keep_bytes, config.parallel, config.most_processes))


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    features = (
        BuilderFeature.MOUNTS, BuilderFeature.PARALLEL, BuilderFeature.EVENTS, BuilderFeature.CHECKS,
        BuilderFeature.OUTLINES, BuilderFeature.PLATFORMS, BuilderFeature.CACHE_TRANSFER, BuilderFeature.ATTESTATIONS,
        BuilderFeature.RESULTS,
    )  # fmt: skip
    why = "compression=zstd can't be had without"
    zstd = HostNeed("binary", "zstd", package="zstd", why=why, module="compression.zstd backports.zstd", optional=True)
    root = HostNeed("privilege", "root", why="nothing can be built, since files are given away", optional=True)
    return [
        Component(
            name="dockerfile",
            factory=make,
            preferred=True,
            offers=features,
            features={"images": (ImagesFeature.LAYERS, ImagesFeature.TRANSFERS)},
            demands={"runtime": (RuntimeFeature.MOUNTS, RuntimeFeature.NAMESPACES)},
            host=(zstd, root),
        )
    ]
