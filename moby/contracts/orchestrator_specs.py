"""What an orchestrator is told: applications, services, and what these share. The contract has these too."""

from collections.abc import Mapping
from enum import StrEnum

from moby.contracts.containers import ContainerConfig
from moby.contracts.networks import EndpointConfig, Network
from moby.contracts.types import Platform
from moby.values import field, frozen

__all__ = [
    "Application", "Condition", "ConfigSpec", "Dependency", "EndpointMode", "FailureAction", "FileReference",
    "Mode", "NetworkSpec", "Order", "Placement", "PublishMode", "PublishedPort", "Reservations", "Restart",
    "RestartCondition", "SecretSpec", "ServiceSpec", "UpdatePolicy", "VolumeSpec",
]  # fmt: skip

SECOND_NS = 1_000_000_000


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
