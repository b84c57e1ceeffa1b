"""The component `network-driver/ipvlan`."""

from collections.abc import Iterable

from attrs import frozen

from moby.component import Component, HostNeed
from moby.contracts.ambient import Place
from moby.contracts.network_driver import NetworkDriver
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """`network-driver/ipvlan` has no options."""


def make(config: Config, *, place: Place) -> NetworkDriver:
    """Puts containers on a network of the host's, where they share a card's MAC address."""
    from moby_network_driver.ipvlan.driver import ipvlan

    return ipvlan(place)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    root = HostNeed("privilege", "root", why="no network of its can be made", optional=True)
    return [Component(name="ipvlan", factory=make, host=(root,))]
