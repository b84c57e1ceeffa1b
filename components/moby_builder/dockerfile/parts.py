"""What the builder is made of, and how it is to be."""

from moby.contracts.ambient import Clock, Log, Place
from moby.contracts.content import Content
from moby.contracts.image_registry import ImageRegistry
from moby.contracts.images import Images
from moby.contracts.metadata import Metadata
from moby.contracts.networks import Networks
from moby.contracts.snapshotter import Snapshotter
from moby.contracts.supervisor import Supervisor
from moby.values import frozen

__all__ = ["Parts", "Policy"]


@frozen
class Parts:
    """Other components, and the instance's surroundings."""

    images: Images
    content: Content
    snapshotter: Snapshotter
    supervisor: Supervisor
    networks: Networks
    registry: ImageRegistry
    metadata: Metadata
    place: Place
    clock: Clock
    log: Log


@frozen
class Policy:
    """How builds are run, and what is kept of them without being asked."""

    collect: bool = True
    keep_bytes: int = 0
    """0 is a tenth of the disk."""
    parallel: int = 0
    """How many RUNs go on at a time; 0 is somewhat more than there are processors."""
    most_processes: int = 0
    """Of a RUN; 0 is no limit."""
