"""The component `network-driver/cni`."""

from collections.abc import Iterable

from moby.component import Component, HostNeed
from moby.contracts.ambient import Log, Place
from moby.contracts.network_driver import NetworkDriver
from moby.hookspecs import hookimpl
from moby_network_driver.cni.config import Config

__all__ = ["Config", "make", "moby_components"]


def make(config: Config, *, place: Place, log: Log) -> NetworkDriver:
    """Has plugins of the Container Network Interface, from 0.3.0 to 1.1.0, put containers on networks."""
    from moby_network_driver.cni.driver import CniNetworks

    return CniNetworks(config, place, log)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    root = HostNeed("privilege", "root", why="no container can be put on its networks", optional=True)
    return [Component(name="cni", factory=make, host=(root,))]
