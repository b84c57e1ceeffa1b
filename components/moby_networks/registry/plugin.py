"""The component `networks/registry`."""

from collections.abc import Iterable, Mapping

from attrs import frozen

from moby.component import Component
from moby.contracts.ambient import Clock, Log, Place
from moby.contracts.discovery import Discovery
from moby.contracts.events import Events
from moby.contracts.ipam import Ipam
from moby.contracts.metadata import Metadata
from moby.contracts.network_driver import NetworkDriver
from moby.contracts.networks import Networks
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """`networks/registry` has no options."""


def make(
    config: Config,
    *,
    drivers: Mapping[str, NetworkDriver],
    ipams: Mapping[str, Ipam],
    discovery: Discovery,
    metadata: Metadata,
    events: Events,
    place: Place,
    clock: Clock,
    log: Log,
) -> Networks:
    """Knows networks by name, makes containers' places on them, and keeps who is on which in the metadata."""
    from moby_networks.registry.context import Context
    from moby_networks.registry.namespaces import Namespaces
    from moby_networks.registry.records import Records
    from moby_networks.registry.registry import Registry

    namespaces = Namespaces(place.run / "netns")
    return Registry(Context(drivers, ipams, discovery, events, clock, log, Records(metadata), namespaces))


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="registry", factory=make, preferred=True)]
