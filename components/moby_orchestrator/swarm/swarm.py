"""The contract, over the parts that do it."""

import threading
from collections.abc import Mapping

from moby.contracts.events import Subscription
from moby.contracts.image_registry import Credentials
from moby.contracts.log_driver import LogQuery
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
from moby.errors import Unavailable
from moby.host.processes import set_dumpable
from moby_orchestrator.swarm.applications import Applications
from moby_orchestrator.swarm.balancing import clear_fronts
from moby_orchestrator.swarm.cluster import Own
from moby_orchestrator.swarm.files import Files
from moby_orchestrator.swarm.keeping import Configs, Secrets
from moby_orchestrator.swarm.leaving import clear
from moby_orchestrator.swarm.logs import Logs
from moby_orchestrator.swarm.membership import Membership
from moby_orchestrator.swarm.nodes import Nodes
from moby_orchestrator.swarm.parts import Parts
from moby_orchestrator.swarm.running import Running
from moby_orchestrator.swarm.services import Services
from moby_orchestrator.swarm.store import Store
from moby_orchestrator.swarm.watching import Watch
from moby_orchestrator.swarm.world import World

__all__ = ["Swarm"]


class Swarm:
    """Services on the machines of a cluster; see the contract."""

    def __init__(self, parts: Parts, starting: int) -> None:
        self._parts, self._starting = parts, starting
        self._membership = Membership(parts.place.state)
        self._watch = Watch(parts.clock)
        self._running: Running | None = None
        self._lock = threading.RLock()
        self._files = Files(parts.place.run)
        self._store = Store(parts.metadata, self._membership, self._changed)
        self._own = Own(self._store, self._membership, parts, self._begin, self._leave)
        self._services = Services(self._store, parts.networks, parts.clock)
        self._secrets, self._configs = Secrets(self._store, parts.clock), Configs(self._store, parts.clock)
        self._nodes = Nodes(self._store, self._membership, parts.clock)
        self._applications = Applications(parts, self._store, self._services, self._secrets, self._configs)
        self._logs = Logs(parts.containers, self._store)

    def __enter__(self) -> "Swarm":
        """Take up what this machine is part of."""
        if self._membership.node_id and not self._membership.locked:
            self._begin()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop; containers stay, and are found again."""
        self._stop()
        self._watch.close()

    def health(self) -> str:
        """Return what there is to know; empty where all is well."""
        return "locked: it takes `swarm unlock`" if self._membership.locked else ""

    def wind_down(self, timeout_s: float | None) -> None:
        """Replace no task any more: its containers are about to be ended."""
        self._stop()

    def reclaim(self) -> None:
        """Forget the files of tasks, which end with their containers."""
        self._files.close()

    def _changed(self, before: World, after: World) -> None:
        self._watch.changed(before, after)
        if self._running is not None:
            self._running.wake()

    def _begin(self) -> None:
        with self._lock:
            if self._store.world().cluster is None:  # ended before it began
                return
            set_dumpable(False)  # from now on there are secrets in memory
            self._own.lock_as_settled()
            self._running = Running(self._parts, self._store, self._membership.node_id, self._files, self._starting)
            self._running.start()

    def _stop(self) -> None:
        with self._lock:
            running, self._running = self._running, None
            if running is not None:
                running.stop()

    def _leave(self) -> None:
        self._stop()
        try:
            tasks = self._store.world().tasks
        except Unavailable:  # it is locked: what is known of containers without it has to do
            tasks = {}
        clear(self._parts.containers, self._membership.node_id, tasks)
        clear_fronts(self._parts.networks)
        self._files.close()

    def apply(self, application: Application, *, prune: bool = False) -> Applied:
        """Make an application be as described."""
        return self._applications.apply(application, prune=prune)

    def applications(self) -> tuple[str, ...]:
        """Return the names of all applications."""
        return self._applications.names()

    def remove_application(self, name: str, *, volumes: bool = False) -> tuple[Change, ...]:
        """Remove all that is an application's."""
        return self._applications.remove(name, volumes=volumes)

    def create(self, spec: ServiceSpec, *, credentials: Credentials | None = None) -> Service:
        """Begin to keep a service."""
        return self._services.create(spec, credentials)

    def update(
        self, name: str, spec: ServiceSpec, version: int | None = None, *, credentials: Credentials | None = None
    ) -> Service:
        """Change a service."""
        return self._services.update(name, spec, version, credentials)

    def scale(self, name: str, replicas: int, version: int | None = None) -> Service:
        """Have so many tasks."""
        return self._services.scale(name, replicas, version)

    def roll_back(self, name: str, version: int | None = None) -> Service:
        """Make a service be as before its last update."""
        return self._services.roll_back(name, version)

    def remove(self, name: str) -> None:
        """End a service and its tasks."""
        self._services.remove(name)

    def service(self, name: str) -> Service:
        """Return a service."""
        return self._services.get(name)

    def services(self, application: str = "") -> tuple[Service, ...]:
        """Return all services, or an application's."""
        return self._services.list(application)

    def task(self, name: str) -> Task:
        """Return a task."""
        return self._services.task(name)

    def tasks(self, service: str = "", node: str = "") -> tuple[Task, ...]:
        """Return tasks."""
        return self._services.tasks(service, node, self._membership.node_id)

    def node(self, name: str) -> Node:
        """Return a node."""
        return self._nodes.get(name)

    def nodes(self) -> tuple[Node, ...]:
        """Return all nodes."""
        return self._nodes.list()

    def update_node(self, name: str, spec: NodeSpec, version: int | None = None) -> Node:
        """Change what users say of a node."""
        return self._nodes.update(name, spec, version)

    def remove_node(self, name: str, *, force: bool = False) -> None:
        """Forget a node."""
        self._nodes.remove(name, force=force)

    def watch(self, since_ns: int = 0) -> Subscription:
        """Follow what changes."""
        return self._watch.follow(since_ns)

    def logs(self, name: str, query: LogQuery) -> Fd:
        """Return a descriptor to read the output of tasks from."""
        return self._logs.read(name, query)

    def create_secret(self, spec: SecretSpec) -> Secret:
        """Keep a secret."""
        return self._secrets.create(spec)

    def secret(self, name: str) -> Secret:
        """Return a secret."""
        return self._secrets.get(name)

    def secrets(self) -> tuple[Secret, ...]:
        """Return all secrets."""
        return self._secrets.list()

    def label_secret(
        self, name: str, labels: Mapping[str, str], version: int | None = None, *, data: bytes = b""
    ) -> Secret:
        """Change a secret's labels."""
        return self._secrets.label(name, labels, version, data)

    def remove_secret(self, name: str) -> None:
        """Forget a secret."""
        self._secrets.remove(name)

    def create_config(self, spec: ConfigSpec) -> Config:
        """Keep a config."""
        return self._configs.create(spec)

    def config(self, name: str) -> Config:
        """Return a config."""
        return self._configs.get(name)

    def configs(self) -> tuple[Config, ...]:
        """Return all configs."""
        return self._configs.list()

    def label_config(self, name: str, labels: Mapping[str, str], version: int | None = None) -> Config:
        """Change a config's labels."""
        return self._configs.label(name, labels, version)

    def remove_config(self, name: str) -> None:
        """Forget a config."""
        self._configs.remove(name)

    def cluster(self) -> Cluster:
        """Return this machine's membership."""
        return self._own
