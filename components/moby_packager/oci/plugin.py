"""Declares the packager `oci`."""

from collections.abc import Iterable

from attrs import field, frozen
from attrs.validators import and_, ge, le, matches_re

from moby.component import Component
from moby.contracts.packager import Packager
from moby.hookspecs import hookimpl


@frozen
class Config:
    """Options of the packager."""

    tag: str = field(
        default="",
        validator=matches_re(r"([a-z0-9][a-z0-9._:/-]*:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?"),
        metadata={"help": "The image's name when it is loaded, with its tag; empty is NAME:latest."},
    )
    command: tuple[str, ...] = field(default=("serve",), metadata={"help": "The engine's verb, unless one is given."})
    level: int = field(
        default=6, validator=and_(ge(1), le(9)), metadata={"help": "How hard gzip compresses, from 1 to 9."}
    )


def make(config: Config) -> Packager:
    """An image that holds the engine and nothing else, for docker, podman, skopeo and this framework's engines."""
    from moby_packager.oci.image import Oci

    return Oci(config.tag, config.command, config.level)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the packager."""
    return [Component(name="oci", factory=make, takes="tree")]
