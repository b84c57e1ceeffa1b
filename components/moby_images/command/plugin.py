"""The component `command/image`, and Docker's verbs beside it: `images`, `load`, `pull`, `rmi` and so on."""

from collections.abc import Callable, Iterable

from attrs import frozen

from moby.component import Component
from moby.contracts.command import Command
from moby.contracts.image_registry import ImageRegistry
from moby.contracts.images import Images, ImagesFeature
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """None of these has options."""


def make(config: Config, *, images: Images, image_registry: ImageRegistry | None) -> Command:
    """Make images out of the host's own files; list, show, fetch, send, tag and remove them."""
    from moby_images.command.verb import ImageCommand

    return ImageCommand(images, image_registry)


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
    """Show the steps by which an image was made."""
    from moby_images.command.verb import DockerVerb

    return DockerVerb(images, "history")


def make_import(config: Config, *, images: Images) -> Command:
    """Make an image from a tar of a root file system."""
    from moby_images.command.verb import DockerVerb

    return DockerVerb(images, "import")


def make_pull(config: Config, *, images: Images, image_registry: ImageRegistry | None) -> Command:
    """Pull an image from an image registry."""
    from moby_images.command.verb import DockerVerb

    return DockerVerb(images, "pull", image_registry)


def make_push(config: Config, *, images: Images, image_registry: ImageRegistry | None) -> Command:
    """Push an image to an image registry."""
    from moby_images.command.verb import DockerVerb

    return DockerVerb(images, "push", image_registry)


def make_login(config: Config, *, images: Images, image_registry: ImageRegistry | None) -> Command:
    """Log in to an image registry."""
    from moby_images.command.verb import DockerVerb

    return DockerVerb(images, "login", image_registry)


def make_logout(config: Config, *, images: Images) -> Command:
    """Log out of an image registry."""
    from moby_images.command.verb import DockerVerb

    return DockerVerb(images, "logout")


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    makers: dict[str, Callable[..., Command]] = {
        "image": make, "images": make_images, "load": make_load, "save": make_save, "rmi": make_rmi, "tag": make_tag,
        "history": make_history, "import": make_import, "pull": make_pull, "push": make_push, "login": make_login,
        "logout": make_logout,
    }  # fmt: skip
    features = {
        "history": ImagesFeature.LAYERS,
        **dict.fromkeys(("load", "save", "import", "pull", "push"), ImagesFeature.TRANSFERS),
    }
    return [
        Component(name=name, factory=each, features={"images": (features[name],)} if name in features else {})
        for name, each in makers.items()
    ]
