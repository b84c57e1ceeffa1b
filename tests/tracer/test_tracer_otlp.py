"""Spans to a collector, which reads them by the protocol's own published messages."""

import json
from base64 import b64encode

import pytest
from google.protobuf import json_format
from moby_tracer.otlp import exporting
from moby_tracer.otlp.exporting import Collector, Exporting
from moby_tracer.otlp.plugin import Config, make
from moby_tracer.otlp.tracer import Otlp
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from moby.contracts.ambient import Place
from moby.errors import Invalid
from moby.surroundings import SystemClock
from moby.testing.collector import Collector as Spans
from moby.testing.collector import collecting
from moby.testing.tracer import TracerSuite
from moby.testing.tracer_mutants import MUTANTS


class Log:
    def __init__(self):
        self.warnings = []

    def warning(self, message, **fields):
        self.warnings.append((message, fields))


def spans(body):
    [resource] = body["resourceSpans"]
    [scope] = resource["scopeSpans"]
    return scope["spans"]


def read(body):
    """Read a body by the published messages; ids in hex are OTLP's own, protobuf's JSON has base64."""
    data = json.loads(json.dumps(body))
    for span in spans(data):
        for name in ("traceId", "spanId", "parentSpanId"):
            if name in span:
                span[name] = b64encode(bytes.fromhex(span[name])).decode()
    return json_format.ParseDict(data, ExportTraceServiceRequest())


@pytest.fixture
def collector():
    with collecting() as found:
        yield found


def otlp(collector, log=None, ratio=1.0):
    sending = Collector.of(collector.endpoint, {"authorization": "Bearer t"})
    return Otlp(SystemClock(), Exporting(sending.send, {"service.name": "one"}, log or Log()), ratio)


class TestOtlp(TracerSuite):
    @pytest.fixture
    def tracer(self, collector):
        with otlp(collector) as found:
            yield found

    @pytest.fixture
    def told(self, tracer, collector):
        def ask():
            tracer.__exit__(None, None, None)
            for body in collector.bodies:
                read(body)
            return collector.told()

        return ask


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.name}-{mutant.test}")
def test_mutant_is_caught(mutant, collector):
    inner = otlp(collector)
    inner.__enter__()

    def ask():
        inner.__exit__(None, None, None)
        return collector.told()

    test = getattr(TracerSuite(), mutant.test)
    with pytest.raises((AssertionError, pytest.fail.Exception, ValueError, KeyError)):
        test(mutant.wrap(inner), ask, **dict(mutant.given))
    ask()


def test_what_a_collector_gets(collector):
    with otlp(collector) as tracer, tracer.span("one") as span:
        span.note(text="a", number=3, half=0.5, yes=True)
    [(path, headers, _)] = collector.seen
    assert (path, headers["authorization"], headers["Content-Type"]) == ("/v1/traces", "Bearer t", "application/json")
    [body] = collector.bodies
    [resource] = read(body).resource_spans
    assert [(each.key, each.value.string_value) for each in resource.resource.attributes] == [("service.name", "one")]
    [span] = resource.scope_spans[0].spans
    assert (span.name, len(span.trace_id), len(span.span_id)) == ("one", 16, 8)
    assert {each.key: each.value.WhichOneof("value") for each in span.attributes} == {
        "text": "string_value", "number": "int_value", "half": "double_value", "yes": "bool_value",
    }  # fmt: skip


def test_a_busy_collector_is_asked_again(collector):
    collector.answers += [503, 429]
    log = Log()
    tracer = otlp(collector, log)
    with tracer:
        with tracer.span("one"):
            pass
        wait_for(lambda: collector.bodies)
    assert [status for *_, status in collector.seen] == [503, 429, 200]
    assert (log.warnings, tracer.health()) == ([], "")


def wait_for(condition):
    from peers.sandbox import until

    until(condition, "what was to come", every_s=0.01)


def test_what_is_refused_is_dropped_and_counted(collector):
    collector.answers += [400]
    log = Log()
    tracer = otlp(collector, log)
    with tracer:
        with tracer.span("one"):
            pass
        wait_for(lambda: log.warnings)
        wait_for(tracer.health)
        assert tracer.health() == "1 spans were dropped, since no collector takes them"
        with tracer.span("other"):
            pass
    assert log.warnings == [("no collector takes the spans", {"answer": "400"})]
    [body] = collector.bodies
    [resource] = read(body).resource_spans
    assert {each.key: each.value.int_value for each in resource.resource.attributes}["moby.dropped_spans"] == 1


def test_nobody_there(monkeypatch):
    monkeypatch.setattr(exporting, "_TRIES", 1)
    log = Log()
    with Spans() as gone:
        endpoint = gone
    with otlp(endpoint, log) as tracer, tracer.span("one"):
        pass
    [(message, fields)] = log.warnings
    assert message == "no collector takes the spans"
    assert "refused" in fields["answer"]


def test_no_more_are_kept_than_fit(monkeypatch):
    monkeypatch.setattr(exporting, "_MOST_KEPT", 3)
    keeping = Exporting(lambda body: 200, {}, Log())
    tracer = Otlp(SystemClock(), keeping, 1.0)
    for _ in range(5):
        with tracer.span("one"):
            pass
    assert tracer.health() == "2 spans were dropped, since no collector takes them"


def test_a_part_of_all_traces():
    kept = []

    class Keeping:
        def add(self, span):
            kept.append(span)

    for ratio, (least, most) in {0.0: (0, 0), 0.5: (400, 600), 1.0: (1000, 1000)}.items():
        kept.clear()
        tracer = Otlp(SystemClock(), Keeping(), ratio)
        for _ in range(1000):
            with tracer.span("one"), tracer.span("in it"):
                pass
        assert 2 * least <= len(kept) <= 2 * most, ratio
        assert len({each.trace for each in kept}) * 2 == len(kept)


def test_long_words_and_many_are_cut():
    kept = []

    class Keeping:
        add = kept.append

    with Otlp(SystemClock(), Keeping(), 1.0).span("one") as span:
        span.note(long="x" * 5000)
        for number in range(100):
            span.note(**{f"n{number}": number})
    [found] = kept
    assert (len(found.attributes["long"]), len(found.attributes)) == (1024, 64)


def test_passwords_of_urls_are_masked():
    kept = []

    class Keeping:
        add = kept.append

    with pytest.raises(ValueError), Otlp(SystemClock(), Keeping(), 1.0).span("one") as span:
        span.note(at="http://u:hunter2@h/x")
        raise ValueError("can't get http://u:hunter2@h/x")
    [found] = kept
    assert (found.attributes["at"], found.message) == ("http://u:xxxxx@h/x", "can't get http://u:xxxxx@h/x")


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [("here:4318", "no address of a collector"), ("http://", "no address"), ("http://h:port", "no address"),
     ("http://h/?a=1", "no address of a collector"), ("ftp://h", "no address of a collector")],
)  # fmt: skip
def test_addresses_that_are_none(endpoint, said):
    with pytest.raises(Invalid, match=said):
        Collector.of(endpoint, {})


def test_addresses():
    assert Collector.of("https://h", {}) == Collector(True, "h", 4318, "/v1/traces", {})
    assert Collector.of("http://[::1]:1/a/", {}) == Collector(False, "::1", 1, "/a/v1/traces", {})


def test_the_part_makes_one(collector, tmp_path):
    place = Place(tmp_path, tmp_path, tmp_path, "mine")
    made = make(Config(endpoint=collector.endpoint), clock=SystemClock(), log=Log(), place=place)
    with made, made.span("one"):
        pass
    [body] = collector.bodies
    [resource] = read(body).resource_spans
    assert {each.key: each.value.string_value for each in resource.resource.attributes}["service.name"] == "mine"
