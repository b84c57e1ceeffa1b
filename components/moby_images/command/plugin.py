"""The component `command/image`, and Docker's verbs beside it: `images`, `load`, `save`, `rmi` and so on."""

from collections.abc import Iterable

from attrs import frozen

from moby.component import Component
from moby.contracts.command import Command
from moby.contracts.images import Images
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """None of these has options."""


def make(config: Config, *, images: Images) -> Command:
    """Make images out of the host's own files; list, show, tag and remove them."""
    from moby_images.command.verb import ImageCommand

    return ImageCommand(images)


def make_images(config: Config, *, images: Images) -> Command:
    """List images."""
    from moby_images.command.verb import DockerVerb

    return DockerVerb(images, "images")


def make_load(config: Config, *, images: Images) -> Command:
    """Load images from an archive."""
    from moby_images.command.verb import DockerVerb

    return DockerVerb(images, "load")


def make_save(config: Config, *, images: Images) -> Command:
    """Write images to an archive."""
    from moby_images.command.verb import DockerVerb

    return DockerVerb(images, "save")


def make_rmi(config: Config, *, images: Images) -> Command:
    """Remove images."""
    from moby_images.command.verb import DockerVerb

    return DockerVerb(images, "rmi")


def make_tag(config: Config, *, images: Images) -> Command:
    """Give an image one more name."""
    from moby_images.command.verb import DockerVerb

    return DockerVerb(images, "tag")


def make_history(config: Config, *, images: Images) -> Command:
    """Show the steps that an image was made by."""
    from moby_images.command.verb import DockerVerb

    return DockerVerb(images, "history")


def make_import(config: Config, *, images: Images) -> Command:
    """Make an image of a file system in a tar."""
    from moby_images.command.verb import DockerVerb

    return DockerVerb(images, "import")


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    makers = {
        "image": make, "images": make_images, "load": make_load, "save": make_save, "rmi": make_rmi, "tag": make_tag,
        "history": make_history, "import": make_import,
    }  # fmt: skip
    return [Component(name=name, factory=each) for name, each in makers.items()]
