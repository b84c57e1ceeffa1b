"""A thread that waits for descriptors and times, and calls who wants to know."""

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable

from moby.contracts.ambient import Log

__all__ = ["Loop"]


class Loop:
    """Calls handlers, one at a time and with `lock` held, which others hold who change what handlers use."""

    def __init__(self, name: str, log: Log) -> None:
        self.lock = threading.RLock()
        self._name = name
        self._log = log
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._later: dict[float, deque[tuple[float, Callable[[], None]]]] = {}
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._ending = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; nothing is called any more."""
        self._ending = True
        os.eventfd_write(self._wake, 1)
        if self._thread is not None:
            self._thread.join()
        self._epoll.close()
        os.close(self._wake)

    def watch(self, fd: int, events: int, handler: Callable[[int], None]) -> None:
        """Call `handler` with the events of a descriptor (epoll's, level), in place of who was called before.

        OSError, with nothing changed, where the kernel watches no more.
        """
        with self.lock:
            (self._epoll.modify if fd in self._handlers else self._epoll.register)(fd, events)
            self._handlers[fd] = handler

    def unwatch(self, fd: int) -> None:
        """Call nobody any more; to be done before a descriptor is closed."""
        with self.lock:
            if self._handlers.pop(fd, None) is not None:
                self._epoll.unregister(fd)

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        """Call once, when so much time has passed."""
        with self.lock:
            # One queue a duration, of which there are few: each is in order by itself.
            self._later.setdefault(seconds, deque()).append((time.monotonic() + seconds, call))
        os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        while not self._ending:
            for fd, events in self._epoll.poll(self._patience()):
                if fd == self._wake:
                    self._drain()
                    continue
                with self.lock:
                    handler = self._handlers.get(fd)
                    if handler is not None:
                        self._call(lambda: handler(events))  # noqa: B023 - called at once
            self._call_due()

    def _drain(self) -> None:
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            return

    def _patience(self) -> float | None:
        with self.lock:
            first = [queue[0][0] for queue in self._later.values() if queue]
        return max(0.0, min(first) - time.monotonic()) if first else None

    def _call_due(self) -> None:
        with self.lock:
            now = time.monotonic()
            for queue in self._later.values():
                while queue and queue[0][0] <= now:
                    self._call(queue.popleft()[1])

    def _call(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # the loop serves everybody else too
            self._log.error("a call of the loop failed", loop=self._name, error=repr(error))
