"""The component `network-driver/none`."""

from collections.abc import Iterable

from attrs import frozen

from moby.component import Component
from moby.contracts.network_driver import NetworkDriver
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """`network-driver/none` has no options."""


def make(config: Config) -> NetworkDriver:
    """Gives containers a network namespace of their own with nothing but a loopback in it."""
    from moby_network_driver.none.driver import NoNetwork

    return NoNetwork()


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="none", factory=make, preferred=True)]
