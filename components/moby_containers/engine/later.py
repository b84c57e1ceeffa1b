"""What is to be done later, or beside the caller: by a few threads, which are started when there is something."""

import heapq
import itertools
import threading
from collections.abc import Callable

from moby.contracts.ambient import Log
from moby.errors import MobyError

__all__ = ["Later"]

_THREADS = 8


class Later:
    """Does things soon, or after a while. Thread-safe."""

    def __init__(self, log: Log, monotonic_s: Callable[[], float]) -> None:
        self._log = log
        self._now = monotonic_s
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._threads: list[threading.Thread] = []
        self._idle = 0
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
            if self._idle == 0 and len(self._threads) < _THREADS:
                thread = threading.Thread(target=self._work, name="containers-later", daemon=True)
                self._threads.append(thread)
                thread.start()
            elif self._due[0] is due:  # else somebody who is idle wakes in time for what comes before it
                self._changed.notify()

    def close(self) -> None:
        """Finish what has begun, and leave the rest undone."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        for each in self._threads:
            if each is not threading.current_thread():
                each.join()

    def _work(self) -> None:
        while (action := self._next()) is not None:
            try:
                action()
            except (MobyError, OSError) as error:
                self._log.warning("what was left to do for a container failed", error=str(error))
            except Exception as error:
                self._log.error("a bug in what was left to do for a container", error=repr(error))

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            self._idle += 1
            try:
                while not self._ended:
                    wait = self._due[0][0] - self._now() if self._due else None
                    if wait is not None and wait <= 0:
                        action = heapq.heappop(self._due)[2]
                        if self._due:
                            self._changed.notify()  # somebody else waits for what is next now
                        return action
                    self._changed.wait(wait)
                return None
            finally:
                self._idle -= 1
