"""The component `networks/registry`."""

from collections.abc import Iterable, Mapping

from attrs import frozen

from moby.component import Component
from moby.contracts.ambient import Clock
from moby.contracts.events import Events
from moby.contracts.metadata import Metadata
from moby.contracts.network_driver import NetworkDriver
from moby.contracts.networks import Networks
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """`networks/registry` has no options."""


def make(
    config: Config, *, drivers: Mapping[str, NetworkDriver], metadata: Metadata, events: Events, clock: Clock
) -> Networks:
    """Knows networks by name, and keeps who is on which in the metadata."""
    from moby_networks.registry.registry import Registry

    return Registry(drivers, metadata, events, clock)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="registry", factory=make, preferred=True)]
