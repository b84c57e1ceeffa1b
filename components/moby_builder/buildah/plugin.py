"""What the builder `buildah` declares."""

from collections.abc import Iterable

from attrs import field, frozen

from moby.component import Component, HostNeed
from moby.contracts.ambient import Log, Place
from moby.contracts.builder import Builder, BuilderFeature
from moby.contracts.images import Images, ImagesFeature
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """Options of the builder `buildah`."""

    binary: str = field(default="", metadata={"help": "path of buildah; empty takes the one on PATH"})
    isolation: str = field(default="oci", metadata={"help": "how RUN is confined: oci, rootless or chroot"})
    runtime: str = field(default="", metadata={"help": "path of the OCI runtime for RUN; empty is buildah's default"})
    storage: str = field(default="overlay", metadata={"help": "how buildah keeps layers: overlay or vfs"})


def make(config: Config, *, images: Images, place: Place, log: Log) -> Builder:
    """Builds with buildah, and shares images with the engine as archives."""
    from moby_builder.buildah.service import Service
    from moby_builder.buildah.tool import Tool

    tool = Tool(place, binary=config.binary, isolation=config.isolation, runtime=config.runtime, storage=config.storage)
    return Service(tool, images, place, log)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the component."""
    need = HostNeed("binary", "buildah", ">=1.28", "buildah", why="it builds the images", option="binary")
    root = HostNeed(
        "privilege",
        "root",
        why="no files are exported, and images of several owners take ids of /etc/subuid",
        optional=True,
    )
    offers, features = (BuilderFeature.EVENTS,), {"images": (ImagesFeature.TRANSFERS,)}
    return [Component(name="buildah", factory=make, offers=offers, features=features, host=(need, root))]
