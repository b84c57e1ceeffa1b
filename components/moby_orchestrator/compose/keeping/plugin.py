"""Declares `orchestrator/compose`."""

from collections.abc import Iterable

from attrs import frozen

from moby.component import Component
from moby.contracts.ambient import Clock, Log, Place
from moby.contracts.containers import Containers
from moby.contracts.events import Events
from moby.contracts.images import Images
from moby.contracts.metadata import Metadata
from moby.contracts.networks import Networks
from moby.contracts.orchestrator import Orchestrator
from moby.contracts.volumes import Volumes
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """`orchestrator/compose` has no options."""


def make(
    config: Config,
    *,
    containers: Containers,
    images: Images,
    networks: Networks,
    volumes: Volumes,
    events: Events,
    metadata: Metadata,
    place: Place,
    clock: Clock,
    log: Log,
) -> Orchestrator:
    """Applications on this machine, by docker compose's names and labels, kept while the engine runs."""
    from moby_orchestrator.compose.keeping.parts import Parts
    from moby_orchestrator.compose.keeping.service import Compose

    parts = Parts(containers, images, networks, volumes, events, clock, log)
    return Compose(parts, metadata, place.state)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's component."""
    return [Component(name="compose", factory=make)]
