"""The component `network-driver/bridge`."""

from collections.abc import Iterable

from moby.component import Component, HostNeed
from moby.contracts.ambient import Log, Place
from moby.contracts.network_driver import NetworkDriver
from moby.hookspecs import hookimpl
from moby_network_driver.bridge.config import Config

__all__ = ["Config", "make", "moby_components"]


def make(config: Config, *, place: Place, log: Log) -> NetworkDriver:
    """Puts containers on bridges of the host's, with the world beyond it by NAT, and publishes their ports."""
    from moby_network_driver.bridge.driver import bridge

    return bridge(config, place, log)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    why = "containers get no further than this host, unless the engine may turn it on (its option ip_forward)"
    needs = tuple(HostNeed("kernel", f"ipv{each}-forwarding", why=why, optional=True) for each in (4, 6))
    accepted = HostNeed("kernel", "forward-accepted", why="nothing of the engine's helps against it", optional=True)
    root = HostNeed("privilege", "root", why="no network of its can be made", optional=True)
    return [Component(name="bridge", factory=make, host=(root, *needs, accepted))]
