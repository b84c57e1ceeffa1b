"""Declares the packager `vmdk`."""

from collections.abc import Iterable

from attrs import field, frozen

from moby.component import Component, HostNeed
from moby.contracts.packager import Packager
from moby.hookspecs import hookimpl


@frozen
class Config:
    """Options of the packager."""

    stream: bool = field(
        default=True, metadata={"help": "Whether it is to be imported, and compressed; else it can be written to."}
    )


def make(config: Config) -> Packager:
    """A disk for VMware."""
    from moby_packager.vmdk.disk import Vmdk

    return Vmdk(stream=config.stream)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the packager."""
    need = HostNeed("binary", "qemu-img", package="qemu-utils", why="makes the disk")
    return [Component(name="vmdk", factory=make, takes="raw", host=(need,))]
