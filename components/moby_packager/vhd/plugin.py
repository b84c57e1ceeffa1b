"""Declares the packager `vhd`."""

from collections.abc import Iterable

from moby.component import Component
from moby.contracts.packager import Packager
from moby.hookspecs import hookimpl


def make() -> Packager:
    """A disk for Azure and older Hyper-V, of fixed size."""
    from moby_packager.vhd.disk import Vhd

    return Vhd()


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the packager."""
    return [Component(name="vhd", factory=make, takes="raw")]
