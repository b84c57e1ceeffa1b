"""The kind `supervisor`: keeps containers' processes, their streams, their logs and their exits.

Only a supervisor takes runtimes. It makes the pipes or has the runtime make the terminal of each task, writes its
log, and reaps. No call waits for a container: exits and events cross as descriptors that become readable. A task
outlives its supervisor, and the engine, only where that one offers the feature `survives`.
"""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from moby.contracts.kind import contract, repeatable
from moby.contracts.log_driver import LogConfig, LogQuery
from moby.contracts.runtime import Stats
from moby.contracts.types import Exit, Fd, TaskStatus, Window
from moby.values import field, frozen

__all__ = [
    "EventKind", "Health", "HealthCheck", "HealthResult", "HealthStatus", "Streams", "Supervisor", "SupervisorFeature",
    "TaskConfig", "TaskEvent", "TaskState",
]  # fmt: skip


class SupervisorFeature:
    """Names of what a supervisor may lack; what its component offers."""

    SURVIVES = "survives"
    """Tasks, their output and their exit codes outlive the supervisor's process and the engine's."""
    ATTACH_MANY = "attach-many"
    """Several callers attach to a task at once."""
    LOGS = "logs"
    HEALTH = "health"
    JOURNAL = "journal"


@frozen
class HealthCheck:
    """How a container's health is checked; times in nanoseconds (image-spec, Docker's Healthcheck)."""

    test: tuple[str, ...]
    """`CMD` and words, `CMD-SHELL` and a line, or, without a process, `HTTP` and a URL (of the host 127.0.0.1, as the
    container sees it) and `TCP` and a port."""
    interval_ns: int = 30_000_000_000
    timeout_ns: int = 30_000_000_000
    retries: int = 3
    start_period_ns: int = 0
    start_interval_ns: int = 5_000_000_000


class HealthStatus(StrEnum):
    """A container's health; `none` without a health check."""

    NONE = "none"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@frozen
class HealthResult:
    """The result of one probe."""

    start_ns: int
    end_ns: int
    code: int
    """0 is healthy; -1 after a timeout."""
    output: str = ""
    """From standard output and standard error, each in its order; at most 4096 bytes, and `...` for what is more."""


@frozen
class Health:
    """A container's health, how many probes have failed in a row, and the last five results, oldest first."""

    status: HealthStatus = HealthStatus.NONE
    failing_streak: int = 0
    results: tuple[HealthResult, ...] = ()


@frozen
class TaskConfig:
    """What to run and how its streams are to be."""

    id: str
    bundle: Path
    runtime: str = ""
    """Name of the runtime; empty is the default one."""
    terminal: bool = False
    stdin: bool = False
    """Whether standard input is open; else it is at its end from the start."""
    stdin_once: bool = True
    """Whether standard input ends where the first caller who attached to it ends its own."""
    window: Window | None = None
    log: LogConfig | None = None
    """Where its output goes besides those who are attached. With None it is kept for the first to attach, up to 64
    KiB, after which the task waits for that one."""
    discard: bool = False
    """Whether output that nobody is attached to is thrown away; for one that has no log and that nobody will attach
    to."""
    health: HealthCheck | None = None
    attach: bool = False
    """Whether the caller attaches at once: the state that `create` and `exec` return may have the streams then, which
    spares a call. One who finds none there attaches as ever."""


@frozen
class Streams:
    """The caller's ends of a task's streams; every descriptor is the caller's to close, -1 is none.

    With a terminal `stdin` and `stdout` are one stream with the terminal, and `stderr` is -1. Each may be a pipe, a
    socket or the terminal's master itself; the end of output is the end of file (or EIO).
    """

    stdin: Fd
    stdout: Fd
    stderr: Fd


@frozen
class TaskState:
    """What a supervisor knows of a task."""

    id: str
    status: TaskStatus
    pid: int
    """0 when stopped."""
    exit: Exit | None = None
    """Set once stopped."""
    started_ns: int = 0
    """Since the epoch; 0 before it started."""
    health: Health = field(factory=Health)
    lost_bytes: int = 0
    """Bytes of output that were read and not logged, because the sink failed, or perhaps not logged, because the
    supervisor was killed at its last chunk; so at most this much is lost."""
    dropped_records: int = 0
    """By the log's mode `non-blocking`."""
    streams: Streams | None = None
    """What `attach` would return, of a task that is being made with `attach`; the caller's to close."""


class EventKind(StrEnum):
    """What the journal tells of a task."""

    EXIT = "exit"
    OOM = "oom"
    HEALTH = "health"


@frozen
class TaskEvent:
    """One entry of the journal."""

    number: int
    """From 1, without gaps, and never used again in one engine root."""
    time_ns: int
    kind: EventKind
    task_id: str
    exit: Exit | None = None
    """Of `exit`; of `health` without a status, how a probe's program that started at `time_ns` ended."""
    health: HealthStatus | None = None
    """Of `health`: what it has become. None for a single probe, which a supervisor need not report."""


@contract("supervisor", version=1)
class Supervisor(Protocol):
    """Keeps containers alive and their output flowing, and knows how they ended.

    Thread-safe: calls for different tasks go on side by side; those for one task are the caller's to order.
    """

    @repeatable
    def features(self, runtime: str = "") -> frozenset[str]:
        """Return what a runtime offers (RuntimeFeature), of this name, else the default one; NotFound for no such."""
        ...

    @repeatable
    def runtimes(self) -> tuple[str, ...]:
        """Return the names of all runtimes, the default one first."""
        ...

    @repeatable
    def programs(self) -> Mapping[str, tuple[str, str]]:
        """Return what runtimes say of the programs that they use, as Runtime.programs, all together."""
        ...

    @repeatable
    def log_drivers(self) -> tuple[str, ...]:
        """Return the names of all log drivers, the default one first."""
        ...

    @repeatable
    def check_log(self, driver: str, options: Mapping[str, str]) -> None:
        """Refuse a log's options, as `LogDriver.check` and for its own `mode`, `max-buffer-size` and `cache-...`.

        NotFound for a driver that isn't there.
        """
        ...

    def create(self, config: TaskConfig) -> TaskState:
        """Make a task: its streams, and its container up to the user's program.

        Conflict where the id is taken; NotFound for an unknown runtime or log driver; else as Runtime.create and
        LogDriver.open.
        """
        ...

    def start(self, task_id: str) -> None:
        """Run the user's program; as Runtime.start. Where that fails the task is stopped, and wants `delete`."""
        ...

    def attach(self, task_id: str) -> Streams:
        """Return fresh descriptors of the task's streams, from now on.

        What was written before is kept for the first to attach where there is no log. Unless the supervisor offers
        `attach-many`, a second call while the first's descriptors may be open raises Conflict. A caller that doesn't
        read holds up the task and the other callers once 64 KiB wait for it, as docker's clients do.
        """
        ...

    @repeatable
    def exit_fd(self, task_id: str) -> Fd:
        """Return a fresh descriptor that becomes readable when the task has stopped; the caller closes it."""
        ...

    @repeatable
    def state(self, task_id: str) -> TaskState:
        """Return the state; a readable exit descriptor and `stopped` with an Exit here are one moment."""
        ...

    @repeatable
    def list(self) -> tuple[TaskState, ...]:
        """Return all tasks, sorted by id."""
        ...

    def kill(self, task_id: str, signal: int, *, everyone: bool = False) -> None:
        """Send a signal to the first process, or to all; Conflict where it is stopped already."""
        ...

    @repeatable
    def resize(self, task_id: str, window: Window) -> None:
        """Tell the terminal its size; Conflict where the task has none."""
        ...

    def exec(self, task_id: str, exec_id: str, process: Mapping[str, Any], config: TaskConfig) -> TaskState:
        """Run another program inside; from then on `exec_id` is a task too, deleted on its own."""
        ...

    def pause(self, task_id: str) -> None:
        """Freeze; as Runtime.pause.

        One with a health check is unhealthy from then on, which the journal doesn't tell, until a probe after `resume`
        finds otherwise.
        """
        ...

    def resume(self, task_id: str) -> None:
        """Thaw; as Runtime.resume."""
        ...

    @repeatable
    def update(self, task_id: str, resources: Mapping[str, Any]) -> None:
        """Change limits; as Runtime.update."""
        ...

    @repeatable
    def stats(self, task_id: str) -> Stats:
        """Return what it uses now; as Runtime.stats."""
        ...

    @repeatable
    def pids(self, task_id: str) -> tuple[int, ...]:
        """Return the pids of all processes inside, as this host sees them; empty when stopped."""
        ...

    def delete(self, task_id: str, *, force: bool = False) -> Exit | None:
        """Forget a stopped task and remove its container; return how it ended. Its log stays.

        Conflict where it isn't stopped, unless `force`, which kills it first. NotFound where there is none.
        """
        ...

    @repeatable
    def logs(self, config: LogConfig, query: LogQuery) -> Fd:
        """Return a descriptor to read a log from, as `LogDriver.read` yields it; the caller closes it.

        Of a driver that can't be read it is what the supervisor has kept itself, or Unsupported where it keeps nothing.
        With `query.follow` it ends once the task `config.container_id` has stopped, or at once where there is none.
        Closing it ends the reading. Feature `logs`; errors as LogDriver.read, where they show before the first byte.
        """
        ...

    @repeatable
    def journal(self, after: int) -> tuple[TaskEvent, ...]:
        """Return what has happened after an entry's number, oldest first. Feature `journal`.

        An entry is on disk before anybody can learn of it in another way, and stays until `trim_journal`.
        """
        ...

    @repeatable
    def journal_fd(self, after: int) -> Fd:
        """Return a descriptor that becomes readable once `journal(after)` has something; the caller closes it.

        So it does where this supervisor's process ends, and with it the streams that it carried: who waits asks anew.
        """
        ...

    @repeatable
    def trim_journal(self, until: int) -> None:
        """Forget entries up to a number, which the caller has dealt with; a repeated call does nothing."""
        ...
