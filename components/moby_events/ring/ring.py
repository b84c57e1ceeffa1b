"""The last events of an engine, and who follows them."""

import threading
from collections import deque
from collections.abc import Callable, Iterator

from moby.contracts.ambient import Clock
from moby.contracts.events import Event
from moby.values import evolve
from moby_events.ring.reader import Reader, Wanted

__all__ = ["KEPT", "Ring"]

KEPT = 256
"""How many events can be replayed; as docker."""


class Ring:
    """Events in memory; see the contract."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # One for the ring and all its readers: what a reader is given at its start and what is published then are
        # in one order, with nothing between.
        self._lock = threading.Lock()
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._readers: set[Reader] = set()
        self._closed = False

    def __enter__(self) -> "Ring":
        return self

    def __exit__(self, *error: object) -> None:
        """End what all readers follow."""
        with self._lock:
            self._closed = True
            for each in self._readers:
                each.end()
            self._readers.clear()

    def publish(self, event: Event) -> None:
        """Tell of an event."""
        attributes = dict(event.attributes)
        with self._lock:
            event = evolve(event, attributes=attributes, time_ns=event.time_ns or self._clock.now_ns())
            self._kept.append(event)
            for each in [each for each in self._readers if not each.offer(event)]:
                self._readers.discard(each)

    def subscribe(self, since_ns: int = 0, wanted: Callable[[Event], bool] | None = None) -> Reader:
        """Follow events."""
        reader = Reader(self._lock, wanted or _all, self._forget)
        try:
            with self._lock:
                for event in self._kept if since_ns else ():
                    if event.time_ns >= since_ns:
                        reader.replay(event)
                if self._closed:
                    reader.end()
                else:
                    self._readers.add(reader)
        except BaseException:  # of what chooses
            reader.close()
            raise
        return reader

    def past(self, since_ns: int, until_ns: int) -> Iterator[Event]:
        """Yield the events between two moments."""
        with self._lock:
            found = [each for each in self._kept if since_ns <= each.time_ns <= until_ns]
        return iter(found)

    def _forget(self, reader: Reader) -> None:
        self._readers.discard(reader)


_all: Wanted = lambda event: True  # noqa: E731  # a value of its type
