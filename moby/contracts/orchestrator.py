"""The kind `orchestrator`: keeps applications as they were described.

What is wanted is described by specs; what there is, is told by services, tasks and nodes; an orchestrator makes the
second be the first, for as long as it runs, and again after every failure. No call waits until that is so.

Nothing here says where the state is or who keeps it: it may be in this process or in a store that many managers share,
so every change names the version it was made of, and an answer may be some moments old. Names are whole: who reads a
file makes `shop_web` of `web`. They are what users type: a name, an id, or a unique prefix of an id; a prefix of
several is Invalid. Where docker has a word for a thing (docker-service-create(1), Docker Engine API), it is that word.
"""

from collections.abc import Mapping
from typing import Protocol

from moby.contracts.events import Subscription
from moby.contracts.image_registry import Credentials
from moby.contracts.kind import contract
from moby.contracts.log_driver import LogQuery
from moby.contracts.orchestrator_specs import (
    Application,
    Condition,
    ConfigSpec,
    Dependency,
    EndpointMode,
    FailureAction,
    FileReference,
    Mode,
    NetworkSpec,
    Order,
    Placement,
    PublishedPort,
    PublishMode,
    Reservations,
    Restart,
    RestartCondition,
    SecretSpec,
    ServiceSpec,
    UpdatePolicy,
    VolumeSpec,
)
from moby.contracts.orchestrator_states import (
    Applied,
    Availability,
    Change,
    ClusterSpec,
    ClusterState,
    Config,
    Manager,
    Node,
    NodeDescription,
    NodeSpec,
    NodeState,
    Outcome,
    Problem,
    Reason,
    Role,
    Secret,
    Service,
    Task,
    TaskState,
    TaskStatus,
    Tokens,
    UpdateState,
    UpdateStatus,
)
from moby.contracts.types import Fd

__all__ = [
    "Application", "Applied", "Availability", "Change", "Cluster", "ClusterSpec", "ClusterState", "Condition",
    "Config", "ConfigSpec", "Dependency", "EndpointMode", "FailureAction", "FileReference", "Manager", "Mode",
    "NetworkSpec", "Node", "NodeDescription", "NodeSpec", "NodeState", "Orchestrator", "OrchestratorFeature", "Order",
    "Outcome", "Placement", "Problem", "PublishMode", "PublishedPort", "Reason", "Reservations", "Restart",
    "RestartCondition", "Role", "Secret", "SecretSpec", "Service", "ServiceSpec", "Task", "TaskState", "TaskStatus",
    "Tokens", "UpdatePolicy", "UpdateState", "UpdateStatus", "VolumeSpec",
]  # fmt: skip


class OrchestratorFeature:
    """Names of what an orchestrator may lack; what its component offers. Without one, its calls are Unsupported."""

    NODES = "nodes"
    """More than one node, and changing them."""
    VERSIONS = "versions"
    """A change of what somebody else changed meanwhile is refused; without, the last one holds."""
    GLOBAL = "global"
    """Services with a task on each node."""
    JOBS = "jobs"
    ROLLING = "rolling"
    """Updates step by step, with rolling back."""
    SECRETS = "secrets"
    """Secrets and configs have lives of their own; without, they are an application's."""
    REPLACING = "replacing"
    """A task whose container was removed by hand is followed by another; without, at the next `apply`."""
    CLUSTER = "cluster"
    """Nodes join and leave by `Orchestrator.cluster`."""


class Cluster(Protocol):
    """This machine's membership. Thread-safe. Unavailable where it is part of none, no manager, or locked."""

    def state(self) -> ClusterState | None:
        """Return what is known of it; None where this machine is part of none."""
        ...

    def create(
        self, spec: ClusterSpec, *, listen: str = "", advertise: str = "", force: bool = False, name: str = ""
    ) -> str:
        """Begin a cluster of this one machine, and return its node's id; Conflict where it is part of one.

        With `force` one that has lost most of its managers goes on with this one alone.
        """
        ...

    def join(self, addresses: tuple[str, ...], token: str, *, listen: str = "", advertise: str = "") -> str:
        """Become a node of a cluster; Conflict where it is part of one, Denied for a token that isn't right."""
        ...

    def leave(self, *, force: bool = False) -> None:
        """Be no part any more, and end all its tasks here; Conflict for a manager without `force`."""
        ...

    def update(self, spec: ClusterSpec, version: int, *, rotate: frozenset[str] = frozenset()) -> None:
        """Settle it anew; `rotate` makes new ones of `worker`, `manager` (tokens) and `unlock` (key).

        Conflict where the version is out of date.
        """
        ...

    def unlock_key(self) -> str:
        """Return what unlocks managers; empty where none are locked."""
        ...

    def unlock(self, key: str) -> None:
        """Open this manager's state; Denied for another key, Conflict where it isn't locked."""
        ...


@contract("orchestrator", version=1, many=True)
class Orchestrator(Protocol):
    """Keeps applications as they were described, over the death of tasks, nodes and itself.

    Thread-safe. What it answered for is kept, wherever it keeps it. Unavailable where that can't be reached, or where
    this machine may not change it (`This node is not a swarm manager`). Where a `version` is given that isn't the
    present one, it is Conflict `update out of sequence`, and nothing is changed; None takes what is there.
    """

    def apply(self, application: Application, *, prune: bool = False) -> Applied:
        """Make an application be as described; what hasn't changed is left alone, so repeating does nothing.

        With `prune` services that aren't described any more are removed. Invalid, with every problem, where it can't
        be as described; NotFound for something external; Conflict where a name is another application's, or where a
        secret or config has changed that has a life of its own; else tasks that have it are replaced. What was done
        before an error stays, and applying goes on there.
        """
        ...

    def applications(self) -> tuple[str, ...]:
        """Return the names of all applications, sorted."""
        ...

    def remove_application(self, name: str, *, volumes: bool = False) -> tuple[Change, ...]:
        """Remove all that is an application's, dependent services first; nothing where there is none.

        Volumes stay, unless they are asked for; external things stay.
        """
        ...

    def create(self, spec: ServiceSpec, *, credentials: Credentials | None = None) -> Service:
        """Begin to keep a service; `credentials` are what its nodes pull the image with.

        Conflict where the name or a port is taken; Invalid; NotFound for a network, secret or config.
        """
        ...

    def update(
        self, name: str, spec: ServiceSpec, version: int | None = None, *, credentials: Credentials | None = None
    ) -> Service:
        """Change a service; tasks that must be replaced are, by its update policy. Errors as `create`.

        An update that is under way is ended by this one. A name or mode can't be changed: Unsupported.
        """
        ...

    def scale(self, name: str, replicas: int, version: int | None = None) -> Service:
        """Have so many tasks; Invalid for a service that isn't replicated."""
        ...

    def roll_back(self, name: str, version: int | None = None) -> Service:
        """Make a service be as before its last update, by its rollback policy; Conflict where there was none."""
        ...

    def remove(self, name: str) -> None:
        """End a service and its tasks; its name is free at once. NotFound where there is none."""
        ...

    def service(self, name: str) -> Service:
        """Return a service; NotFound `service NAME not found`."""
        ...

    def services(self, application: str = "") -> tuple[Service, ...]:
        """Return all services, or an application's, sorted by name."""
        ...

    def task(self, name: str) -> Task:
        """Return a task, by its id or as `SERVICE.SLOT`, the last one of that; NotFound `task NAME not found`."""
        ...

    def tasks(self, service: str = "", node: str = "") -> tuple[Task, ...]:
        """Return tasks, also ended ones as far as they are kept, by service, slot and age, the newest first."""
        ...

    def node(self, name: str) -> Node:
        """Return a node, also by its hostname; `self` is this machine. NotFound `node NAME not found`."""
        ...

    def nodes(self) -> tuple[Node, ...]:
        """Return all nodes, sorted by hostname; one where there is no cluster: this machine."""
        ...

    def update_node(self, name: str, spec: NodeSpec, version: int | None = None) -> Node:
        """Change what users say of a node; Conflict where the last manager would become a worker."""
        ...

    def remove_node(self, name: str, *, force: bool = False) -> None:
        """Forget a node; Conflict where it isn't down, unless `force`, and for a manager."""
        ...

    def watch(self, since_ns: int = 0) -> Subscription:
        """Follow changes of every `service`, `task`, `node`, `secret`, `config`: `create`, `update` and `remove`.

        Attributes are `name`, of a task its service's, and `state` of tasks and nodes.
        Some may be missing after a manager died: who must know looks again when a subscription ends.
        """
        ...

    def logs(self, name: str, query: LogQuery) -> Fd:
        """Return a descriptor to read the output of a service's tasks, or of a task, from; the caller closes it.

        It is framed unless it has a terminal, in the order in which it arrives. With `query.details` each record has
        the task's id, service's id and node's id as details, as docker's.
        """
        ...

    def create_secret(self, spec: SecretSpec) -> Secret:
        """Keep a secret; Conflict where the name is taken, Invalid for none or too much data."""
        ...

    def secret(self, name: str) -> Secret:
        """Return a secret; NotFound `secret NAME not found`."""
        ...

    def secrets(self) -> tuple[Secret, ...]:
        """Return all secrets, sorted by name."""
        ...

    def label_secret(
        self, name: str, labels: Mapping[str, str], version: int | None = None, *, data: bytes = b""
    ) -> Secret:
        """Change a secret's labels; all else of it stays as it is.

        Who hands its data in again, as a stack that is deployed a second time, learns whether that is the same: if it
        isn't, it is Invalid `only updates to Labels are allowed`, and nothing is changed.
        """
        ...

    def remove_secret(self, name: str) -> None:
        """Forget a secret; Conflict names the services that use it."""
        ...

    def create_config(self, spec: ConfigSpec) -> Config:
        """Keep a config; errors as `create_secret`."""
        ...

    def config(self, name: str) -> Config:
        """Return a config; NotFound `config NAME not found`."""
        ...

    def configs(self) -> tuple[Config, ...]:
        """Return all configs, sorted by name."""
        ...

    def label_config(self, name: str, labels: Mapping[str, str], version: int | None = None) -> Config:
        """Change a config's labels; all else of it stays as it is."""
        ...

    def remove_config(self, name: str) -> None:
        """Forget a config; Conflict names the services that use it."""
        ...

    def cluster(self) -> Cluster:
        """Return this machine's membership; Unsupported where there are no clusters."""
        ...
