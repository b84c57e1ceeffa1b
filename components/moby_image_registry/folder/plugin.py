"""Declares `image-registry/folder`."""

from collections.abc import Iterable

from attrs import field, frozen

from moby.component import Component
from moby.contracts.ambient import Place
from moby.contracts.image_registry import ImageRegistry
from moby.hookspecs import hookimpl


@frozen
class Config:
    """Options of the image-registry `folder`."""

    path: str = field(default="", metadata={"help": "where the layouts lie; the part's own folder where it is empty"})


def make(config: Config, *, place: Place) -> ImageRegistry:
    """Fetches and sends images by a folder with an OCI layout for each repository, for hosts without a network."""
    from pathlib import Path

    from moby_image_registry.folder.layouts import Layouts

    return Layouts(Path(config.path) if config.path else place.state / "images")


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the one component of this module."""
    return [Component(name="folder", factory=make)]
