"""Progress as lines, for logs and pipes (buildx, --progress plain)."""

from collections.abc import Iterator

from moby.contracts.builder import Event, Log, Progress, Vertex
from moby_builder.command.telling import Step, Told, duration, size

__all__ = ["Plain"]

_QUIET_NS = 1_000_000_000
"""After so much silence of the step that is shown, another may speak."""


class Plain:
    """Events in, lines out. Steps that go on side by side take turns, so that what one says stays together."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._at: Step | None = None
        self._spoke_ns = 0
        self._held: dict[int, list[str]] = {}
        self._shown: dict[int, set[str]] = {}
        self._steps: dict[int, Step] = {}

    def feed(self, event: Event, step: Step | None, now_ns: int) -> Iterator[str]:
        """Yield lines after an event."""
        if step is None or not step.vertex.name:
            return
        self._steps[step.number] = step
        lines = self._held.setdefault(step.number, [])
        lines += self._lines(event, step)
        if self._at is None or self._at is step:
            yield from self._speak(step, now_ns)
        yield from self.tick(now_ns)

    def tick(self, now_ns: int) -> Iterator[str]:
        """Yield what others say once it is their turn."""
        while self._at is None or now_ns - self._spoke_ns > _QUIET_NS:
            waiting = [number for number, lines in self._held.items() if lines]
            if not waiting:
                return
            if self._at is not None:
                yield f"#{self._at.number} ..."
                yield ""
                self._at = None
            yield from self._speak(self._steps[waiting[0]], now_ns)

    def end(self) -> Iterator[str]:
        """Yield what is left."""
        for number, lines in self._held.items():
            if lines:
                self._at = None
                yield from self._speak(self._steps[number], 0)

    def _speak(self, step: Step, now_ns: int) -> Iterator[str]:
        lines = self._held.pop(step.number, [])
        if not lines:
            return
        if self._at is not step:
            yield f"#{step.number} {step.vertex.name}"
        self._at, self._spoke_ns = step, now_ns
        yield from (f"#{step.number} {line}" for line in lines)
        if step.over:
            self._at = None
            yield ""

    def _lines(self, event: Event, step: Step) -> Iterator[str]:
        if isinstance(event, Log):
            yield from step.lines(event)
        elif isinstance(event, Progress):
            shown = self._shown.setdefault(step.number, set())
            if event.completed_ns and event.id not in shown:
                shown.add(event.id)
                yield " ".join(filter(None, (event.name or event.id, _amount(event), _took(event), "done")))
        elif isinstance(event, Vertex) and event.completed_ns:
            yield from step.rest()
            yield _end(step)


def _amount(event: Progress) -> str:
    if event.total:
        return f"{size(event.current)} / {size(event.total)}"
    return size(event.current) if event.current else ""


def _took(event: Progress) -> str:
    seconds = (event.completed_ns - event.started_ns) / 1e9 if event.started_ns else 0
    return duration(seconds) if seconds >= 0.1 else ""


def _end(step: Step) -> str:
    if step.vertex.error:
        return "CANCELED" if "cancel" in step.vertex.error else f"ERROR: {step.vertex.error}"
    return "CACHED" if step.vertex.cached else f"DONE {duration(step.seconds(0))}"
