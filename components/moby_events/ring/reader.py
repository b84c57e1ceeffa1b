"""One reader of events: what waits for it, and a descriptor that tells."""

import os
import threading
from collections import deque
from collections.abc import Callable

from moby.contracts.events import Event
from moby.contracts.types import Fd
from moby.errors import HostUnfit

__all__ = ["MOST", "Reader", "Wanted"]

MOST = 1024
"""How many events may wait for a reader; as docker."""

Wanted = Callable[[Event], bool]


class Reader:
    """A subscription; see the contract. `offer`, `replay` and `end` are called by the ring, which holds the lock."""

    def __init__(self, lock: threading.Lock, wanted: Wanted, forget: Callable[["Reader"], None]) -> None:
        try:
            # It counts nothing: it is 1 while there is something to take, and for good after the end.
            self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except OSError as error:
            hint = "end some of those who follow events, or raise the engine's limit of open files"
            raise HostUnfit(f"can't follow events: {error.strerror}", hint=hint) from error
        self._lock = lock
        self._wanted = wanted
        self._forget = forget
        self._waiting: deque[Event] = deque()
        self._last = False

    def replay(self, event: Event) -> None:
        """Give an event of the past, where it is wanted."""
        if self._wanted(event):
            self._put(event)

    def offer(self, event: Event) -> bool:
        """Give an event, where it is wanted; return whether the reader goes on."""
        try:
            if not self._wanted(event):
                return True
        except Exception:  # a reader that can't choose is its own loss, and not the publisher's
            self.end()
            return False
        if len(self._waiting) >= MOST:
            self.end()
            return False
        self._put(event)
        return True

    def end(self) -> None:
        """Say that nothing more comes."""
        self._last = True
        self._signal()

    def fileno(self) -> Fd:
        """Return the descriptor to watch; -1 once it is closed."""
        return self._fd

    def take(self) -> tuple[Event, ...]:
        """Return what waits."""
        with self._lock:
            found = tuple(self._waiting)
            self._waiting.clear()
            if found and not self._last:
                os.eventfd_read(self._fd)
            return found

    @property
    def ended(self) -> bool:
        """Whether all was taken, and nothing more comes."""
        with self._lock:
            return self._last and not self._waiting

    def close(self) -> None:
        """Let go."""
        with self._lock:
            self._last = True
            self._waiting.clear()
            self._forget(self)
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def _put(self, event: Event) -> None:
        if not self._waiting:
            self._signal()
        self._waiting.append(event)

    def _signal(self) -> None:
        if self._fd >= 0:
            os.eventfd_write(self._fd, 1)
