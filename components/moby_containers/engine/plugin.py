"""Declares `containers/engine`."""

from collections.abc import Iterable

from attrs import frozen

from moby.component import Component, HostNeed
from moby.contracts.ambient import Clock, Log, Place
from moby.contracts.containers import Containers
from moby.contracts.events import Events
from moby.contracts.images import Images, ImagesFeature
from moby.contracts.metadata import Metadata
from moby.contracts.networks import Networks
from moby.contracts.runtime import RuntimeFeature
from moby.contracts.supervisor import Supervisor
from moby.contracts.volumes import Volumes
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """Options of `containers/engine`: none."""


def make(
    config: Config,
    *,
    images: Images,
    supervisor: Supervisor,
    volumes: Volumes,
    networks: Networks,
    events: Events,
    metadata: Metadata,
    place: Place,
    clock: Clock,
    log: Log,
) -> Containers:
    """Containers as docker has them, kept over restarts of the engine."""
    from moby_containers.engine.service import Service

    return Service(
        images=images, supervisor=supervisor, volumes=volumes, networks=networks, events=events, metadata=metadata,
        place=place, clock=clock, log=log,
    )  # fmt: skip


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    features = (
        RuntimeFeature.CGROUPS, RuntimeFeature.JOINING, RuntimeFeature.MOUNTS, RuntimeFeature.NAMESPACES,
        RuntimeFeature.NOEXEC,
    )  # fmt: skip
    layers = {"images": (ImagesFeature.LAYERS,)}
    root = HostNeed("privilege", "root", why="no container can be made, since its root is mounted", optional=True)
    demands = {"runtime": features}
    return [Component(name="engine", factory=make, features=layers, demands=demands, host=(root,), preferred=True)]
