"""Those who wait for a container: each has a descriptor that becomes readable once there is a result."""

import os
import threading
from collections.abc import Callable
from contextlib import suppress

from moby.contracts.containers import Condition, Ended, Status
from moby.errors import Conflict
from moby.host.processes import readable
from moby_containers.engine.entries import Entry

__all__ = ["Waiting", "begin_to_wait", "tell_ended", "tell_removed"]

_LONG_S = 86400.0


class Waiting:
    """One who waits. Thread-safe."""

    def __init__(self, entry: Entry, condition: Condition) -> None:
        self.condition = condition
        self._entry = entry
        self._lock = threading.Lock()
        self._result: Ended | None = None
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def settle(self, result: Ended) -> None:
        """Say what it came to; only the first counts."""
        with self._lock:
            if self._result is None:
                self._result = result
                if self._fd >= 0:
                    os.eventfd_write(self._fd, 1)

    def result(self) -> Ended:
        """Wait for what it comes to, and return that."""
        while not self.wait(_LONG_S):
            pass
        assert self._result is not None
        return self._result

    def wait(self, timeout_s: float) -> bool:
        """Wait for a while; whether there is a result."""
        if self._result is None:
            if self._fd < 0:
                raise Conflict("this waiter is closed")
            readable(self._fd, timeout_s)
        return self._result is not None

    def close(self) -> None:
        """Let go, and be forgotten."""
        with self._entry.waiting, suppress(ValueError):
            self._entry.waiters.remove(self)
        with self._lock:
            fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def begin_to_wait(entry: Entry, condition: Condition, *, gone: Callable[[], bool]) -> Waiting:
    """Return one who waits, settled where there is nothing to wait for; `gone` says whether it is removed.

    It takes no lock that a start holds, so that clients which wait before they start needn't wait for what is made.
    """
    waiting = Waiting(entry, condition)
    with entry.waiting:
        state = entry.state
        idle = state.status in (Status.CREATED, Status.EXITED, Status.DEAD)
        if gone() or (condition is Condition.NOT_RUNNING and idle):
            waiting.settle(Ended(state.exit_code, state.error if idle else ""))
        else:
            entry.waiters.append(waiting)
    return waiting


def tell_ended(entry: Entry) -> None:
    """Settle those who wait for an end, also where it is to be started again; not those who wait for the removal.

    Its state says already that it has ended; one that waits for its restart counts as running for whoever comes later.
    """
    result = Ended(entry.state.exit_code, entry.state.error)
    left = []
    with entry.waiting:
        for each in entry.waiters:
            if each.condition is Condition.REMOVED:
                left.append(each)
            else:
                each.settle(result)
        entry.waiters = left


def tell_removed(entry: Entry, error: str = "") -> None:
    """Settle everybody: there is nothing left to wait for."""
    with entry.waiting:
        for each in entry.waiters:
            each.settle(Ended(entry.state.exit_code, error))
        entry.waiters = []
