"""A keeper in the test's own process, for tests in which no process is killed."""

import os
import time
from collections.abc import Mapping, Sequence

from moby.contracts.ambient import Reaped

__all__ = ["SameProcess"]


class SameProcess:
    """Holds copies, so that one process of a part after another can be tried; an ambient Keeper."""

    def __init__(self) -> None:
        self.copies: dict[str, tuple[int, ...]] = {}
        self.pids: dict[str, list[int]] = {}
        self.known: list[Reaped] = []
        self.told, self.tell = os.pipe()

    def hold(self, name: str, fds: Sequence[int], pids: Sequence[int] = ()) -> None:
        """Keep copies."""
        old = self.copies.get(name, ())
        self.copies[name] = tuple(os.dup(fd) for fd in fds)
        self.pids.setdefault(name, []).extend(pids)
        for fd in old:
            os.close(fd)

    def held(self) -> Mapping[str, tuple[int, ...]]:
        """Return fresh copies of all."""
        return {name: tuple(os.dup(fd) for fd in fds) for name, fds in self.copies.items()}

    def release(self, name: str) -> None:
        """Close those of a name."""
        for fd in self.copies.pop(name, ()):
            os.close(fd)
        self.pids.pop(name, None)

    def saw(self, pid: int, status: int) -> None:
        """Note an exit, as if it had been seen."""
        self.known.append(Reaped(pid, status, time.time_ns()))

    def reaped(self) -> tuple[Reaped, ...]:
        """Return what was noted."""
        return tuple(self.known)

    def watch(self) -> int:
        """Return a descriptor that becomes readable when somebody writes to `tell`."""
        return os.dup(self.told)

    def close(self) -> None:
        """Close all."""
        for name in tuple(self.copies):
            self.release(name)
        os.close(self.told)
        os.close(self.tell)
