"""The end of all containers at once, as an engine goes for good: each by its own signal and in its own time."""

import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager

from attrs import frozen

from moby.contracts.containers import Condition, Status
from moby.errors import MobyError, Unavailable
from moby_containers.engine.entries import Entry
from moby_containers.engine.life import Life, stop_patience_s, stop_signal
from moby_containers.engine.parts import Parts
from moby_containers.engine.waiters import Waiting, begin_to_wait

__all__ = ["stop_all"]

_KILL_PATIENCE_S = 10.0


def stop_all(entries: Iterable[Entry], life: Life, parts: Parts, timeout_s: float | None) -> None:
    """Stop all, as by themselves: nobody is noted to have stopped them; what can't be is told in the log alone.

    A number of seconds shortens the time that each has.
    """
    with ExitStack() as held:
        ends: list[_End] = []
        for entry in entries:
            with _told(parts, entry):
                waiting = _begin(entry, life, held)
                if waiting is not None:
                    patience_s = stop_patience_s(entry)
                    patience_s = patience_s if timeout_s is None else min(patience_s, timeout_s)
                    ends.append(_End(entry, waiting, time.monotonic() + patience_s))
        for each in sorted(ends, key=lambda each: each.due_s):
            if not each.comes(each.due_s):
                with _told(parts, each.entry):
                    life.signal(each.entry, int(signal.SIGKILL))
        until_s = time.monotonic() + _KILL_PATIENCE_S
        for each in ends:
            with _told(parts, each.entry):
                if not each.comes(until_s):
                    raise Unavailable("tried to kill container, but did not receive an exit event")
                parts.tell(each.entry.container, "stop")


@frozen
class _End:
    """One that was told to end, and when it is killed."""

    entry: Entry
    waiting: Waiting
    due_s: float

    def comes(self, until_s: float) -> bool:
        """Wait for it, whether it comes until then."""
        return self.waiting.wait(max(0.0, until_s - time.monotonic()))


@contextmanager
def _told(parts: Parts, entry: Entry) -> Iterator[None]:
    """Write into the log what keeps one from being stopped, and go on with the others."""
    try:
        yield
    except (MobyError, OSError) as error:
        parts.log.warning("a container can't be stopped", container=entry.id, error=str(error))


def _begin(entry: Entry, life: Life, held: ExitStack) -> Waiting | None:
    """Send it the signal that is to end it; None where it doesn't run."""
    with entry.lock:
        if entry.status is Status.RESTARTING:
            life.give_up(entry, manually=False)
        if not entry.alive:
            return None
        waiting = held.enter_context(closing(begin_to_wait(entry, Condition.NOT_RUNNING, gone=lambda: False)))
    life.signal(entry, stop_signal(entry))
    return waiting
