"""What the handlers share: the engine's other parts, and what this front end says of itself."""

from moby.contracts.ambient import Clock, Log, Place
from moby.contracts.builder import Builder
from moby.contracts.containers import Containers
from moby.contracts.events import Events
from moby.contracts.image_registry import ImageRegistry
from moby.contracts.images import Images
from moby.contracts.networks import Networks
from moby.contracts.orchestrator import Orchestrator
from moby.contracts.supervisor import Supervisor
from moby.contracts.tracer import Tracer
from moby.contracts.volumes import Volumes
from moby.values import field, frozen
from moby_frontend.docker.buildkit.building import Building
from moby_frontend.docker.call import Version

__all__ = ["HIGHEST", "LOWEST", "RELEASE", "Parts", "spelled"]

LOWEST: Version = (1, 24)
HIGHEST: Version = (1, 51)
RELEASE = "0.1.0"
"""What clients are told as the engine's version."""
_STORAGE = {"overlay": "overlay2", "copy": "vfs"}


def spelled(version: Version) -> str:
    """Return a version as it is in paths."""
    return f"{version[0]}.{version[1]}"


@frozen
class Parts:
    """The rest of the engine, as handlers see it."""

    containers: Containers
    images: Images
    volumes: Volumes
    networks: Networks
    events: Events
    supervisor: Supervisor
    """Asked for the names of runtimes and log drivers alone."""
    place: Place
    clock: Clock
    log: Log
    lowest: Version = LOWEST
    highest: Version = HIGHEST
    image_registry: ImageRegistry | None = None
    builder: Builder | None = None
    orchestrator: Orchestrator | None = None
    building: Building = field(factory=Building)
    """What goes on in it for this front end's clients."""
    tracer: Tracer | None = None
    authorization: tuple[str, ...] = ()
    """Names of docker's plugins that are asked about each call."""

    @property
    def storage_driver(self) -> str:
        """What keeps layers, by docker's name for it where docker has the like."""
        return _STORAGE.get(self.images.storage, self.images.storage)
