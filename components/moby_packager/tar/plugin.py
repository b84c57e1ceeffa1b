"""Declares the packager `tar`."""

from collections.abc import Iterable

from attrs import field, frozen
from attrs.validators import and_, ge, le

from moby.component import Component, HostNeed
from moby.contracts.packager import Packager
from moby.hookspecs import hookimpl


@frozen
class Config:
    """Options of the packager."""

    level: int = field(
        default=12, validator=and_(ge(1), le(19)), metadata={"help": "How hard zstd compresses, from 1 to 19."}
    )


def make(config: Config) -> Packager:
    """A folder to be unpacked anywhere, compressed by zstd, which needs no Python on its host."""
    from moby_packager.tar.archive import Tar

    return Tar(config.level)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the packager."""
    need = HostNeed("binary", "zstd", package="zstd", why="compresses the archive")
    return [Component(name="tar", factory=make, takes="tree", host=(need,))]
