"""Declares the packager `qcow2`."""

from collections.abc import Iterable

from attrs import field, frozen

from moby.component import Component, HostNeed
from moby.contracts.packager import Packager
from moby.hookspecs import hookimpl


@frozen
class Config:
    """Options of the packager."""

    compress: bool = field(default=False, metadata={"help": "Whether blocks are compressed, which QEMU 5.1 reads."})


def make(config: Config) -> Packager:
    """A disk for QEMU, KVM and OpenStack, without its empty blocks."""
    from moby_packager.qcow2.disk import Qcow2

    return Qcow2(compress=config.compress)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the packager."""
    need = HostNeed("binary", "qemu-img", package="qemu-utils", why="makes the disk")
    return [Component(name="qcow2", factory=make, takes="raw", host=(need,))]
