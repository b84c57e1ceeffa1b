"""What the service knows of each container: what is shown of it, what is remembered besides, and what goes on now."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define, field, frozen

from moby.contracts.containers import Container, ContainerConfig, ExecConfig, MountRequest, State, Status
from moby.contracts.types import Mount
from moby.values import evolve
from moby_containers.engine.codec import encode

__all__ = ["Entry", "Keeping", "Phase", "Point", "Session", "config_text"]


@frozen
class Point:
    """One mount of a container's, as it was settled at its creation."""

    request: MountRequest
    """Of a volume with the name that it has, in `source`."""
    volume: str = ""
    anonymous: bool = False
    bare: bool = False
    """Whether just its place was asked for, by an image or of another container: it is shown without a mode."""


@frozen
class Keeping:
    """What is remembered of a container besides what is shown."""

    points: tuple[Point, ...] = ()
    manually_stopped: bool = False
    started_ns: int = 0
    finished_ns: int = 0
    restarts_ns: tuple[int, ...] = ()
    """The ends after which its policy had it started again, as far as they count."""
    placed: bool = False
    """Whether its endpoints say where it is to be; older engines noted where it was alone."""
    with_volumes: bool = False
    """Of one whose removal has begun: whether its anonymous volumes go too."""


def config_text(config: ContainerConfig) -> str:
    """Return a config as the JSON that is stored."""
    return json.dumps(encode(config), separators=(",", ":"))


class Phase:
    """How far the supervisor is with a container's task."""

    NONE = "none"
    CREATED = "created"
    STARTED = "started"
    ENDED = "ended"
    """It has ended and is still there."""


@define(eq=False)
class Session:
    """One exec."""

    id: str
    container_id: str
    config: ExecConfig
    created_ns: int
    running: bool = False
    started: bool = False
    ended: bool = False
    held: bool = False
    """Whether somebody is about to attach to it."""
    settled: threading.Event = field(factory=threading.Event)
    """Set once it runs, or never will."""
    exit_code: int | None = None
    pid: int = 0
    exit_fds: list[int] = field(factory=list)
    """Our ends of descriptors that tell somebody of the end by being closed."""


@define(eq=False)
class Entry:
    """One container. What changes it holds its lock; what reads `container` need not."""

    container: Container
    keeping: Keeping
    config_text: str
    """Its config as JSON, which changes seldom."""
    lock: Any = field(factory=threading.RLock)
    phase: str = Phase.NONE
    root: tuple[Mount, ...] = ()
    """What to mount as its root, where this engine has made it; else the images know."""
    mounted: bool = False
    """Whether its root, its networks and its volumes are held for a task."""
    pid: int = 0
    """Of the task, before it is started too."""
    begun_ns: int = 0
    """When the task was begun to be made; what ended before was another one."""
    keeps: bool = False
    """Whether it stays after its end, though it is to be removed then: it is being restarted."""
    doubtful: bool = False
    """Whether an engine that was killed may have asked for a task that wasn't there yet when this one looked."""
    removing: bool = False
    waiters: list[Any] = field(factory=list)
    waiting: Any = field(factory=threading.Lock)
    """Held for `waiters`, which are added also while what takes long holds the other lock."""
    sessions: dict[str, Session] = field(factory=dict)
    ended_sessions: set[str] = field(factory=set)
    """Execs that have ended, and can still be asked about."""
    early: list[int] = field(factory=list)
    """Descriptors that those hold on to who attached before a start that then failed."""
    backoff_s: float = 0.0
    turn: int = 0
    """Raised to call off a restart that waits."""
    no_restart: bool = False
    """Whether its next end is its last, whatever its policy: somebody stops it."""

    @property
    def id(self) -> str:
        """Its id."""
        return self.container.id

    @property
    def state(self) -> State:
        """How it is."""
        return self.container.state

    @property
    def status(self) -> Status:
        """Its status."""
        return self.container.state.status

    @property
    def alive(self) -> bool:
        """Whether it has processes."""
        return self.status in (Status.RUNNING, Status.PAUSED)

    def show(self, **changes: Any) -> None:
        """Change what is shown."""
        self.container = evolve(self.container, **changes)

    def reconfigure(self, **changes: Any) -> None:
        """Change its config."""
        config = evolve(self.container.config, **changes)
        self.show(config=config)
        self.config_text = config_text(config)

    def set_state(self, **changes: Any) -> None:
        """Change how it is."""
        self.container = evolve(self.container, state=evolve(self.container.state, **changes))

    def keep(self, **changes: Any) -> None:
        """Change what is remembered."""
        self.keeping = evolve(self.keeping, **changes)

    @contextmanager
    def or_as_before(self) -> Iterator[None]:
        """Have it be as it was where what a block does fails, which mostly is to write it down."""
        before = self.container, self.keeping, self.phase, self.backoff_s
        try:
            yield
        except BaseException:
            self.container, self.keeping, self.phase, self.backoff_s = before
            raise
