"""What the orchestrator knows: what was asked for, and what there is."""

from collections.abc import Mapping

from attrs import field, frozen

from moby.contracts.containers import Status
from moby.contracts.orchestrator import ServiceSpec
from moby.contracts.supervisor import HealthStatus

__all__ = ["DATA", "OWN", "Kept", "Removal", "Seen", "key_of", "whole_name"]

OWN = "io.moby.compose.service-id"
"""The label of containers that this made, besides docker compose's: its service's id."""
DATA = "io.moby.compose.data"
"""And which of its files' data a container has, once that has changed: docker compose's hash says nothing of it."""


@frozen
class Kept:
    """A service as it is kept."""

    id: str
    spec: ServiceSpec
    template: str
    """The hash in its containers' labels; one with another is made anew."""
    image_id: str = ""
    """Of the image that its containers are to be of; empty where that isn't known yet."""
    version: int = 1
    created_ns: int = 0
    updated_ns: int = 0
    missing: int = 0
    """How many containers are still to be made; one that somebody removes later isn't made again."""
    adopted: bool = False
    """Whether docker compose began it, and this changed nothing of it yet."""
    files: str = ""
    """What tells its secrets' and configs' data from another's; empty where that isn't known."""
    data: int = 0
    """How often that has changed; a container with another is made anew."""

    @property
    def made_of(self) -> str:
        """What tells containers as described from others."""
        return f"{self.template}.{self.data}" if self.data else self.template


@frozen
class Removal:
    """A service that is gone, as long as it has containers."""

    id: str
    application: str
    key: str
    after: tuple[str, ...] = ()
    """Ids of removals that are waited for: of services that depended on this one."""


@frozen
class Seen:
    """A container of a service, as it is."""

    id: str
    name: str
    application: str
    key: str
    """Its service's name in docker compose's labels."""
    number: int
    owner: str
    """Id of the service for which this made it; empty where docker compose did."""
    template: str
    image_id: str
    """As its label says."""
    created_ns: int
    status: Status = Status.CREATED
    started_ns: int = 0
    exit_code: int | None = None
    health: HealthStatus = HealthStatus.NONE
    error: str = ""
    labels: Mapping[str, str] = field(factory=dict)

    @property
    def made_of(self) -> str:
        """What it is of: see `Kept`."""
        data = self.labels.get(DATA, "")
        return f"{self.template}.{data}" if data else self.template

    @property
    def running(self) -> bool:
        """Whether it has a process."""
        return self.status in (Status.RUNNING, Status.PAUSED)


def key_of(application: str, name: str) -> str:
    """Return what docker compose's label calls a service: without its application's name before it."""
    for sign in "_-":
        if application and name.startswith(application + sign) and len(name) > len(application) + 1:
            return name[len(application) + 1 :]
    return name


def whole_name(application: str, key: str) -> str:
    """Return a service's whole name."""
    return f"{application}_{key}" if application else key
