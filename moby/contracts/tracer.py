"""The kind `tracer`: records what an engine does, for those who look for where time goes.

An engine without one pays nothing. In an engine with one every call from part to part is a span, and front ends begin
one for each request of a client. Source: OpenTelemetry (specification, Trace API), W3C Trace Context.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol

from moby.contracts.kind import contract
from moby.values import field, frozen

__all__ = ["Attribute", "Origin", "Span", "SpanKind", "Tracer", "TracerFeature"]

Attribute = str | int | float | bool


class TracerFeature:
    """Names of what a tracer may have; what its component offers."""

    OTLP = "otlp"
    """It tells by OTLP over HTTP, as JSON, to the address that is its option `endpoint`."""


class SpanKind:
    """What a span is in its trace, by OpenTelemetry's numbers."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3


@frozen
class Origin:
    """Where a trace comes from that began elsewhere: the headers of a request."""

    traceparent: str = ""
    tracestate: str = ""
    attributes: Mapping[str, Attribute] = field(factory=dict)


class Span(Protocol):
    """A piece of work; it begins when it is entered and ends when it is left, in one thread."""

    def __enter__(self) -> "Span":
        """Begin it; spans that begin in this thread until it ends lie in it."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it; with an error it has failed, which is told of and goes on."""
        ...

    def note(self, **attributes: Attribute) -> None:
        """Say more of it; dots in names are written `__`."""
        ...

    def fail(self, message: str) -> None:
        """Say that it failed, where no error says so."""
        ...

    def traceparent(self) -> str:
        """Return the header by which others go on with this trace; empty where it isn't recorded."""
        ...


@contract("tracer", version=1)
class Tracer(Protocol):
    """Records spans. Thread-safe; no call waits for anybody, or raises.

    What can't be told on is dropped, and counted.
    """

    def span(self, name: str, *, kind: int = SpanKind.INTERNAL, origin: Origin | None = None) -> Span:
        """Return a span to be entered: in this thread's present one, or in that of an origin, or the first of all.

        An origin that isn't sampled, or makes no sense, is as the W3C's recommendation has it: the one isn't recorded,
        the other begins anew.
        """
        ...
