"""What goes on: the builds of a front end and the sessions of its clients, by the names that calls know them by."""

import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

from attrs import field, frozen

if TYPE_CHECKING:
    from moby_frontend.docker.buildkit.jobs import Job
    from moby_frontend.docker.buildkit.session.client import ClientSession

__all__ = ["Building", "Known"]

T = TypeVar("T")


class Known(Generic[T]):
    """Things by name; who asks for one that is about to come waits for it. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._known: dict[str, T] = {}

    def add(self, name: str, value: T) -> bool:
        """Make one known; return whether there is no other of that name."""
        with self._changed:
            if name in self._known:
                return False
            self._known[name] = value
            self._changed.notify_all()
            return True

    def remove(self, name: str) -> None:
        """Forget one."""
        with self._changed:
            self._known.pop(name, None)

    def get(self, name: str, patience_s: float) -> T | None:
        """Return one, as soon as it is there; None where it still isn't after so long."""
        limit = time.monotonic() + patience_s
        with self._changed:
            while name not in self._known and (left := limit - time.monotonic()) > 0:
                self._changed.wait(left)
            return self._known.get(name)

    def all(self) -> tuple[T, ...]:
        """Return all that are known."""
        with self._changed:
            return tuple(self._known.values())


@frozen
class Building:
    """Builds by the names that clients give them, and sessions by their ids."""

    jobs: "Known[Job]" = field(factory=Known)
    sessions: "Known[ClientSession]" = field(factory=Known)

    def lends(self, session: "ClientSession") -> bool:
        """Return whether a build goes on that has a session."""
        return any(each.asked.session == session.identity for each in self.jobs.all())
