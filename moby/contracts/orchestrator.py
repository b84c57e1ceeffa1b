"""The kind `orchestrator`: keeps applications as they were described.

What is wanted is described by specs; what there is, is told by services, tasks and nodes; an orchestrator makes the
second be the first, for as long as it runs, and again after every failure. No call waits until that is so.

Nothing here says where the state is or who keeps it: it may be in this process or in a store that many managers share,
so every change names the version it was made of, and an answer may be some moments old. Names are whole: who reads a
file makes `shop_web` of `web`. They are what users type: a name, an id, or a unique prefix of an id; a prefix of
several is Invalid. Where docker has a word for a thing (docker-service-create(1), Docker Engine API), it is that word.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from attrs import field, frozen

from moby.contracts.containers import ContainerConfig
from moby.contracts.events import Subscription
from moby.contracts.image_registry import Credentials
from moby.contracts.kind import contract
from moby.contracts.log_driver import LogQuery
from moby.contracts.network_driver import Port
from moby.contracts.networks import Endpoint, EndpointConfig, Network
from moby.contracts.supervisor import HealthStatus
from moby.contracts.types import Fd, Platform

__all__ = [
    "Application", "Applied", "Availability", "Change", "Cluster", "ClusterSpec", "ClusterState", "Condition",
    "Config", "ConfigSpec", "Dependency", "EndpointMode", "FailureAction", "FileReference", "Manager", "Mode",
    "NetworkSpec", "Node", "NodeDescription", "NodeSpec", "NodeState", "Orchestrator", "OrchestratorFeature", "Order",
    "Outcome", "Placement", "Problem", "PublishMode", "PublishedPort", "Reason", "Reservations", "Restart",
    "RestartCondition", "Role", "Secret", "SecretSpec", "Service", "ServiceSpec", "Task", "TaskState", "TaskStatus",
    "Tokens", "UpdatePolicy", "UpdateState", "UpdateStatus", "VolumeSpec",
]  # fmt: skip

SECOND_NS = 1_000_000_000


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


# What is wanted


class Mode(StrEnum):
    """How many tasks a service has."""

    REPLICATED = "replicated"
    GLOBAL = "global"
    """One on each node that it may be on."""
    REPLICATED_JOB = "replicated-job"
    """So many that end well, then no more."""
    GLOBAL_JOB = "global-job"
    """One that ends well on each node that it may be on."""


@frozen
class Placement:
    """Which nodes a service's tasks may be on, and how they are spread."""

    constraints: tuple[str, ...] = ()
    """`KEY==VALUE` or `KEY!=VALUE`: `node.id`, `node.hostname`, `node.role`, `node.platform.os`,
    `node.platform.arch`, `node.labels.NAME`, `engine.labels.NAME`; all must hold."""
    spread: tuple[str, ...] = ()
    """Keys over whose values tasks are spread evenly, the first one first; those without a value are one more."""
    max_replicas_per_node: int = 0
    """0 is no limit."""
    platforms: tuple[Platform, ...] = ()
    """Any of these; none is all. An empty field of one is any."""


@frozen
class Reservations:
    """What a node must have left for a task; limits are its container's."""

    nano_cpus: int = 0
    memory_bytes: int = 0
    generic: Mapping[str, int] = field(factory=dict)
    """So many of a named sort, as `gpu`."""


class RestartCondition(StrEnum):
    """After which ends a task is followed by another; of a job, `any` is `on-failure`."""

    NONE = "none"
    ON_FAILURE = "on-failure"
    ANY = "any"


@frozen
class Restart:
    """What follows when a task ends by itself."""

    condition: RestartCondition = RestartCondition.ANY
    delay_ns: int = 5 * SECOND_NS
    max_attempts: int = 0
    """So many in a window; 0 is no limit."""
    window_ns: int = 0
    """How long back attempts count; 0 is for ever."""


class FailureAction(StrEnum):
    """What an update does that fails."""

    PAUSE = "pause"
    CONTINUE = "continue"
    ROLLBACK = "rollback"
    """Of a rollback, as `pause`."""


class Order(StrEnum):
    """Whether a new task starts before the old one stops; the first keeps all replicas, and takes twice the room."""

    STOP_FIRST = "stop-first"
    START_FIRST = "start-first"


@frozen
class UpdatePolicy:
    """How tasks are replaced by those of a changed service.

    During an update no task that works is stopped while fewer than `replicas - parallelism` others work, with
    `start-first` before its successor works. Replicas whose new tasks failed, and are passed over, aren't counted.
    """

    parallelism: int = 1
    """So many at a time; 0 is all at once."""
    delay_ns: int = 0
    """From when one works to the next."""
    order: Order = Order.STOP_FIRST
    monitor_ns: int = 5 * SECOND_NS
    """For how long after its start a new task's end is the update's failure."""
    max_failure_ratio: float = 0.0
    """Of replicas; where more fail, the update fails."""
    failure_action: FailureAction = FailureAction.PAUSE


class PublishMode(StrEnum):
    """Where a port is published."""

    INGRESS = "ingress"
    """On every node, and leads to any task."""
    HOST = "host"
    """On the node of each task, and leads to that."""


@frozen
class PublishedPort:
    """A port by which a service is reached from outside."""

    target: int
    published: int = 0
    """0 is one that is chosen."""
    protocol: str = "tcp"
    mode: PublishMode = PublishMode.INGRESS
    host_address: str = ""


class EndpointMode(StrEnum):
    """What a service's name resolves to."""

    VIP = "vip"
    """One address for all tasks."""
    DNSRR = "dnsrr"
    """The addresses of all tasks."""


@frozen
class FileReference:
    """A secret or a config as a file in a container."""

    source: str
    """Its name."""
    target: str
    """A path; a secret's relative one is below /run/secrets, a config's below /."""
    uid: int = 0
    gid: int = 0
    mode: int = 0o444


class Condition(StrEnum):
    """What a service waits for in another."""

    STARTED = "service_started"
    HEALTHY = "service_healthy"
    COMPLETED = "service_completed_successfully"


@frozen
class Dependency:
    """A service that another one's first tasks wait for; it is removed after that."""

    service: str
    """Its whole name."""
    condition: Condition = Condition.STARTED
    required: bool = True
    """Else it is waited for only where it is there."""
    restart: bool = False
    """Whether tasks are replaced when those of the other one are, by a change of it."""


@frozen
class ServiceSpec:
    """Containers of a kind, how many, where, and how they are changed."""

    name: str
    container: ContainerConfig
    """What each task's container is; of a task's own are its name, `restart`, `network`, `endpoints` and `ports`.
    Environment, hostname and sources of mounts may have docker's placeholders, as `{{.Task.Slot}}`."""
    application: str = ""
    """The one it is part of; empty for none."""
    labels: Mapping[str, str] = field(factory=dict)
    mode: Mode = Mode.REPLICATED
    replicas: int = 1
    """Of a replicated job, so many at a time."""
    completions: int = 0
    """Of a replicated job, how many must end well; 0 is as many as `replicas`."""
    placement: Placement = field(factory=Placement)
    reservations: Reservations = field(factory=Reservations)
    restart: Restart = field(factory=Restart)
    update: UpdatePolicy = field(factory=UpdatePolicy)
    rollback: UpdatePolicy = field(factory=UpdatePolicy)
    networks: Mapping[str, EndpointConfig] = field(factory=dict)
    ports: tuple[PublishedPort, ...] = ()
    endpoint_mode: EndpointMode = EndpointMode.VIP
    secrets: tuple[FileReference, ...] = ()
    configs: tuple[FileReference, ...] = ()
    dependencies: tuple[Dependency, ...] = ()
    force: int = 0
    """Another number replaces all tasks, though nothing else changed."""


@frozen
class NetworkSpec:
    """A network of an application; an external one must be there, and stays."""

    network: Network
    external: bool = False


@frozen
class VolumeSpec:
    """A volume of an application; an external one must be there, and stays."""

    name: str
    driver: str = ""
    options: Mapping[str, str] = field(factory=dict)
    labels: Mapping[str, str] = field(factory=dict)
    external: bool = False


@frozen
class SecretSpec:
    """Bytes that only containers get to see to which they are given, in memory; no value shows them."""

    name: str
    data: bytes = field(default=b"", repr=False)
    """At most 500 KiB, and empty where a driver has it or where it is external."""
    labels: Mapping[str, str] = field(factory=dict)
    driver: str = ""
    templating: str = ""
    """`golang` where the data has docker's placeholders."""
    external: bool = False


@frozen
class ConfigSpec:
    """Bytes that containers get as a file; they are shown to who asks, and not in a value's text."""

    name: str
    data: bytes = field(default=b"", repr=False)
    """At most 1000 KiB."""
    labels: Mapping[str, str] = field(factory=dict)
    templating: str = ""
    external: bool = False


@frozen
class Application:
    """Services with what they share, under one name: a Compose project, a stack."""

    name: str
    services: tuple[ServiceSpec, ...] = ()
    networks: tuple[NetworkSpec, ...] = ()
    volumes: tuple[VolumeSpec, ...] = ()
    secrets: tuple[SecretSpec, ...] = ()
    configs: tuple[ConfigSpec, ...] = ()


# What there is


class TaskState(StrEnum):
    """How far a task is, in docker's words and order; all after `running` are final."""

    NEW = "new"
    PENDING = "pending"
    """No node can have it now."""
    ASSIGNED = "assigned"
    """It has a node, which doesn't know yet."""
    ACCEPTED = "accepted"
    PREPARING = "preparing"
    READY = "ready"
    STARTING = "starting"
    RUNNING = "running"
    COMPLETE = "complete"
    SHUTDOWN = "shutdown"
    """Ended as it was told to."""
    FAILED = "failed"
    REJECTED = "rejected"
    """Its node couldn't make it."""
    REMOVE = "remove"
    """Only wanted: it is to be ended and forgotten."""
    ORPHANED = "orphaned"
    """Nobody knows: its node is gone."""


class Reason(StrEnum):
    """Why a node can't have a task."""

    UNAVAILABLE = "not available for new tasks"
    CONSTRAINTS = "scheduling constraints not satisfied"
    PLATFORM = "unsupported platform"
    PLUGIN = "missing plugin"
    """A volume, network or log driver that isn't there."""
    RESOURCES = "insufficient resources"
    PORT = "host-mode port already in use"
    MAX_REPLICAS = "max replicas per node limit exceeded"


@frozen(order=True)
class Problem:
    """Why so many nodes can't have a task."""

    reason: Reason
    nodes: int
    detail: str = ""
    """What is missing, as `memory: 2 GiB of 1 GiB`, where one thing is."""


@frozen
class TaskStatus:
    """How a task is, as its node said last."""

    state: TaskState = TaskState.NEW
    time_ns: int = 0
    """When it came to that state, or to that health."""
    started_ns: int = 0
    """When it came to run; 0 for never."""
    health: HealthStatus = HealthStatus.NONE
    message: str = ""
    error: str = ""
    container_id: str = ""
    pid: int = 0
    exit_code: int | None = None
    """None where it hasn't ended, and where nobody saw it."""
    ports: tuple[Port, ...] = ()
    """Published by this task's container itself."""


@frozen
class Task:
    """One container of a service, or the attempt at one.

    Another one follows it; where the container's own restart policy does that, it is the same one's next attempt.
    """

    id: str
    service_id: str
    spec: ServiceSpec
    """As it was when this was made."""
    template: str
    """Fingerprint of what of the spec makes a task: one whose isn't its service's is to be replaced."""
    slot: int = 0
    """From 1; tasks that follow each other have the same. 0 of a global service, whose nodes are its slots."""
    attempt: int = 1
    """The how-manyth of its slot."""
    node_id: str = ""
    desired: TaskState = TaskState.RUNNING
    """`running`, `complete` of a job, `shutdown` or `remove`."""
    status: TaskStatus = field(factory=TaskStatus)
    created_ns: int = 0
    version: int = 0
    problems: tuple[Problem, ...] = ()
    """Why it is pending, the most common reason first."""
    endpoints: tuple[Endpoint, ...] = ()


class UpdateState(StrEnum):
    """How far an update is."""

    UPDATING = "updating"
    PAUSED = "paused"
    COMPLETED = "completed"
    ROLLBACK_STARTED = "rollback_started"
    ROLLBACK_PAUSED = "rollback_paused"
    ROLLBACK_COMPLETED = "rollback_completed"


@frozen
class UpdateStatus:
    """The last update of a service."""

    state: UpdateState
    started_ns: int
    finished_ns: int = 0
    """0 while it goes on."""
    message: str = ""


@frozen
class Service:
    """A service as it is kept."""

    id: str
    spec: ServiceSpec
    template: str
    """As a task has it."""
    version: int = 0
    """Of what is kept of it; rises with each change, by whomever."""
    previous: ServiceSpec | None = None
    """What it was before its last update, to be rolled back to."""
    previous_template: str = ""
    update: UpdateStatus | None = None
    created_ns: int = 0
    updated_ns: int = 0
    ports: tuple[PublishedPort, ...] = ()
    """As they are published."""
    addresses: Mapping[str, str] = field(factory=dict)
    """Its own on each network, by the network's id, with the prefix length."""
    removing: bool = False
    """Whether it goes as soon as its tasks have ended."""


class Role(StrEnum):
    """What a node does besides running tasks."""

    WORKER = "worker"
    MANAGER = "manager"


class Availability(StrEnum):
    """Whether a node gets tasks."""

    ACTIVE = "active"
    PAUSE = "pause"
    """No new ones."""
    DRAIN = "drain"
    """None: those it has go elsewhere."""


class NodeState(StrEnum):
    """Whether a node answers."""

    UNKNOWN = "unknown"
    """Not long enough to say; its tasks stay."""
    READY = "ready"
    DOWN = "down"
    """Its tasks go elsewhere."""
    DISCONNECTED = "disconnected"


@frozen
class NodeSpec:
    """What users say of a node."""

    name: str = ""
    labels: Mapping[str, str] = field(factory=dict)
    role: Role = Role.WORKER
    availability: Availability = Availability.ACTIVE


@frozen
class NodeDescription:
    """What a node says of itself."""

    hostname: str = ""
    platform: Platform = field(factory=Platform)
    nano_cpus: int = 0
    memory_bytes: int = 0
    generic: Mapping[str, int] = field(factory=dict)
    engine_version: str = ""
    labels: Mapping[str, str] = field(factory=dict)
    """Of its engine."""
    plugins: frozenset[tuple[str, str]] | None = None
    """`volume`, `network` or `log`, and a driver's name; None where it doesn't say, and has all."""


@frozen
class Manager:
    """What a node that keeps the state says of that."""

    leader: bool
    reachable: bool
    address: str


@frozen
class Node:
    """A machine that runs tasks."""

    id: str
    spec: NodeSpec = field(factory=NodeSpec)
    description: NodeDescription = field(factory=NodeDescription)
    state: NodeState = NodeState.READY
    since_ns: int = 0
    """When it came to that state."""
    message: str = ""
    address: str = ""
    manager: Manager | None = None
    version: int = 0
    created_ns: int = 0
    updated_ns: int = 0


@frozen
class Secret:
    """A secret without its data."""

    id: str
    name: str
    version: int
    created_ns: int
    updated_ns: int
    labels: Mapping[str, str] = field(factory=dict)
    driver: str = ""
    templating: str = ""


@frozen
class Config:
    """A config with its data."""

    id: str
    spec: ConfigSpec
    version: int
    created_ns: int
    updated_ns: int


class Outcome(StrEnum):
    """What became of a part of an application."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REMOVED = "removed"


@frozen
class Change:
    """What became of one part of an application."""

    type: str
    """`service`, `network`, `volume`, `secret` or `config`."""
    name: str
    outcome: Outcome


@frozen
class Applied:
    """What `apply` changed, in its order."""

    changes: tuple[Change, ...] = ()
    orphans: tuple[str, ...] = ()
    """Services that are the application's, aren't described any more, and were left."""
    warnings: tuple[str, ...] = ()


# Who keeps it


@frozen
class ClusterSpec:
    """What is settled for a cluster as a whole."""

    labels: Mapping[str, str] = field(factory=dict)
    task_history: int = 5
    """How many ended tasks of a slot are kept."""
    heartbeat_ns: int = 5 * SECOND_NS
    certificate_ns: int = 90 * 86_400 * SECOND_NS
    """How long a node's certificate is valid."""
    autolock: bool = False
    """Whether a manager that starts must be unlocked."""
    address_pools: tuple[str, ...] = ("10.0.0.0/8",)
    subnet_prefix: int = 24


@frozen
class Tokens:
    """What a node must say to join; no value shows them."""

    worker: str = field(repr=False)
    manager: str = field(repr=False)


@frozen
class ClusterState:
    """A cluster as one of its nodes knows it; a worker knows only itself."""

    node_id: str
    """This node's own."""
    manager: bool
    locked: bool = False
    id: str = ""
    spec: ClusterSpec = field(factory=ClusterSpec)
    version: int = 0
    tokens: Tokens | None = None
    address: str = ""
    managers: tuple[str, ...] = ()
    """Addresses."""
    created_ns: int = 0
    updated_ns: int = 0


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
