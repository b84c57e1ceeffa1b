"""What a build tells, for those who watch it."""

import threading
from collections.abc import Iterable, Iterator

from moby.contracts.builder import Event, Finding, Log, Planned, Progress, Vertex
from moby_frontend.docker.buildkit.protocol.common import Position, RangeOf, SourceInfo, timestamp
from moby_frontend.docker.buildkit.protocol.control import (
    StatusResponse,
    VertexLog,
    VertexProgress,
    VertexState,
    VertexWarning,
)

__all__ = ["Feed", "shown"]

_MOST_EVENTS = 1000
"""In one message, of which clients take 16 MiB."""
_MOST_BYTES = 1 << 20
_MOST_UNHEARD_BYTES = 4 << 20
_EVENT_BYTES = 500
"""What an event takes besides text that is somebody else's, about."""
_GATHER_S = 0.004
"""How long an event waits for others to go with it: each message wakes both ends, which costs a build more."""


class Feed:
    """Events from when a build begins to its end. Who watches first gets all of them, others where steps are.

    Where nobody comes to watch, only so much is kept; who comes then is one of the others.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ended = threading.Event()
        self._begun: list[Event] = []
        self._unheard_bytes = 0
        self._watched = False
        self._queues: list[list[Event]] = []
        self._states: dict[str, Vertex] = {}

    def tell(self, event: Event) -> None:
        """Take an event."""
        with self._changed:
            if isinstance(event, Vertex):
                self._states[str(event.digest)] = event
            if not self._watched:
                self._keep(event)
            for each in self._queues:
                each.append(event)
            self._changed.notify_all()

    def _keep(self, event: Event) -> None:
        """Keep an event for who watches first; once it is too much, there is no such one any more."""
        self._begun.append(event)
        self._unheard_bytes += _EVENT_BYTES + _text_bytes(event)
        if self._unheard_bytes > _MOST_UNHEARD_BYTES:
            self._watched = True
            self._begun = []

    def close(self) -> None:
        """Say that nothing follows; a repeated call does nothing."""
        with self._changed:
            self._ended.set()
            self._changed.notify_all()

    def watch(self) -> Iterator[list[Event]]:
        """Yield events as they come, to the end."""
        with self._changed:
            queue: list[Event] = [*self._states.values()] if self._watched else self._begun
            self._watched = True
            self._queues.append(queue)
        try:
            while True:
                with self._changed:
                    while not queue and not self._ended.is_set():
                        self._changed.wait()
                    if not queue:
                        return
                self._ended.wait(_GATHER_S)
                with self._changed:
                    found = queue[: _count(queue)]
                    del queue[: len(found)]
                yield found
        finally:
            with self._changed:
                self._queues = [each for each in self._queues if each is not queue]


def _count(events: list[Event]) -> int:
    """Return how many events one message takes: always one, and as many more as are small together."""
    size = 0
    for number, each in enumerate(events[:_MOST_EVENTS]):
        size += _text_bytes(each)
        if size > _MOST_BYTES and number:
            return number
    return _MOST_EVENTS


def _text_bytes(event: Event) -> int:
    return len(event.data) if isinstance(event, Log) else len(event.source) if isinstance(event, Finding) else 0


def shown(events: Iterable[Event]) -> StatusResponse:
    """Return events as BuildKit tells them."""
    found = StatusResponse()
    for each in events:
        if isinstance(each, Vertex):
            found.vertexes.append(_state(each))
        elif isinstance(each, Progress):
            found.statuses.append(_progress(each))
        elif isinstance(each, Log):
            found.logs.append(VertexLog(str(each.vertex), timestamp(each.time_ns), each.stream, each.data))
        elif isinstance(each, Finding):
            found.warnings.append(_warning(each))
        else:
            assert isinstance(each, Planned)  # which only old clients want to know
    return found


def _state(vertex: Vertex) -> VertexState:
    return VertexState(
        str(vertex.digest), [str(each) for each in vertex.inputs], vertex.name, vertex.cached,
        timestamp(vertex.started_ns), timestamp(vertex.completed_ns), vertex.error,
    )  # fmt: skip


def _progress(each: Progress) -> VertexProgress:
    return VertexProgress(
        each.id, str(each.vertex), each.name, each.current, each.total, timestamp(each.time_ns),
        timestamp(each.started_ns), timestamp(each.completed_ns),
    )  # fmt: skip


def _warning(each: Finding) -> VertexWarning:
    info = SourceInfo(each.file, each.source.encode(), "Dockerfile") if each.source else None
    ranges = [RangeOf(Position(lines.first), Position(lines.last)) for lines in each.ranges]
    detail = [each.detail.encode()] if each.detail else []
    vertex = str(each.vertex) if each.vertex else ""
    return VertexWarning(vertex, each.level, each.message.encode(), detail, each.url, info, ranges)
