"""Mutants of a tracer: each breaks one promise of the contract, and names the test that must see it."""

from collections.abc import Callable
from typing import Any

from moby.contracts.tracer import Attribute, Origin, SpanKind, Tracer
from moby.testing.mutants import Mutant
from moby.testing.tracer import ABOVE, TRACE

__all__ = ["MUTANTS"]


class _Span:
    """A span that passes everything on; subclasses break one promise each."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __enter__(self) -> Any:
        self.inner.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        self.inner.__exit__(*error)

    def note(self, **attributes: Attribute) -> None:
        """Pass on."""
        self.inner.note(**attributes)

    def fail(self, message: str) -> None:
        """Pass on."""
        self.inner.fail(message)

    def traceparent(self) -> str:
        """Pass on."""
        return self.inner.traceparent()  # type: ignore[no-any-return]


class _Broken:
    """A tracer of such spans."""

    made: type[_Span] = _Span

    def __init__(self, inner: Tracer) -> None:
        self.inner = inner

    def span(self, name: str, *, kind: int = SpanKind.INTERNAL, origin: Origin | None = None) -> Any:
        """Pass on."""
        return self.made(self.inner.span(name, kind=kind, origin=origin))


class _ForgetsKinds(_Broken):
    def span(self, name: str, *, kind: int = SpanKind.INTERNAL, origin: Origin | None = None) -> Any:
        return self.inner.span(name, origin=origin)


class _AllAreFirst(_Broken):
    def span(self, name: str, *, kind: int = SpanKind.INTERNAL, origin: Origin | None = None) -> Any:
        return self.inner.span(name, kind=kind, origin=origin or Origin())


class _AllAreInTheFirst(_Broken):
    """Takes the first span for what all are in."""

    header = ""

    def span(self, name: str, *, kind: int = SpanKind.INTERNAL, origin: Origin | None = None) -> Any:
        found = self.inner.span(name, kind=kind, origin=origin or (Origin(self.header) if self.header else None))
        self.header = self.header or found.traceparent()
        return found


class _IgnoresOrigins(_Broken):
    def span(self, name: str, *, kind: int = SpanKind.INTERNAL, origin: Origin | None = None) -> Any:
        return self.inner.span(name, kind=kind)


class _TakesAnyHeader(_Broken):
    def span(self, name: str, *, kind: int = SpanKind.INTERNAL, origin: Origin | None = None) -> Any:
        taken = Origin(f"00-{TRACE}-{ABOVE}-01") if origin is not None else None
        return self.inner.span(name, kind=kind, origin=taken)


class _SamplesAll(_Broken):
    def span(self, name: str, *, kind: int = SpanKind.INTERNAL, origin: Origin | None = None) -> Any:
        if origin is not None and origin.traceparent.endswith("-00"):
            origin = Origin(origin.traceparent[:-1] + "1")
        return self.inner.span(name, kind=kind, origin=origin)


class _SwallowsErrors(_Span):
    def __exit__(self, *error: Any) -> Any:
        self.inner.__exit__(*error)
        return True


class _HidesErrors(_Span):
    def __exit__(self, *error: Any) -> Any:
        self.inner.__exit__(None, None, None)


class _HidesFailures(_Span):
    def fail(self, message: str) -> None:
        """Say nothing."""


class _NotesNothing(_Span):
    def note(self, **attributes: Attribute) -> None:
        """Say nothing."""


class _NotesText(_Span):
    def note(self, **attributes: Attribute) -> None:
        self.inner.note(**{name: str(value) for name, value in attributes.items()})


class _SaysNoHeader(_Span):
    def traceparent(self) -> str:
        return ""


def _with(span: type[_Span]) -> Callable[[Tracer], Tracer]:
    return type(span.__name__, (_Broken,), {"made": span})


MUTANTS = (
    Mutant(_ForgetsKinds, "test_spans_in_each_other"),
    Mutant(_AllAreFirst, "test_spans_in_each_other"),
    Mutant(_AllAreInTheFirst, "test_what_follows_is_another_trace"),
    Mutant(_AllAreInTheFirst, "test_many_at_once"),
    Mutant(_with(_SwallowsErrors), "test_an_error_ends_it_and_goes_on"),
    Mutant(_with(_HidesErrors), "test_an_error_ends_it_and_goes_on"),
    Mutant(_with(_HidesFailures), "test_an_error_ends_it_and_goes_on"),
    Mutant(_with(_NotesNothing), "test_what_is_noted"),
    Mutant(_with(_NotesText), "test_what_is_noted"),
    Mutant(_IgnoresOrigins, "test_a_trace_that_began_elsewhere"),
    Mutant(_with(_SaysNoHeader), "test_a_trace_that_began_elsewhere"),
    Mutant(_SamplesAll, "test_one_that_is_not_sampled_is_not_told"),
    Mutant(_TakesAnyHeader, "test_headers_that_make_no_sense", {"header": ""}),
    Mutant(_IgnoresOrigins, "test_headers_that_make_no_sense", {"header": "00"}),
)
