"""Spans that go to a collector; see the contract."""

from types import TracebackType

from moby.contracts.ambient import Clock
from moby.contracts.tracer import Origin, Span, SpanKind
from moby_tracer.otlp.exporting import Exporting
from moby_tracer.otlp.spans import Making

__all__ = ["Otlp"]


class Otlp:
    """See the contract."""

    def __init__(self, clock: Clock, exporting: Exporting, ratio: float) -> None:
        self._exporting = exporting
        self._making = Making(clock, ratio, exporting.add)

    def __enter__(self) -> "Otlp":
        self._exporting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exporting.stop()

    def health(self) -> str:
        """Say how many spans were dropped, if any."""
        return self._exporting.health()

    def span(self, name: str, *, kind: int = SpanKind.INTERNAL, origin: Origin | None = None) -> Span:
        """Return a span to be entered."""
        return self._making.span(name, kind, origin)
