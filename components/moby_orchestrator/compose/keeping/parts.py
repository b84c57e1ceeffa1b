"""The parts of the engine that an orchestrator drives."""

from attrs import frozen

from moby.contracts.ambient import Clock, Log
from moby.contracts.containers import Containers
from moby.contracts.events import Events
from moby.contracts.images import Images
from moby.contracts.networks import Networks
from moby.contracts.volumes import Volumes

__all__ = ["Parts"]


@frozen
class Parts:
    """The parts of the engine that an orchestrator drives."""

    containers: Containers
    images: Images
    networks: Networks
    volumes: Volumes
    events: Events
    clock: Clock
    log: Log
