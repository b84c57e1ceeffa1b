"""Declares `orchestrator/swarm`."""

from collections.abc import Iterable

from attrs import field, frozen
from attrs.validators import ge

from moby.component import Component
from moby.contracts.ambient import Clock, Log, Place
from moby.contracts.containers import Containers
from moby.contracts.events import Events
from moby.contracts.images import Images
from moby.contracts.metadata import Metadata
from moby.contracts.networks import Networks
from moby.contracts.orchestrator import Orchestrator, OrchestratorFeature
from moby.contracts.supervisor import Supervisor
from moby.contracts.volumes import Volumes
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """Options of `orchestrator/swarm`."""

    starting: int = field(
        default=0,
        validator=ge(0),
        metadata={"help": "How many tasks are started at a time; 0 is two for each processor."},
    )


def make(
    config: Config,
    *,
    containers: Containers,
    images: Images,
    volumes: Volumes,
    networks: Networks,
    supervisor: Supervisor,
    events: Events,
    metadata: Metadata,
    place: Place,
    clock: Clock,
    log: Log,
) -> Orchestrator:
    """Keeps services as they were described: docker's swarm mode, its state in the metadata."""
    from moby_orchestrator.swarm.parts import Parts
    from moby_orchestrator.swarm.swarm import Swarm

    parts = Parts(containers, images, volumes, networks, supervisor, events, metadata, place, clock, log)
    return Swarm(parts, config.starting)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's component."""
    features = (
        OrchestratorFeature.NODES, OrchestratorFeature.VERSIONS, OrchestratorFeature.GLOBAL, OrchestratorFeature.JOBS,
        OrchestratorFeature.ROLLING, OrchestratorFeature.SECRETS, OrchestratorFeature.CLUSTER,
        OrchestratorFeature.REPLACING,
    )  # fmt: skip
    return [Component(name="swarm", factory=make, offers=features)]
