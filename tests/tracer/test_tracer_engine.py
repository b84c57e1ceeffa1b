"""An engine with a tracer: what a client asks is a trace, and each call from part to part a span in it."""

import json
import sys

import pytest
from clients.engine import Moby, opened
from peers.assembled import assembled
from peers.box import NAME, archive
from peers.sandbox import until

from moby.contracts.events import Events
from moby.engine.traced import traced

TRACE, ABOVE = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ASSEMBLY = """\
moby: 1
name: docker
extends: [docker]
components:
  tracer: {use: otlp, config: {endpoint: "http://127.0.0.1:4318"}}
"""
COLLECTOR = """\
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        data = self.rfile.read(int(self.headers["content-length"]))
        with open("/var/lib/peers/traces", "ab") as out:
            out.write(data + b"\\n")
        self.send_response(200)
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", 4318), Handler)
print("listening", flush=True)
server.serve_forever()
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("traced")
    image = archive(folder / "image.tar", folder / "rootfs")
    with opened(Moby, folder, image, distribution=assembled(folder, "docker", ASSEMBLY)) as found:
        collector = found.sandbox.start(sys.executable, "-c", COLLECTOR, log=folder / "collector.log")
        until(lambda: "listening" in (folder / "collector.log").read_text(), "who takes the traces")
        yield found
        found.remove_all()
        collector.kill()
        collector.wait()


def spans(engine):
    path = engine.sandbox.seen("/var/lib/peers/traces")
    lines = path.read_text().rpartition("\n")[0].splitlines() if path.exists() else []  # whole ones
    found = [json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"] for line in lines]
    return [span for batch in found for span in batch]


def named(engine, name):
    return [each for each in spans(engine) if each["name"] == name]


def attributes(span):
    return {each["key"]: next(iter(each["value"].values())) for each in span["attributes"]}


@pytest.mark.slow
def test_a_run_is_seen_as_what_it_does(engine):
    assert engine.said("true") == ""
    [create] = until(lambda: named(engine, "POST /containers/create"), "the span of a call")[-1:]
    until(lambda: named(engine, "POST /containers/{name}/start"), "the span of the next call")
    found = attributes(create)
    assert (create["kind"], found["http.request.method"], found["http.response.status_code"]) == (2, "POST", "201")
    assert found["url.path"].endswith("/containers/create")
    inside = {each["name"]: each for each in spans(engine) if each["traceId"] == create["traceId"]}
    assert attributes(inside["containers.create"])["moby.part"] == "containers/engine"
    assert inside["containers.create"]["parentSpanId"] == create["spanId"]
    deeper = [each for each in inside.values() if each.get("parentSpanId") == inside["containers.create"]["spanId"]]
    assert any(each["name"].startswith("images.") for each in deeper), "parts below are called within it"


@pytest.mark.slow
def test_a_clients_trace_goes_on(engine):
    words = ["curl", "-s", "--unix-socket", "/run/docker.sock", "-H", f"traceparent: 00-{TRACE}-{ABOVE}-01"]
    engine.sandbox.run(*words, "http://d/containers/nowhere/json")
    [span] = until(
        lambda: [each for each in named(engine, "GET /containers/{name}/json") if each["traceId"] == TRACE], "its span"
    )
    assert span["parentSpanId"] == ABOVE
    assert attributes(span)["http.response.status_code"] == "404"
    assert attributes(span)["error.type"] == "NotFound"
    assert "status" not in span, "what a client asks amiss is no failure of the engine's"


@pytest.mark.slow
def test_it_is_told_of_in_the_states(engine):
    assert engine.out("images", "--format", "{{.Repository}}:{{.Tag}}") == NAME
    assert '"tracer/otlp"' in engine.verb("components", "--json").stdout


def test_what_a_part_has_besides_its_contract_is_passed_on():
    class Part:
        name = "one"

        def publish(self, event):
            return event

        def health(self):
            return "well"

    class Span:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            """End."""

        def note(self, **said):
            told.append(said)

    class Tracer:
        def span(self, name):
            told.append(name)
            return Span()

    told = []
    found = traced(Part(), Events, "events/one", Tracer())
    assert (found.publish(3), found.publish(event=4), found.health(), found.name) == (3, 4, "well", "one")
    assert told == ["events.publish", {"moby__part": "events/one"}] * 2
    with pytest.raises(AttributeError):
        found.nothing  # noqa: B018
