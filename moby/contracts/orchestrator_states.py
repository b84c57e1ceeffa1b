"""What an orchestrator tells: services, tasks and nodes as they are, and who keeps them. The contract has these too."""

from collections.abc import Mapping
from enum import StrEnum

from moby.contracts.network_driver import Port
from moby.contracts.networks import Endpoint
from moby.contracts.orchestrator_specs import SECOND_NS, ConfigSpec, PublishedPort, ServiceSpec
from moby.contracts.supervisor import HealthStatus
from moby.contracts.types import Platform
from moby.values import field, frozen

__all__ = [
    "Applied", "Availability", "Change", "ClusterSpec", "ClusterState", "Config", "Manager", "Node",
    "NodeDescription", "NodeSpec", "NodeState", "Outcome", "Problem", "Reason", "Role", "Secret", "Service", "Task",
    "TaskState", "TaskStatus", "Tokens", "UpdateState", "UpdateStatus",
]  # fmt: skip


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
