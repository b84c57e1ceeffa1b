"""Telling how a build goes: events of its vertices, one at a time, and logs within BuildKit's limits."""

import math
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from moby.contracts.ambient import Clock
from moby.contracts.builder import Event, Log, Progress, Vertex
from moby.contracts.types import Digest
from moby.values import evolve
from moby_builder.dockerfile.operations import Node, ResultSource
from moby_builder.dockerfile.solver.effects import Cancel

__all__ = ["Clipped", "Telling", "Told"]

MOST_BYTES = 2 << 20
"""Of a stream of a step (BUILDKIT_STEP_LOG_MAX_SIZE)."""
MOST_BYTES_A_SECOND = 200 << 10
"""Of a stream of a step, from its first byte on (BUILDKIT_STEP_LOG_MAX_SPEED)."""
_SECOND_NS = 1_000_000_000


class Telling:
    """Tells of one build. Thread-safe; after `close` nobody hears any more."""

    def __init__(self, tell: Callable[[Event], None], clock: Clock) -> None:
        self._tell: Callable[[Event], None] | None = tell
        self._clock = clock
        self._lock = threading.Lock()
        self._vertices: dict[Digest, Vertex] = {}

    def tell(self, event: Event) -> None:
        """Tell of something."""
        with self._lock:
            if self._tell is not None:
                self._tell(event)

    def close(self) -> None:
        """Tell no more."""
        with self._lock:
            self._tell = None

    def planned(self, node: Node) -> None:
        """Tell that a vertex is there; once is enough."""
        if node.digest not in self._vertices:
            self._change(node, lambda known, now: known)

    def started(self, node: Node, *, missed: str = "") -> None:
        """Tell that a vertex is being worked on, and why."""
        self._change(node, lambda known, now: evolve(known, started_ns=now, completed_ns=0, missed=missed, error=""))

    def completed(self, node: Node, *, cached: bool = False, result: str = "") -> None:
        """Tell that a vertex is done, once."""
        if self.is_completed(node):
            return
        self._change(
            node,
            lambda known, now: evolve(
                known, started_ns=known.started_ns or now, completed_ns=now, cached=cached, result=result
            ),
        )

    def failed(self, node: Node, error: str) -> None:
        """Tell that a vertex has failed."""
        self._change(
            node, lambda known, now: evolve(known, started_ns=known.started_ns or now, completed_ns=now, error=error)
        )

    def is_completed(self, node: Node) -> bool:
        """Whether it was told of a vertex that it is done."""
        known = self._vertices.get(node.digest)
        return known is not None and bool(known.completed_ns)

    @contextmanager
    def errand(self, name: str, cancel: Cancel) -> Iterator["Told"]:
        """Tell of something besides the graph, as a vertex of its own, from now to the end of the block."""
        node = Node(ResultSource(f"{name} {secrets.token_hex(8)}"), name=name)
        self.started(node)
        try:
            yield self.watch(node, cancel)
        except BaseException as error:
            self.failed(node, "context canceled" if cancel.is_set() else str(getattr(error, "message", error)))
            raise
        self.completed(node)

    def watch(self, node: Node, cancel: Cancel) -> "Told":
        """Return a watch of a vertex."""
        return Told(self, self._clock, node.digest, cancel)

    def _change(self, node: Node, change: Callable[[Vertex, int], Vertex]) -> None:
        with self._lock:
            known = self._vertices.get(node.digest)
            if known is None:
                known = Vertex(node.digest, node.name, tuple(each.digest for each in node.inputs if each.name))
            told = self._vertices[node.digest] = change(known, self._clock.now_ns())
            if self._tell is not None and node.name:
                self._tell(told)


class Told:
    """A watch that tells of all it hears."""

    def __init__(self, telling: Telling, clock: Clock, vertex: Digest, cancel: Cancel) -> None:
        self.cancel = cancel
        self.heard = False
        """Whether there was progress, or a log: that something was done."""
        self._telling = telling
        self._clock = clock
        self._vertex = vertex
        self._streams = {1: Clipped(clock), 2: Clipped(clock)}
        self._begun: dict[str, int] = {}

    def log(self, stream: int, data: bytes) -> None:
        """Tell what it wrote, as far as the limits go."""
        self.heard = True
        for each in self._streams[stream].pass_on(data):
            self._telling.tell(Log(self._vertex, stream, each, self._clock.now_ns()))

    def progress(self, name: str, current: int = 0, total: int = 0, *, done: bool = False) -> None:
        """Tell how far a part of it has come."""
        self.heard = True
        now = self._clock.now_ns()
        begun = self._begun.setdefault(name, now)
        self._telling.tell(
            Progress(name, self._vertex, name, current, total, now, started_ns=begun, completed_ns=now if done else 0)
        )


class Clipped:
    """A stream of a step that is cut where it is too long or too fast, which is said once each time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begun_ns = 0
        self._size = 0
        self._clipping = False

    def pass_on(self, data: bytes) -> Sequence[bytes]:
        """Return what of this piece is to be told."""
        now = self._clock.monotonic_ns()
        self._begun_ns = self._begun_ns or now
        seconds = max(1, math.ceil((now - self._begun_ns) / _SECOND_NS))
        by_speed = seconds * MOST_BYTES_A_SECOND < MOST_BYTES
        room = min(seconds * MOST_BYTES_A_SECOND, MOST_BYTES) - self._size
        told = data[: max(room, 0)]
        self._size += len(told)
        if len(told) == len(data):
            self._clipping = False
            return (told,)
        words = () if self._clipping else (_words(by_speed),)
        self._clipping = True
        return tuple(each for each in (told, *words) if each)


def _words(by_speed: bool) -> bytes:
    limit = f"{MOST_BYTES_A_SECOND >> 10}KiB/s" if by_speed else f"{MOST_BYTES >> 20}MiB"
    return f"\n[output clipped, log limit {limit} reached]\n".encode()
