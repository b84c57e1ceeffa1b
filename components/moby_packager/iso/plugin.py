"""Declares the packager `iso`."""

from collections.abc import Iterable

from moby.component import Component, HostNeed
from moby.contracts.packager import Packager
from moby.hookspecs import hookimpl


def make() -> Packager:
    """A disc image that UEFI boots a machine from; the machine keeps no data."""
    from moby_packager.iso.disc import Iso

    return Iso()


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the packager."""
    needs = (
        HostNeed("binary", "xorriso", package="xorriso", why="makes the disc"),
        HostNeed("binary", "mkfs.vfat", package="dosfstools", why="makes the file system that firmware reads"),
        HostNeed("binary", "mcopy", package="mtools", why="writes into it"),
    )
    return [Component(name="iso", factory=make, takes="uki", host=needs)]
