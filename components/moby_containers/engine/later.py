"""What is to be done later, or beside the caller: by a few threads, which are started when there is something."""

import heapq
import itertools
import threading
from collections.abc import Callable
from contextlib import suppress
from math import inf

from moby.contracts.ambient import Log
from moby.errors import MobyError

__all__ = ["Later"]

_THREADS = 8
_AT_ONCE = -inf


class Later:
    """Does things soon, or after a while. Thread-safe."""

    def __init__(self, log: Log, monotonic_s: Callable[[], float]) -> None:
        self._log = log
        self._now = monotonic_s
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._threads: list[threading.Thread] = []
        self._idle: list[float] = []
        """Until when each thread waits that has nothing to do, those included that were just started or woken."""
        self._ended = False

    def soon(self, action: Callable[[], None]) -> None:
        """Do it as soon as a thread is free."""
        self.after(0.0, action)

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Do it after a while; not at all once `close` was called."""
        with self._changed:
            if self._ended:
                return
            due = (self._now() + seconds, next(self._numbers), action)
            heapq.heappush(self._due, due)
            if not self._idle or self._due[0] is due:
                self._have_one_wait()

    def _have_one_wait(self) -> None:
        """Have a thread wait for what is next, unless one that is idle wakes in time by itself."""
        if self._idle:
            if min(self._idle) > self._due[0][0]:
                self._changed.notify()
        elif len(self._threads) < _THREADS:
            thread = threading.Thread(target=self._work, name="containers-later", daemon=True)
            thread.start()
            self._threads.append(thread)
            self._idle.append(_AT_ONCE)

    def close(self) -> None:
        """Finish what has begun, and leave the rest undone."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        for each in self._threads:
            if each is not threading.current_thread():
                each.join()

    def _work(self) -> None:
        with self._changed:
            self._idle.remove(_AT_ONCE)
        while (action := self._next()) is not None:
            try:
                action()
            except (MobyError, OSError) as error:
                self._log.warning("what was left to do for a container failed", error=str(error))
            except Exception as error:
                self._log.error("a bug in what was left to do for a container", error=repr(error))

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while not self._ended:
                until = self._due[0][0] if self._due else inf
                left = until - self._now()
                if left <= 0:
                    action = heapq.heappop(self._due)[2]
                    if self._due:
                        with suppress(RuntimeError):  # no thread more may be had, and who is busy now takes it next
                            self._have_one_wait()
                    return action
                self._idle.append(until)
                try:
                    self._changed.wait(left if self._due else None)
                finally:
                    self._idle.remove(until)
            return None
