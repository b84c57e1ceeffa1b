"""The component `ipam/null`."""

from collections.abc import Iterable

from attrs import frozen

from moby.component import Component
from moby.contracts.ipam import Ipam, IpamFeature
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """`ipam/null` has no options."""


def make(config: Config) -> Ipam:
    """Hands out nothing, for networks whose containers get their addresses elsewhere."""
    from moby_ipam.null.allocator import NoAddresses

    return NoAddresses()


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="null", factory=make, offers=(IpamFeature.NOTHING,))]
