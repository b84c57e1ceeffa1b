"""The component `volumes/registry`."""

from collections.abc import Iterable, Mapping

from attrs import frozen

from moby.component import Component
from moby.contracts.ambient import Clock, Place
from moby.contracts.events import Events
from moby.contracts.metadata import Metadata
from moby.contracts.volume_driver import VolumeDriver
from moby.contracts.volumes import Volumes
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """`volumes/registry` has no options."""


def make(
    config: Config,
    *,
    drivers: Mapping[str, VolumeDriver],
    metadata: Metadata,
    events: Events,
    clock: Clock,
    place: Place,
) -> Volumes:
    """Knows volumes by name, and keeps who has them in the metadata."""
    from moby_volumes.registry.registry import Registry

    return Registry(drivers, metadata, events, clock, place.run)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="registry", factory=make, preferred=True)]
