"""Spans as they are recorded: a thread's are in each other, and one that has ended is a value."""

import os
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from types import TracebackType

from attrs import define, field, frozen

from moby.contracts.ambient import Clock
from moby.contracts.tracer import Attribute, Origin, SpanKind
from moby.errors import masked

__all__ = ["Ended", "Making", "Recording"]

_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
"""`traceparent` (W3C Trace Context, 3.2); of later versions the beginning counts."""
_SAMPLED = 1
_MOST_ATTRIBUTES = 64
_LONGEST = 1024


@frozen
class Ended:
    """A span that is over."""

    trace: str
    """Hexadecimal, as all ids here."""
    id: str
    parent: str
    name: str
    kind: int
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Attribute]
    failed: bool = False
    message: str = ""
    state: str = ""
    """`tracestate`, as it came."""


@define
class Recording:
    """A span that goes on; one that isn't sampled counts for what lies in it alone."""

    making: "Making"
    trace: str
    id: str
    parent: str
    name: str
    kind: int
    sampled: bool
    state: str = ""
    attributes: dict[str, Attribute] = field(factory=dict)
    failed: bool = False
    message: str = ""
    _start_ns: int = 0
    _before: Token["Recording | None"] | None = None

    def __enter__(self) -> "Recording":
        self._before = self.making.current.set(self)
        self._start_ns = self.making.clock.now_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            self.making.current.reset(self._before)
            self._before = None
        if not self.sampled:
            return
        if error is not None:
            self.attributes["exception.type"] = type(error).__name__
            self.fail(str(error))
        self.making.done(
            Ended(
                self.trace, self.id, self.parent, self.name, self.kind, self._start_ns,
                max(self._start_ns, self.making.clock.now_ns()), self.attributes, self.failed, self.message, self.state,
            )
        )  # fmt: skip

    def note(self, **attributes: Attribute) -> None:
        """Say more of it."""
        for name, value in attributes.items():
            if self.sampled and len(self.attributes) < _MOST_ATTRIBUTES:
                self.attributes[name.replace("__", ".")] = masked(value)[:_LONGEST] if isinstance(value, str) else value

    def fail(self, message: str) -> None:
        """Say that it failed."""
        self.failed, self.message = True, masked(message)[:_LONGEST]

    def traceparent(self) -> str:
        """Return the header by which others go on with it."""
        return f"00-{self.trace}-{self.id}-01" if self.sampled else ""


@frozen
class Making:
    """Makes spans; `ratio` is of traces that begin here, `done` gets what has ended."""

    clock: Clock
    ratio: float
    done: Callable[[Ended], None]
    current: ContextVar[Recording | None] = field(factory=lambda: ContextVar("span", default=None))

    def span(self, name: str, kind: int = SpanKind.INTERNAL, origin: Origin | None = None) -> Recording:
        """Return a span to be entered."""
        around = self.current.get()
        if origin is not None and (found := _PARENT.fullmatch(origin.traceparent)):
            sampled = bool(int(found[3], 16) & _SAMPLED)
            made = Recording(self, found[1], _new(8), found[2], name, kind, sampled, origin.tracestate[:512])
        elif around is not None and origin is None:
            made = Recording(self, around.trace, _new(8), around.id, name, kind, around.sampled, around.state)
        else:
            trace = _new(16)
            # By the trace's own number, so that all who know the ratio decide alike (TraceIdRatioBased).
            made = Recording(self, trace, _new(8), "", name, kind, int(trace[16:], 16) < self.ratio * (1 << 64))
        if origin is not None:
            made.attributes.update(origin.attributes if made.sampled else {})
        return made


def _new(size: int) -> str:
    """Return an identifier, which is never all zeros."""
    while not any(data := os.urandom(size)):
        pass
    return data.hex()
