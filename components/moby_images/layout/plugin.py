"""The component `images/layout`."""

from collections.abc import Iterable

from attrs import field, frozen

from moby.component import Component
from moby.contracts.ambient import Place
from moby.contracts.images import Images
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """Options of `images/layout`."""

    max_unpacked_bytes: int = field(
        default=64 << 30, metadata={"help": "Refuse an image that unpacks to more than this many bytes."}
    )
    max_unpacked_files: int = field(
        default=4_000_000, metadata={"help": "Refuse an image that unpacks to more than this many files."}
    )


def make(config: Config, *, place: Place) -> Images:
    """Keeps images in a folder in the OCI image layout, and unpacks one for each container."""
    from moby.oci.unpack import Limits
    from moby_images.layout.store import Layout

    return Layout(place.state, Limits(config.max_unpacked_bytes, config.max_unpacked_files))


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="layout", factory=make, preferred=True)]
