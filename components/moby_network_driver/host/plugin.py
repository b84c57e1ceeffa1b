"""The component `network-driver/host`."""

from collections.abc import Iterable

from attrs import frozen

from moby.component import Component
from moby.contracts.network_driver import NetworkDriver
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """`network-driver/host` has no options."""


def make(config: Config) -> NetworkDriver:
    """Has containers use the network of the host itself."""
    from moby_network_driver.host.driver import HostNetwork

    return HostNetwork()


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="host", factory=make)]
