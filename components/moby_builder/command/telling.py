"""What a build has told so far, step by step."""

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import define, field

from moby.contracts.builder import Event, Finding, Log, Progress, Vertex

if TYPE_CHECKING:
    from moby.contracts.types import Digest

__all__ = ["Step", "Told", "duration", "printable", "size"]

_TAIL = 10
"""Lines of a step that are shown where it fails."""
_CONTROLS = dict.fromkeys((*range(9), *range(11, 32), 127))


@define
class Step:
    """A step that has begun."""

    number: int
    vertex: Vertex
    progress: dict[str, Progress] = field(factory=dict)
    tail: deque[str] = field(factory=lambda: deque(maxlen=_TAIL))
    _partial: dict[int, bytes] = field(factory=dict)

    @property
    def over(self) -> bool:
        """Whether nothing follows."""
        return bool(self.vertex.completed_ns)

    def seconds(self, now_ns: int) -> float:
        """Return how long it took, until now where it goes on."""
        return max(0, (self.vertex.completed_ns or now_ns) - (self.vertex.started_ns or now_ns)) / 1e9

    def lines(self, log: Log) -> Iterator[str]:
        """Yield lines that are whole by now, with the time since its begin."""
        *whole, rest = (self._partial.pop(log.stream, b"") + log.data).split(b"\n")
        if rest:
            self._partial[log.stream] = rest
        for each in whole:
            yield self._kept(each, log.time_ns)

    def rest(self) -> Iterator[str]:
        """Yield what never became a whole line."""
        for stream in sorted(self._partial):
            yield self._kept(self._partial.pop(stream), self.vertex.completed_ns)

    def _kept(self, data: bytes, time_ns: int) -> str:
        seconds = max(0, time_ns - self.vertex.started_ns) / 1e9 if time_ns else 0.0
        text = f"{seconds:.3f} {data.decode(errors='replace').rstrip()}"
        self.tail.append(text)
        return text


class Told:
    """All steps that have begun, in that order, and what was found."""

    def __init__(self) -> None:
        self.steps: dict[Digest, Step] = {}
        self.known: set[Digest] = set()
        self.findings: list[Finding] = []

    def feed(self, event: Event) -> Step | None:
        """Take an event; return the step that it changes, if there is one that has begun."""
        if isinstance(event, Finding):
            self.findings.append(event)
            return None
        if isinstance(event, Vertex):
            self.known.add(event.digest)
            if event.digest not in self.steps and not (event.started_ns or event.completed_ns):
                return None
            step = self.steps.setdefault(event.digest, Step(len(self.steps) + 1, event))
            step.vertex = event
            return step
        step = self.steps.get(event.vertex) if isinstance(event, Log | Progress) else None  # type: ignore[assignment]
        if step is not None and isinstance(event, Progress):
            step.progress[event.id] = event
        return step


def duration(seconds: float) -> str:
    """Return a time as it is shown."""
    return f"{seconds:.1f}s"


def size(size_bytes: float) -> str:
    """Return a size in units of thousands: `1.23MB`."""
    units = iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while size_bytes >= 1000 and (more := next(units, "")):
        size_bytes, unit = size_bytes / 1000, more
    return f"{size_bytes:.2f}{unit}" if unit != "B" else f"{size_bytes:.0f}B"


def printable(text: str) -> str:
    """Return a line without what moves a terminal's cursor, or changes its colours."""
    return text.translate(_CONTROLS)
