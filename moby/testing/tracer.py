"""The conformance suite of the kind `tracer`; `moby.testing.tracer_mutants` holds what it must fail."""

import re
import threading
from collections.abc import Callable, Mapping, Sequence

import pytest

from moby.contracts.tracer import Attribute, Origin, SpanKind, Tracer
from moby.values import field, frozen

__all__ = ["Told", "TracerSuite"]

TRACE, ABOVE = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@frozen
class Told:
    """A span as whoever looks at traces gets it; ids in hexadecimal."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Attribute] = field(factory=dict)
    failed: bool = False
    message: str = ""
    state: str = ""


Ask = Callable[[], Sequence[Told]]


class TracerSuite:
    """What every tracer must do. A subclass brings the fixtures `tracer` and `told`."""

    @pytest.fixture
    def tracer(self) -> Tracer:
        """Return the part under test, started, which keeps all traces."""
        raise NotImplementedError

    @pytest.fixture
    def told(self, tracer: Tracer) -> Ask:
        """Return a function that stops the part, and returns what it has told on, in the order in which it ended."""
        raise NotImplementedError

    def test_spans_in_each_other(self, tracer: Tracer, told: Ask) -> None:
        """They are of one trace, name the one that they are in, and last no longer."""
        with tracer.span("outer"):
            with tracer.span("first"):
                pass
            with tracer.span("second", kind=SpanKind.CLIENT):
                pass
        found = {each.name: each for each in told()}
        assert set(found) == {"outer", "first", "second"}
        outer = found["outer"]
        assert (outer.parent, outer.kind, found["second"].kind) == ("", SpanKind.INTERNAL, SpanKind.CLIENT)
        for each in (found["first"], found["second"]):
            assert (each.trace, each.parent) == (outer.trace, outer.id)
            assert outer.start_ns <= each.start_ns <= each.end_ns <= outer.end_ns
        assert len({each.id for each in found.values()}) == 3

    def test_what_follows_is_another_trace(self, tracer: Tracer, told: Ask) -> None:
        """Nothing of one that has ended goes on."""
        with tracer.span("one"):
            pass
        with tracer.span("other"):
            pass
        one, other = told()
        assert one.trace != other.trace
        assert other.parent == ""

    def test_threads_have_their_own(self, tracer: Tracer, told: Ask) -> None:
        """What begins in another thread isn't in what this one is in."""

        def work() -> None:
            with tracer.span("beside"):
                pass

        with tracer.span("here"):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        found = {each.name: each for each in told()}
        assert found["beside"].parent == ""
        assert found["beside"].trace != found["here"].trace

    def test_an_error_ends_it_and_goes_on(self, tracer: Tracer, told: Ask) -> None:
        """The span says so, and so does one that is said to have failed."""
        with pytest.raises(LookupError, match="not there"), tracer.span("broken"):
            raise LookupError("not there")
        with tracer.span("refused") as span:
            span.fail("no room")
        with tracer.span("well"):
            pass
        broken, refused, well = told()
        assert (broken.failed, broken.message) == (True, "not there")
        assert broken.attributes["exception.type"] == "LookupError"
        assert (refused.failed, refused.message, well.failed) == (True, "no room", False)

    def test_what_is_noted(self, tracer: Tracer, told: Ask) -> None:
        """Of each type, by names with dots; the last value holds."""
        with tracer.span("noted") as span:
            span.note(a__b="text", number=1 << 60, part=0.5, yes=True)
            span.note(number=2)
        [found] = told()
        assert dict(found.attributes) == {"a.b": "text", "number": 2, "part": 0.5, "yes": True}

    def test_a_trace_that_began_elsewhere(self, tracer: Tracer, told: Ask) -> None:
        """Goes on under its number, with what was said of it; whoever is called gets it likewise."""
        origin = Origin(f"00-{TRACE}-{ABOVE}-01", "vendor=1", {"from": "afar"})
        with tracer.span("ours", kind=SpanKind.SERVER, origin=origin) as span:
            header = span.traceparent()
        [found] = told()
        assert (found.trace, found.parent, found.state) == (TRACE, ABOVE, "vendor=1")
        assert found.attributes == {"from": "afar"}
        assert header == f"00-{TRACE}-{found.id}-01"

    def test_one_that_is_not_sampled_is_not_told(self, tracer: Tracer, told: Ask) -> None:
        """Nor what lies in it."""
        with tracer.span("out", origin=Origin(f"00-{TRACE}-{ABOVE}-00")) as span:
            assert span.traceparent() == ""
            with tracer.span("in"):
                pass
        with tracer.span("after"):
            pass
        assert [each.name for each in told()] == ["after"]

    @pytest.mark.parametrize(
        "header",
        [
            "", "00", f"00-{TRACE}-{ABOVE}", f"ff-{TRACE}-{ABOVE}-01", f"00-{'0' * 32}-{ABOVE}-01",
            f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE.upper()}-{ABOVE}-01", f"00-{TRACE}-{ABOVE}-01\n", "x" * 10_000,
        ],
        ids=["none", "version", "short", "ff", "no-trace", "no-span", "capitals", "newline", "long"],
    )  # fmt: skip
    def test_headers_that_make_no_sense(self, tracer: Tracer, told: Ask, header: str) -> None:
        """A trace begins (W3C Trace Context, 3.2.2.5); it doesn't go on with the one that this thread is in."""
        with tracer.span("around"), tracer.span("anew", origin=Origin(header)):
            pass
        found = {each.name: each for each in told()}
        assert found["anew"].parent == ""
        assert found["anew"].trace not in (TRACE, found["around"].trace)
        assert re.fullmatch("[0-9a-f]{32}", found["anew"].trace)

    def test_many_at_once(self, tracer: Tracer, told: Ask) -> None:
        """All are told of, each with its own."""

        def work(number: int) -> None:
            for _ in range(20):
                with tracer.span(f"outer{number}"), tracer.span(f"inner{number}"):
                    pass

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        found = told()
        assert len(found) == 320
        names = {each.id: each.name for each in found}
        for span in found:
            if span.parent:
                assert names[span.parent] == span.name.replace("inner", "outer")
