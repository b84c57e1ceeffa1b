"""One reader of events: what waits for it, and a descriptor that tells."""

import threading
from collections.abc import Callable

from moby.contracts.events import Event
from moby.errors import HostUnfit
from moby.host.inbox import Inbox

__all__ = ["MOST", "Reader", "Wanted"]

MOST = 1024
"""How many events may wait for a reader; as docker."""

Wanted = Callable[[Event], bool]


class Reader(Inbox[Event]):
    """A subscription; see the contract. `offer`, `replay` and `end` are called by the ring, which holds the lock."""

    def __init__(self, lock: threading.Lock, wanted: Wanted, forget: Callable[["Reader"], None]) -> None:
        try:
            super().__init__(lock, MOST)
        except OSError as error:
            hint = "end some of those who follow events, or raise the engine's limit of open files"
            raise HostUnfit(f"can't follow events: {error.strerror}", hint=hint) from error
        self._wanted = wanted
        self._forget = forget

    def replay(self, event: Event) -> None:
        """Give an event of the past, where it is wanted."""
        if self._wanted(event):
            self.put(event)

    def offer(self, event: Event) -> bool:
        """Give an event, where it is wanted; return whether the reader goes on."""
        try:
            if not self._wanted(event):
                return True
        except Exception:  # a reader that can't choose is its own loss, and not the publisher's
            self.end()
            return False
        return self.put(event)

    def close(self) -> None:
        """Let go."""
        with self._lock:
            self._forget(self)
            self.discard()
