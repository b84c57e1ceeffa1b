"""Declares the packager `binary`."""

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
        default=6, validator=and_(ge(1), le(9)), metadata={"help": "How hard to deflate, from 1, quick, to 9, small."}
    )


def make(config: Config) -> Packager:
    """One executable file that needs no Python on its host, nor any library: it runs in an empty folder."""
    from moby_packager.binary.file import Binary

    return Binary(config.level)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the packager."""
    compiler = HostNeed("binary", "gcc", package="gcc", why="compiles what unpacks the interpreter")
    return [Component(name="binary", factory=make, takes="tree", host=(compiler,))]
