"""What an orchestrator drives."""

from moby.contracts.ambient import Clock, Log, Place
from moby.contracts.containers import Containers
from moby.contracts.events import Events
from moby.contracts.images import Images
from moby.contracts.metadata import Metadata
from moby.contracts.networks import Networks
from moby.contracts.supervisor import Supervisor
from moby.contracts.volumes import Volumes
from moby.values import frozen

__all__ = ["Parts"]


@frozen
class Parts:
    """The engine's parts of this machine."""

    containers: Containers
    images: Images
    volumes: Volumes
    networks: Networks
    supervisor: Supervisor
    events: Events
    metadata: Metadata
    place: Place
    clock: Clock
    log: Log
