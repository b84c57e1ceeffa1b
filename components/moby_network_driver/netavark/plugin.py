"""The component `network-driver/netavark`."""

from collections.abc import Iterable

from moby.component import Component, HostNeed
from moby.contracts.ambient import Log, Place
from moby.contracts.network_driver import NetworkDriver
from moby.hookspecs import hookimpl
from moby_network_driver.netavark.config import Config

__all__ = ["Config", "make", "moby_components"]


def make(config: Config, *, place: Place, log: Log) -> NetworkDriver:
    """Has netavark, the network stack of Podman, put containers on bridges."""
    from moby_network_driver.netavark.driver import NetavarkNetworks

    return NetavarkNetworks(config, place, log)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    program = HostNeed(
        "binary", "/usr/lib/podman/netavark", ">=1.10", "netavark", why="it makes the networks", option="binary"
    )
    rules = HostNeed(
        "binary", "nft", "", "nftables", why="netavark makes rules with it, unless told otherwise", optional=True
    )
    root = HostNeed("privilege", "root", why="no container can be put on its networks", optional=True)
    return [Component(name="netavark", factory=make, host=(program, rules, root))]
