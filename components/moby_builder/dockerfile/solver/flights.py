"""Flights: what several builds want at the same time is done by one of them, while the others wait for it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from attrs import define, field

from moby.contracts.builder import BuildFailed
from moby_builder.dockerfile.solver.effects import Cancel, Watch

__all__ = ["Flights", "Slots"]


@define(eq=False)
class _Flight:
    """Something that is being done."""

    ended: bool = False
    failure: BuildFailed | None = None
    watches: list[Watch] = field(factory=list)
    """Of all who want it."""


class _Shared:
    """A watch of one who does what others wait for, who hear of it as well."""

    def __init__(self, watch: Watch, flight: _Flight) -> None:
        self.cancel = watch.cancel
        self._flight = flight

    def log(self, stream: int, data: bytes) -> None:
        for each in tuple(self._flight.watches):
            each.log(stream, data)

    def progress(self, name: str, current: int = 0, total: int = 0, *, done: bool = False) -> None:
        for each in tuple(self._flight.watches):
            each.progress(name, current, total, done=done)


class Flights:
    """Who does what at the moment, in this process. Thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._flights: dict[str, _Flight] = {}

    @contextmanager
    def turn(self, key: str, watch: Watch, waits: Callable[[], None] = lambda: None) -> Iterator[Watch]:
        """Wait until nobody else does this, then let the caller do it, by a watch that those who wait hear too.

        `waits` is called where there is a wait. Whoever was waited for may have done it: look again. Where a program of
        it ended badly, that is raised here too; where it was given up, or failed for what only its own build lacks, the
        next one tries.
        """
        remove = watch.cancel.add(self._wake)
        try:
            flight = self._begin(key, watch, waits)
        finally:
            remove()
        try:
            yield _Shared(watch, flight)
        except BuildFailed as error:
            flight.failure = error if error.code is not None else None
            raise
        finally:
            with self._changed:
                flight.ended = True
                del self._flights[key]
                self._changed.notify_all()

    def _begin(self, key: str, watch: Watch, waits: Callable[[], None]) -> _Flight:
        with self._changed:
            while True:
                watch.cancel.check()
                flight = self._flights.get(key)
                if flight is None:
                    flight = self._flights[key] = _Flight(watches=[watch])
                    return flight
                waits()
                flight.watches.append(watch)
                self._changed.wait_for(lambda flight=flight: flight.ended or watch.cancel.is_set())  # type: ignore[misc]
                flight.watches.remove(watch)
                if flight.failure is not None:
                    raise flight.failure

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


class Slots:
    """How many may do something at the same time. Thread-safe."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._changed = threading.Condition()

    @contextmanager
    def one(self, cancel: Cancel) -> Iterator[None]:
        """Wait for one, and have it; Unavailable where the wait is given up."""
        remove = cancel.add(self._wake)
        try:
            with self._changed:
                self._changed.wait_for(lambda: self._free > 0 or cancel.is_set())
                cancel.check()
                self._free -= 1
        finally:
            remove()
        try:
            yield
        finally:
            with self._changed:
                self._free += 1
                self._changed.notify_all()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
