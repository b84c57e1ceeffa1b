"""The component `network-driver/overlay`."""

from collections.abc import Iterable, Mapping

from moby.component import Component, HostNeed
from moby.contracts.ambient import Clock, Log, Place
from moby.contracts.metadata import Metadata
from moby.contracts.network_driver import NetworkDriver
from moby.hookspecs import hookimpl
from moby_network_driver.overlay.config import Config

__all__ = ["Config", "make", "moby_components"]


def make(config: Config, *, stores: Mapping[str, Metadata], place: Place, clock: Clock, log: Log) -> NetworkDriver:
    """Puts containers of several hosts on one network, encrypted if need be; each host is their way out."""
    from moby_network_driver.overlay.driver import overlay

    return overlay(config, stores, place, clock, log)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    why = "containers get no further than this host, unless the engine may turn it on (its option ip_forward)"
    needs = tuple(HostNeed("kernel", f"ipv{each}-forwarding", why=why, optional=True) for each in (4, 6))
    accepted = HostNeed("kernel", "forward-accepted", why="nothing of the engine's helps against it", optional=True)
    root = HostNeed("privilege", "root", why="no network of its can be made", optional=True)
    return [Component(name="overlay", factory=make, host=(root, *needs, accepted))]
