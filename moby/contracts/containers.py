"""The kind `containers`: containers as users know them, from their creation to their removal.

Names are what users type: a name, an id, or a unique prefix of an id. NotFound is `No such container: NAME`; a
prefix of several is Invalid. What these words mean is as with docker-run(1) and the Docker Engine API's HostConfig,
from whose fields the values here take theirs; a value that was never given is the default of its field, so that
what was asked for can be shown again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from moby.contracts.kind import contract
from moby.contracts.log_driver import LogQuery
from moby.contracts.network_driver import Port
from moby.contracts.networks import Endpoint, EndpointConfig
from moby.contracts.runtime import Stats
from moby.contracts.supervisor import Health, HealthCheck, Streams
from moby.contracts.types import Fd, Window
from moby.values import field, frozen

__all__ = [
    "Condition", "Container", "ContainerConfig", "ContainerUpdate", "Containers", "Created", "DeviceMapping",
    "DeviceRate", "DeviceRequest", "DeviceWeight", "Ended", "Exec", "ExecConfig", "FileStat", "LogChoice",
    "MountRequest", "MountedVolume", "PortBinding", "Resources", "RestartPolicy", "Sizes", "State", "Status", "Ulimit",
    "Waiter",
]  # fmt: skip


class Status(StrEnum):
    """The states of a container, in docker's words."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"
    """Its removal failed half-way."""


@frozen
class MountRequest:
    """Something to be mounted in a container (docker-run(1), --mount)."""

    type: str
    """`bind`, `volume` or `tmpfs`."""
    target: str
    source: str = ""
    """A path on the host, or a volume's name; empty for an anonymous volume."""
    read_only: bool = False
    propagation: str = ""
    """Of a bind: `rprivate`, which is the default, `private`, `rshared`, `shared`, `rslave`, `slave`."""
    create_source: bool = False
    """Whether a bind's source that isn't there is made, as a folder."""
    non_recursive: bool = False
    read_only_non_recursive: bool = False
    read_only_force_recursive: bool = False
    relabel: str = ""
    """`z` or `Z`, which hosts without SELinux pass over."""
    no_copy: bool = False
    """Whether a new volume stays empty, though the image has something at the target."""
    subpath: str = ""
    driver: str = ""
    driver_options: Mapping[str, str] = field(factory=dict)
    labels: Mapping[str, str] = field(factory=dict)
    size_bytes: int = 0
    mode: int = 0
    """Of a tmpfs; 0 is 1777."""
    options: tuple[str, ...] = ()
    """Of a tmpfs, as mount(8) has them."""
    spelled: str = ""
    """How it was asked for: `` in the long form, else the words, as `/a:/b:ro` (bind) or `size=1m` (tmpfs)."""


@frozen
class DeviceMapping:
    """A device of the host in a container."""

    host_path: str
    path: str
    permissions: str = "rwm"


@frozen
class DeviceRequest:
    """Devices that a driver brings (CDI); of which this engine knows `cdi`."""

    driver: str = ""
    count: int = 0
    ids: tuple[str, ...] = ()
    capabilities: tuple[tuple[str, ...], ...] = ()
    options: Mapping[str, str] = field(factory=dict)


@frozen
class DeviceWeight:
    """How a block device's time is shared."""

    path: str
    weight: int


@frozen
class DeviceRate:
    """The most that may pass through a block device a second: bytes or operations."""

    path: str
    rate: int


@frozen
class Ulimit:
    """A limit of each process (getrlimit(2)); -1 is none."""

    name: str
    soft: int
    hard: int


@frozen
class Resources:
    """Limits of a container as a whole; 0 or empty is what docker means by an unset field."""

    cpu_shares: int = 0
    nano_cpus: int = 0
    cpu_period_us: int = 0
    cpu_quota_us: int = 0
    cpu_realtime_period_us: int = 0
    cpu_realtime_runtime_us: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    memory_bytes: int = 0
    memory_reservation_bytes: int = 0
    memory_swap_bytes: int = 0
    """Memory and swap together; -1 is no limit of swap."""
    memory_swappiness: int | None = None
    kernel_memory_tcp_bytes: int = 0
    oom_kill_disable: bool | None = None
    pids_limit: int | None = None
    blkio_weight: int = 0
    blkio_weight_devices: tuple[DeviceWeight, ...] = ()
    blkio_read_bps: tuple[DeviceRate, ...] = ()
    blkio_write_bps: tuple[DeviceRate, ...] = ()
    blkio_read_iops: tuple[DeviceRate, ...] = ()
    blkio_write_iops: tuple[DeviceRate, ...] = ()
    devices: tuple[DeviceMapping, ...] = ()
    device_requests: tuple[DeviceRequest, ...] = ()
    device_cgroup_rules: tuple[str, ...] = ()
    ulimits: tuple[Ulimit, ...] = ()
    cgroup_parent: str = ""


@frozen
class RestartPolicy:
    """What happens when a container ends: `no`, `always`, `unless-stopped`, `on-failure` (so often at most)."""

    name: str = "no"
    maximum_retries: int = 0
    delay_ns: int = 0
    """How long after its end; 0 is 0.1 s, and twice as long each time."""
    attempts: int = 0
    """So many in a window, however it ends; 0 is no limit."""
    window_ns: int = 0
    """How long back these count; 0 is since somebody started it last."""


@frozen
class LogChoice:
    """A log driver and its options; an empty name is the engine's default."""

    driver: str = ""
    options: Mapping[str, str] = field(factory=dict)


@frozen
class PortBinding:
    """A port of a container's that the host publishes; kept and shown, and published where the network can."""

    container_port: str
    """As `80/tcp`."""
    host_ip: str = ""
    host_port: str = ""


@frozen
class ContainerConfig:
    """What a container was asked to be; None is `as the image says`."""

    image: str
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    """An empty one takes the image's away."""
    environment: tuple[str, ...] = ()
    """`NAME=value`, and `NAME` to take one of the image's away."""
    user: str = ""
    working_directory: str = ""
    hostname: str = ""
    domainname: str = ""
    labels: Mapping[str, str] = field(factory=dict)
    annotations: Mapping[str, str] = field(factory=dict)
    terminal: bool = False
    window: Window | None = None
    open_stdin: bool = False
    stdin_once: bool = False
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    """Who is to be attached is the client's business; these are kept to be shown."""
    stop_signal: str = ""
    stop_timeout_s: int | None = None
    health: HealthCheck | None = None
    """With a test of `NONE` the image's is taken away; a zero of it is the image's value, else the default."""
    shell: tuple[str, ...] = ()
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    """Targets of anonymous volumes."""
    mounts: tuple[MountRequest, ...] = ()
    volumes_from: tuple[str, ...] = ()
    volume_driver: str = ""
    resources: Resources = field(factory=Resources)
    restart: RestartPolicy = field(factory=RestartPolicy)
    auto_remove: bool = False
    log: LogChoice = field(factory=LogChoice)
    runtime: str = ""
    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_options: tuple[str, ...] = ()
    """`seccomp=PROFILE or unconfined`, `no-new-privileges`, `apparmor=NAME`, `label=...`, `systempaths=unconfined`."""
    read_only_root: bool = False
    masked_paths: tuple[str, ...] | None = None
    read_only_paths: tuple[str, ...] | None = None
    group_add: tuple[str, ...] = ()
    sysctls: Mapping[str, str] = field(factory=dict)
    shm_size_bytes: int = 0
    oom_score_adjust: int = 0
    init: bool | None = None
    network: str = ""
    """A network's name, or `container:NAME`; empty or `default` is the default network, shown by its name."""
    endpoints: Mapping[str, EndpointConfig] = field(factory=dict)
    network_disabled: bool = False
    mac_address: str = ""
    ports: tuple[PortBinding, ...] = ()
    publish_all_ports: bool = False
    dns: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    pid_mode: str = ""
    ipc_mode: str = ""
    uts_mode: str = ""
    userns_mode: str = ""
    cgroupns_mode: str = ""
    storage_options: Mapping[str, str] = field(factory=dict)
    platform: str = ""
    task: str = ""
    """Id of the orchestrator's task whose container it is. No client can say so, as labels anybody may have."""


@frozen
class State:
    """How a container is."""

    status: Status = Status.CREATED
    pid: int = 0
    exit_code: int | None = 0
    """None is unknown: nobody saw it end."""
    oom_killed: bool = False
    dead: bool = False
    error: str = ""
    """Why its last start failed."""
    started: str = ""
    """RFC 3339; empty for never, as `finished`."""
    finished: str = ""
    health: Health | None = None
    """None without a health check. Of an ended or paused container it is unhealthy, as docker has it, with its last
    results; those of earlier runs are among the last."""


@frozen
class MountedVolume:
    """What is mounted in a container, as it is shown."""

    type: str
    source: str
    destination: str
    mode: str
    read_write: bool
    propagation: str = ""
    name: str = ""
    driver: str = ""


@frozen
class Container:
    """A container as `inspect` shows it."""

    id: str
    name: str
    """Without the slash."""
    created: str
    """RFC 3339."""
    config: ContainerConfig
    """As it was asked for, with what the image and the defaults made of it (docker's Config and HostConfig)."""
    image_id: str
    path: str
    """The program; `arguments` are its."""
    arguments: tuple[str, ...]
    state: State
    restart_count: int = 0
    mounts: tuple[MountedVolume, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[Port, ...] = ()
    """That are published, while it runs."""
    sandbox: str = ""
    """Path of its network namespace while it runs."""
    log_path: str = ""
    resolv_conf_path: str = ""
    hostname_path: str = ""
    hosts_path: str = ""
    exec_ids: tuple[str, ...] = ()
    platform: str = "linux"
    apparmor_profile: str = ""
    process_label: str = ""
    mount_label: str = ""
    rootfs: Path | None = None
    """Where its root is mounted while it runs; else there may be no such folder."""
    lost_output_bytes: int = 0
    dropped_log_records: int = 0


@frozen
class Created:
    """What `create` made."""

    id: str
    warnings: tuple[str, ...] = ()


@frozen
class Sizes:
    """What a container takes on disk: its own changes, and all of its root."""

    own_bytes: int
    root_bytes: int


@frozen
class ContainerUpdate:
    """What to change; None stays."""

    resources: Mapping[str, Any] = field(factory=dict)
    """Attributes of Resources, by name."""
    restart: RestartPolicy | None = None


class Condition(StrEnum):
    """What a waiter waits for."""

    NOT_RUNNING = "not-running"
    NEXT_EXIT = "next-exit"
    REMOVED = "removed"


@frozen
class Ended:
    """What a waiter waited for: the exit code (None is unknown), and an error where there was one."""

    exit_code: int | None
    error: str = ""


class Waiter(Protocol):
    """Somebody who waits; closed by who asked for it."""

    def fileno(self) -> Fd:
        """Return a descriptor that becomes readable when there is a result; it stays this one's."""
        ...

    def result(self) -> Ended:
        """Return what it came to; blocks until there is one."""
        ...

    def close(self) -> None:
        """Let go; a repeated call does nothing."""
        ...


@frozen
class ExecConfig:
    """A further program in a running container (docker-exec(1))."""

    command: tuple[str, ...]
    environment: tuple[str, ...] = ()
    user: str = ""
    """Empty is the container's."""
    working_directory: str = ""
    terminal: bool = False
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    privileged: bool = False
    detach_keys: str = ""
    window: Window | None = None


@frozen
class Exec:
    """An exec session; gone with its container, or a while after its end."""

    id: str
    container_id: str
    config: ExecConfig
    running: bool = False
    exit_code: int | None = None
    """None before it ended, and where nobody saw it."""
    pid: int = 0


@frozen
class FileStat:
    """What is at a path in a container (docker cp)."""

    name: str
    size: int
    mode: int
    """As stat(2) has it."""
    mtime_ns: int
    link_target: str = ""


@contract("containers", version=1)
class Containers(Protocol):
    """Makes, runs and removes containers, and keeps what it says over restarts of the engine.

    Thread-safe. No call waits for a container's own doing but `stop`, `restart` and `remove` by force, which wait for
    its end; what was answered for is on disk. Each publishes docker's events.
    """

    def create(self, config: ContainerConfig, name: str = "") -> Created:
        """Make a container; without a name it gets one, as docker's.

        NotFound for an image, `No such image: ...`, a volume driver, a log driver, and who is named in `container:` of
        `pid_mode` or `ipc_mode`; Conflict for a name that is taken; Invalid, in docker's words, for what can't be
        asked, an unknown runtime too. A network that isn't there, or whose container isn't, is NotFound at `start`.
        """
        ...

    def get(self, name: str) -> Container:
        """Return a container."""
        ...

    def list(self) -> tuple[Container, ...]:
        """Return all containers, the newest first."""
        ...

    def sizes(self, name: str) -> Sizes:
        """Return what it takes on disk; as long as walking its changes takes."""
        ...

    def start(self, name: str, *, window: Window | None = None) -> bool:
        """Run it; False where it runs already, or waits for its restart, for which it goes on to wait.

        Invalid where the program isn't there or isn't runnable, in docker's words (its `__cause__` is the kernel's
        OSError, and the container's exit code then 127 or 126, else 128), and for an unknown user or group; NotFound
        for a network, or whose it is; Conflict where it is paused or being removed, or what it joins isn't running;
        HostUnfit names the setting or the package.
        """
        ...

    def stop(self, name: str, *, timeout_s: int | None = None, signal: str = "") -> bool:
        """End it: its stop signal, then after the timeout (-1: never; None: its own, else 10 s) SIGKILL.

        False where it isn't running. It isn't restarted, whatever its policy.
        """
        ...

    def restart(self, name: str, *, timeout_s: int | None = None, signal: str = "") -> None:
        """Stop and start it."""
        ...

    def kill(self, name: str, signal: str = "KILL") -> None:
        """Send a signal, by name or number; Conflict where it isn't running, Invalid for no signal."""
        ...

    def pause(self, name: str) -> None:
        """Freeze it; Conflict where it isn't running or is paused already."""
        ...

    def unpause(self, name: str) -> None:
        """Thaw it; Conflict where it isn't paused."""
        ...

    def rename(self, name: str, new: str) -> None:
        """Give it another name; Conflict where that is taken, Invalid where it is none."""
        ...

    def update(self, name: str, change: ContainerUpdate) -> tuple[str, ...]:
        """Change limits, at once where it runs, and its restart policy; return warnings.

        Invalid, in docker's words, for what can't be asked; Conflict for what doesn't go with what it has.
        """
        ...

    def connect(self, name: str, network: str, config: EndpointConfig) -> None:
        """Put it on one more network: at once where it runs, else from its next start on.

        NotFound for the network; Conflict where it runs there already, or is being removed; Invalid, in docker's words,
        where it can't be as wanted; Unsupported for networks that take none later.
        """
        ...

    def disconnect(self, name: str, network: str, *, force: bool = False) -> None:
        """Take it off a network; NotFound where it isn't on it."""
        ...

    def wait(self, name: str, condition: Condition = Condition.NOT_RUNNING) -> Waiter:
        """Wait for it; the waiter is there, and misses nothing, when this returns."""
        ...

    def attach(self, name: str, certain: Callable[[], object] | None = None) -> Streams:
        """Return its streams from now on, also before its next start; Conflict where it is paused or restarting.

        Who attaches before a start makes what it needs then; where that fails the streams stay silent, and the start
        tells why, and ends them. As that takes a while, `certain` is called before, where there is something to make
        and nothing else in the way: a start that is asked for from then on waits, and finds the streams attached.
        What `certain` raises ends the call, with nothing made.
        """
        ...

    def logs(self, name: str, query: LogQuery) -> Fd:
        """Return a descriptor to read its log from, framed unless it has a terminal; the caller closes it.

        Unsupported where its log driver can't be read, in docker's words. With `follow` it ends with the container,
        and goes on over a restart.
        """
        ...

    def resize(self, name: str, window: Window) -> None:
        """Tell its terminal the size; Conflict where it isn't running."""
        ...

    def top(self, name: str, arguments: str = "") -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
        """Return the titles and rows of ps(1) for its processes; Conflict where it isn't running."""
        ...

    def stats(self, name: str) -> Stats | None:
        """Return what it uses; None where it isn't running."""
        ...

    def changes(self, name: str) -> tuple[tuple[int, str], ...]:
        """Return what is other than in its image: 0 changed, 1 added, 2 deleted, and the path."""
        ...

    def export(self, name: str) -> Iterator[bytes]:
        """Yield its root as a tar archive."""
        ...

    def stat_path(self, name: str, path: str) -> FileStat:
        """Return what is at a path, of which the last link isn't followed; NotFound in docker's words."""
        ...

    def read_path(self, name: str, path: str) -> Iterator[bytes]:
        """Yield what is at a path as a tar archive, under its last name; links are resolved inside the root."""
        ...

    def write_path(
        self, name: str, path: str, archive: BinaryIO, *, keep_types: bool = False, keep_owners: bool = False
    ) -> None:
        """Unpack a tar archive (also gzip, bzip2, xz, zstd) into a folder.

        `keep_types` refuses to replace a folder by a file and the other way. Files have the owners that the archive
        says, or with `keep_owners` (the API's copyUIDGID) the container's user, where it was asked to have one.
        Invalid where the path is no folder, Denied where it is read-only.
        """
        ...

    def commit(
        self,
        name: str,
        reference: str = "",
        *,
        message: str = "",
        author: str = "",
        changes: Sequence[str] = (),
        pause: bool = True,
        config: Mapping[str, Any] | None = None,
    ) -> str:
        """Make an image of it, and return the image's id; `changes` are lines of a Dockerfile."""
        ...

    def remove(self, name: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove it, with `volumes` its anonymous ones too; Conflict where it runs, unless `force` kills it first."""
        ...

    def prune(self, wanted: Callable[[Container], bool]) -> tuple[tuple[str, ...], int]:
        """Remove all that don't run and are wanted; return their ids, newest first, and the bytes that became free."""
        ...

    def exec_create(self, name: str, config: ExecConfig) -> str:
        """Prepare a further program and return its id; Conflict where the container isn't running, or is paused."""
        ...

    def exec_start(self, exec_id: str, *, detach: bool = False, window: Window | None = None) -> Streams | None:
        """Run it and return its streams, None with `detach`; Conflict where it ran already.

        Errors are as `start`; the exec's exit code is then 126, as docker has it for whatever kept it from running.
        """
        ...

    def exec_resize(self, exec_id: str, window: Window) -> None:
        """Tell its terminal the size; Conflict where it isn't running."""
        ...

    def exec_get(self, exec_id: str) -> Exec:
        """Return an exec session; NotFound `No such exec instance: ID`."""
        ...

    def carrier(self) -> int:
        """Return a number of who carries streams now: another once those that were lent before have been cut.

        They are when the supervisor's process is killed, and end then as if there were no more; programs run on.
        """
        ...

    def attach_again(self, id: str) -> Streams | None:
        """Return the streams of a container or an exec whose streams were cut; None where nothing goes on.

        An exec has those that it was asked for. No event tells of it.
        """
        ...

    def exec_exit_fd(self, exec_id: str) -> Fd:
        """Return a descriptor that becomes readable when `exec_get` knows its end; the caller closes it."""
        ...

    def used_images(self) -> Iterable[tuple[str, str]]:
        """Yield id of each container and of its image; no other image is held by one once this returns.

        It may wait for what is left of containers that are gone, for some milliseconds.
        """
        ...
