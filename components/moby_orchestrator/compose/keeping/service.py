"""The contract over this engine's own parts."""

from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn, Self

from moby.contracts.events import Subscription
from moby.contracts.image_registry import Credentials
from moby.contracts.log_driver import LogQuery
from moby.contracts.metadata import Metadata
from moby.contracts.orchestrator import (
    Application,
    Applied,
    Change,
    Cluster,
    Config,
    ConfigSpec,
    Node,
    NodeSpec,
    Secret,
    SecretSpec,
    Service,
    ServiceSpec,
    Task,
)
from moby.contracts.types import Fd
from moby.errors import NotFound, Unsupported
from moby_orchestrator.compose.keeping.applications import Applications
from moby_orchestrator.compose.keeping.following import Following, concerns
from moby_orchestrator.compose.keeping.loop import Loop
from moby_orchestrator.compose.keeping.machine import this_node
from moby_orchestrator.compose.keeping.parts import Parts
from moby_orchestrator.compose.keeping.services import Services
from moby_orchestrator.compose.keeping.sharing import Sharing
from moby_orchestrator.compose.keeping.shelf import Shelf
from moby_orchestrator.compose.keeping.tasks import Tasks

__all__ = ["Compose"]


class Compose:
    """See the contract. What it answered for is in the metadata, what there is in labels of containers."""

    def __init__(self, parts: Parts, metadata: Metadata, folder: Path) -> None:
        self._parts = parts
        self._shelf = Shelf(metadata, folder / "data")
        sharing = Sharing(parts)
        self._loop = Loop(parts, self._shelf, sharing, self._node)
        self._services = Services(parts, self._shelf, self._loop)
        self._applications = Applications(parts, self._shelf, sharing, self._loop, self._services)
        self._tasks = Tasks(parts, self._loop, self._services, self._node)

    def __enter__(self) -> Self:
        self._shelf.load()
        self._this = this_node(self._shelf.node_id(), self._parts.clock.now_ns())
        self._loop.start()
        self._loop.wake()
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.stop()

    def _node(self) -> Node:
        return self._this

    # Applications

    def apply(self, application: Application, *, prune: bool = False) -> Applied:
        """Make an application be as described."""
        return self._applications.apply(application, prune=prune)

    def applications(self) -> tuple[str, ...]:
        """Return the names of all applications."""
        return self._applications.names()

    def remove_application(self, name: str, *, volumes: bool = False) -> tuple[Change, ...]:
        """Remove all that is an application's."""
        return self._applications.remove(name, volumes=volumes)

    # Services

    def create(self, spec: ServiceSpec, *, credentials: Credentials | None = None) -> Service:
        """Begin to keep a service."""
        return self._services.create(spec, credentials=credentials)

    def update(
        self, name: str, spec: ServiceSpec, version: int | None = None, *, credentials: Credentials | None = None
    ) -> Service:
        """Change a service; the last change holds, whatever version it says."""
        return self._services.update(name, spec, version, credentials=credentials)

    def scale(self, name: str, replicas: int, version: int | None = None) -> Service:
        """Have so many tasks; those there are stay as they are, also docker compose's."""
        return self._services.scale(name, replicas, version)

    def roll_back(self, name: str, version: int | None = None) -> NoReturn:
        """Refuse: nothing is rolled out step by step."""
        self._services.find(name)
        raise Unsupported("this orchestrator doesn't roll back", hint="apply the earlier file again")

    def remove(self, name: str) -> None:
        """End a service and its tasks."""
        self._services.remove(name)

    def service(self, name: str) -> Service:
        """Return a service."""
        return self._services.shown(self._services.find(name))

    def services(self, application: str = "") -> tuple[Service, ...]:
        """Return all services, or an application's."""
        found = sorted(self._services.all().values(), key=lambda each: each.spec.name)
        return tuple(self._services.shown(each) for each in found if application in ("", each.spec.application))

    # Tasks and nodes

    def task(self, name: str) -> Task:
        """Return a task, by its id or as `SERVICE.SLOT`."""
        return self._tasks.get(name)

    def tasks(self, service: str = "", node: str = "") -> tuple[Task, ...]:
        """Return tasks, by service and slot."""
        if node:
            self.node(node)
        return self._tasks.list(service)

    def node(self, name: str) -> Node:
        """Return this machine."""
        node = self._this
        if name in ("self", node.id, node.description.hostname) or (name and node.id.startswith(name)):
            return node
        raise NotFound(f"node {name} not found")

    def nodes(self) -> tuple[Node, ...]:
        """Return this machine."""
        return (self._this,)

    def update_node(self, name: str, spec: NodeSpec, version: int | None = None) -> NoReturn:
        """Refuse: there is one machine, as it is."""
        raise Unsupported("nodes aren't changed here: there is one machine", hint="use an orchestrator of many")

    def remove_node(self, name: str, *, force: bool = False) -> NoReturn:
        """Refuse."""
        raise Unsupported("nodes aren't removed here: there is one machine", hint="use an orchestrator of many")

    # What is told

    def watch(self, since_ns: int = 0) -> Subscription:
        """Follow what changes."""
        return Following(self._parts.events.subscribe(since_ns, concerns))

    def logs(self, name: str, query: LogQuery) -> Fd:
        """Return a descriptor to read the output of a service's tasks, or of a task, from; those there are by now."""
        return self._tasks.logs(name, query)

    # Secrets, configs, clusters

    def create_secret(self, spec: SecretSpec) -> Secret:
        """Refuse: secrets are an application's."""
        return _none("secrets")

    def secret(self, name: str) -> Secret:
        """Refuse."""
        return _none("secrets")

    def secrets(self) -> tuple[Secret, ...]:
        """Refuse."""
        return _none("secrets")

    def label_secret(
        self, name: str, labels: Mapping[str, str], version: int | None = None, *, data: bytes = b""
    ) -> Secret:
        """Refuse."""
        return _none("secrets")

    def remove_secret(self, name: str) -> None:
        """Refuse."""
        _none("secrets")

    def create_config(self, spec: ConfigSpec) -> Config:
        """Refuse: configs are an application's."""
        return _none("configs")

    def config(self, name: str) -> Config:
        """Refuse."""
        return _none("configs")

    def configs(self) -> tuple[Config, ...]:
        """Refuse."""
        return _none("configs")

    def label_config(
        self, name: str, labels: Mapping[str, str], version: int | None = None, *, data: bytes = b""
    ) -> Config:
        """Refuse."""
        return _none("configs")

    def remove_config(self, name: str) -> None:
        """Refuse."""
        _none("configs")

    def cluster(self) -> Cluster:
        """Refuse: there are no clusters."""
        raise Unsupported("there are no clusters here", hint="use an orchestrator of many machines")


def _none(what: str) -> NoReturn:
    raise Unsupported(
        f"{what} can't be made by themselves here, only as part of an application", hint="add them to its file"
    )
