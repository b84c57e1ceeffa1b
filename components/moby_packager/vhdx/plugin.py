"""Declares the packager `vhdx`."""

from collections.abc import Iterable

from moby.component import Component, HostNeed
from moby.contracts.packager import Packager
from moby.hookspecs import hookimpl


def make() -> Packager:
    """A disk for Hyper-V, without its empty blocks."""
    from moby_packager.vhdx.disk import Vhdx

    return Vhdx()


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the packager."""
    need = HostNeed("binary", "qemu-img", package="qemu-utils", why="makes the disk")
    return [Component(name="vhdx", factory=make, takes="raw", host=(need,))]
