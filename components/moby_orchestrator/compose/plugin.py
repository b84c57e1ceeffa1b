"""Declares `command/compose` and `orchestrator/compose`."""

from collections.abc import Iterable

from attrs import frozen

from moby.component import Component
from moby.contracts.ambient import Clock, Log, Place
from moby.contracts.command import THROUGH_FRONTEND, Command
from moby.contracts.containers import Containers
from moby.contracts.events import Events
from moby.contracts.frontend import Frontend
from moby.contracts.images import Images
from moby.contracts.metadata import Metadata
from moby.contracts.networks import Networks
from moby.contracts.orchestrator import Orchestrator
from moby.contracts.volumes import Volumes
from moby.hookspecs import hookimpl

__all__ = ["Config", "OrchestratorConfig", "make", "make_orchestrator", "moby_components"]


@frozen
class Config:
    """`compose` has no options of its own."""


def make(config: Config, *, frontend: Frontend | None, place: Place) -> Command:
    """Docker's `compose`: applications as compose files describe them, over the engine's own API."""
    from moby_orchestrator.compose.verb import Verb

    return Verb(place)


@frozen
class OrchestratorConfig:
    """`orchestrator/compose` has no options."""


def make_orchestrator(
    config: OrchestratorConfig,
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
    """Return this module's components."""
    offers = (THROUGH_FRONTEND,)
    return [
        Component(name="compose", factory=make, offers=offers, brings=("pyyaml",)),
        Component(name="compose", factory=make_orchestrator),
    ]
