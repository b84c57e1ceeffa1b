"""What wiring offers to every component besides other components: its folders, the time, a log, a keeper.

And what a component may offer to wiring besides its contract.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from moby.contracts.types import Fd
from moby.values import field, frozen

__all__ = ["Clock", "Endpoint", "Keeper", "Lifecycle", "Log", "Place", "Reaped", "Request", "Serving"]


@frozen
class Place:
    """The folders of one component instance, made before it is: lasting state, this boot's, and disposable."""

    state: Path
    run: Path
    cache: Path
    engine: str = ""
    """Name of the engine, unique on a host together with its root; for names that the host gets to see."""
    parts: Mapping[str, str] = field(factory=dict)
    """Versions of the engine's parts by key (`runtime/native`), to be shown, as far as this process knows them."""


class Clock(Protocol):
    """Time, so that a test can bring its own. Thread-safe; never blocks."""

    def now_ns(self) -> int:
        """Nanoseconds since the epoch."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds that never go back, from an arbitrary start."""
        ...


class Log(Protocol):
    """The engine's own log, bound to one component. Thread-safe; never raises."""

    def debug(self, message: str, **fields: object) -> None:
        """Write what only a developer wants."""
        ...

    def info(self, message: str, **fields: object) -> None:
        """Write what an operator may want to know."""
        ...

    def warning(self, message: str, **fields: object) -> None:
        """Write what an operator should look at."""
        ...

    def error(self, message: str, **fields: object) -> None:
        """Write what failed."""
        ...


@frozen
class Reaped:
    """How an orphan of a served part ended, as its keeper saw it."""

    pid: int
    status: int
    """As wait(2) has it."""
    time_ns: int


class Keeper(Protocol):
    """The process above a served part that outlives the engine: it restarts the part, and keeps what that one had.

    It is the part's parent and a child subreaper (prctl(2)), so that the part's children become its own when the part
    dies. It holds copies of descriptors, so that no pipe or terminal closes meanwhile. Calls are for the part's own
    thread; each takes well under a millisecond. What one says, the keeper gets in this order, whatever becomes of the
    part once the call has returned. Where the keeper has died, a call starts another, which is given all that the part
    has held; that one can't become the part's parent any more.
    """

    def hold(self, name: str, fds: Sequence[Fd], pids: Sequence[int] = ()) -> None:
        """Keep copies of descriptors under a name, in place of those it had, and note children that belong to it.

        Children are given by pid while they still are children of the part, reaped or not. Invalid where the keeper
        refuses the first under a name; where it refuses a later one, it keeps what it had.
        """
        ...

    def held(self) -> Mapping[str, tuple[Fd, ...]]:
        """Return fresh copies of all that is held, by name; each is the caller's to close."""
        ...

    def release(self, name: str) -> None:
        """Close what is held under a name, and forget its children; nothing where there is no such name."""
        ...

    def reaped(self) -> tuple[Reaped, ...]:
        """Return how noted children ended that had become the keeper's own; on disk before it is told, until release.

        A child that is not in it, and is not there any more, ended in a way that nobody saw.
        """
        ...

    def watch(self) -> Fd:
        """Return a descriptor that becomes readable when `reaped` has more, or when the keeper is gone.

        `reaped` makes it quiet again. Of a keeper that is gone it stays readable: then call something, by which another
        keeper is there and has all, and ask for a new one. Only the last that was asked for is told.
        """
        ...


class Lifecycle(Protocol):
    """What a part may have besides its contract. Each method is looked for on the instance by itself."""

    def __enter__(self) -> object:
        """Start: take what the part holds of the host. An error leaves nothing taken."""
        ...

    def __exit__(self, *error: object) -> None:
        """Stop: give it back. Called once after each start, whatever failed meanwhile."""
        ...

    def health(self) -> str:
        """Return what an operator should know of a running part, empty when it is well; an error when it isn't."""
        ...

    def go_on(self) -> None:
        """Go on by itself with what earlier processes were at, as with starting again what has ended.

        Called once, when the part has started, of an engine that lasts: not of one that is there for a command alone,
        nor by `down`; of parts in the engine's process, and of those with a process of their own.
        """
        ...

    def wind_down(self, timeout_s: float | None) -> None:
        """End in order what runs, and begin nothing more by itself; `down` calls it, last started first.

        Each thing has its own time, and at most so much, where that is told; what doesn't end then is killed.
        """
        ...

    def reclaim(self) -> None:
        """Give back what earlier processes took of the host and, being killed, could not; repeating is fine."""
        ...


class Request(Protocol):
    """A call from another process, to be answered once, at any time, in any order.

    Descriptors in the arguments are borrowed: they are closed once it is answered. An answer to a caller who has gone
    goes nowhere, and raises nothing.
    """

    method: str
    """A name from the part's contract; or `health` or `reclaim`, where the part has that method (Lifecycle)."""
    arguments: Mapping[str, Any]
    """By parameter; those with defaults that the caller left out are not in it."""

    def answer(self, value: object = None) -> None:
        """Send what the method returns. Descriptors in it are handed over: sent, and closed here. Never blocks."""
        ...

    def fail(self, error: Exception) -> None:
        """Send an error, which the caller gets raised: one of moby.errors as it is, with its cause; else as a bug."""
        ...


class Endpoint(Protocol):
    """The socket of a served part, for its own loop. Used by one thread. No method blocks."""

    ending: bool
    """Whether the process was told to end (SIGTERM): the loop answers what it can at once, and returns."""

    def fileno(self) -> int:
        """Return the one descriptor to watch: it becomes readable (epoll's level) when `requests` is to be called."""
        ...

    def requests(self) -> Sequence[Request]:
        """Return the calls that have come in whole since, oldest first; none where there is nothing yet.

        Also sends on what answers were too long for their callers' buffers, and takes and ends connections.
        """
        ...


class Serving(Protocol):
    """What a part may have besides its contract when it is served: a loop of its own, in place of threads.

    Without it a served part is called by a thread for each connection, as its contract says that it may be.
    """

    def serve(self, endpoint: Endpoint) -> None:
        """Answer requests until `endpoint.ending`, in the process's only thread, after `__enter__`.

        `__exit__` follows. A part that outlives the engine (`Component(served="outlives")`) leaves to the keeper what
        its next process goes on with, also on `__exit__`: only `reclaim` ends what it keeps.
        """
        ...
