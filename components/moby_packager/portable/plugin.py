"""Declares the packager `portable`."""

from collections.abc import Iterable

from attrs import field, frozen
from attrs.validators import and_, ge, le, matches_re

from moby.component import Component, HostNeed
from moby.contracts.packager import Packager
from moby.hookspecs import hookimpl


@frozen
class Config:
    """Options of the packager."""

    group: str = field(
        default="docker",
        validator=matches_re(r"[a-z_][a-z0-9_-]{0,31}"),
        metadata={"help": "The host's group that may use the engine's socket."},
    )
    level: int = field(
        default=12, validator=and_(ge(1), le(22)), metadata={"help": "How hard zstd compresses, from 1 to 22."}
    )


def make(config: Config) -> Packager:
    """A portable service: an image that systemd attaches and starts the engine from, with a root of its own."""
    from moby_packager.portable.image import Portable

    return Portable(config.group, config.level)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the packager."""
    need = HostNeed("binary", "mksquashfs", package="squashfs-tools", why="makes the file system")
    return [Component(name="portable", factory=make, takes="tree", host=(need,))]
