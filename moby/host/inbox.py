"""What waits for one reader, who is told by a descriptor."""

import os
import threading
from collections import deque
from typing import Generic, TypeVar

from moby.contracts.types import Fd

__all__ = ["Inbox"]

T = TypeVar("T")


class Inbox(Generic[T]):
    """Values in order, of which so many may wait; the reader who takes too few is given no more.

    The reader calls `fileno`, `take` and `ended`; whoever calls the others holds the lock. OSError where there is no
    descriptor left.
    """

    def __init__(self, lock: threading.Lock, most: int) -> None:
        # It counts nothing: it is 1 while there is something to take, and for good after the end.
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._lock, self._most = lock, most
        self._waiting: deque[T] = deque()
        self._last = False

    def put(self, value: T) -> bool:
        """Add a value; return whether it goes on."""
        if self._last:
            return False
        if len(self._waiting) >= self._most:
            self.end()
            return False
        if not self._waiting:
            self._signal()
        self._waiting.append(value)
        return True

    def end(self) -> None:
        """Say that nothing more comes."""
        self._last = True
        self._signal()

    def fileno(self) -> Fd:
        """Return the descriptor to watch; -1 once it is closed."""
        return self._fd

    def take(self) -> tuple[T, ...]:
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

    def discard(self) -> None:
        """End it for its reader's sake: what waits is nobody's, and the descriptor is closed."""
        self._last = True
        self._waiting.clear()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _signal(self) -> None:
        if self._fd >= 0:
            os.eventfd_write(self._fd, 1)
