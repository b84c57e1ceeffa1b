"""Things by name, which somebody may ask for before they are there."""

import threading
import time
from typing import Generic, TypeVar

__all__ = ["Known"]

T = TypeVar("T")
_MOST_OVER = 64


class Known(Generic[T]):
    """Things by name; who asks for one that is about to come waits for it. Thread-safe.

    The last that are over are known for a while to who asks for them late.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._claimed: set[str] = set()
        self._known: dict[str, T] = {}
        self._over: dict[str, T] = {}

    def claim(self, name: str) -> bool:
        """Take a name for what is added later, or removed without; return whether nobody has it."""
        with self._changed:
            if name in self._claimed or name in self._known:
                return False
            self._claimed.add(name)
            return True

    def add(self, name: str, value: T) -> bool:
        """Make one known; return whether there is no other of that name."""
        with self._changed:
            if name in self._known:
                return False
            self._known[name] = value
            self._changed.notify_all()
            return True

    def remove(self, name: str, *, late: bool = False) -> None:
        """Forget one, but for who asks for it late."""
        with self._changed:
            self._claimed.discard(name)
            found = self._known.pop(name, None)
            if late and found is not None:
                self._over[name] = found
                while len(self._over) > _MOST_OVER:
                    del self._over[next(iter(self._over))]

    def get(self, name: str, patience_s: float) -> T | None:
        """Return one, as soon as it is there; None where it still isn't after so long."""
        limit = time.monotonic() + patience_s
        with self._changed:
            while not (found := self._known.get(name) or self._over.get(name)) and time.monotonic() < limit:
                self._changed.wait(limit - time.monotonic())
            return found

    def all(self) -> tuple[T, ...]:
        """Return all that aren't over."""
        with self._changed:
            return tuple(self._known.values())
