"""A collector of spans on the loopback, which takes OTLP over HTTP as JSON; for tests of tracers that tell so."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from moby.contracts.tracer import Attribute
from moby.testing.tracer import Told

__all__ = ["Collector", "collecting"]


class Collector(ThreadingHTTPServer):
    """Keeps what it is sent; `answers` are its next statuses, 200 after those."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[int] = []
        self.bodies: list[Mapping[str, Any]] = []
        self.seen: list[tuple[str, Mapping[str, str], int]] = []
        self.endpoint = f"http://127.0.0.1:{self.server_port}"

    def told(self) -> Sequence[Told]:
        """Return the spans of all that was taken, in the order in which they came."""
        return [_told(span) for body in self.bodies for span in _spans(body)]


@contextmanager
def collecting() -> Iterator[Collector]:
    """Lend a collector that answers."""
    with Collector() as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield found
        finally:
            found.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["content-length"]))
        status = self.server.answers.pop(0) if self.server.answers else 200
        self.server.seen.append((self.path, dict(self.headers), status))
        if status == 200:
            self.server.bodies.append(json.loads(data))
        self.send_response(status)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _spans(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for resource in body["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            yield from scope["spans"]


def _told(span: Mapping[str, Any]) -> Told:
    status = span.get("status", {})
    return Told(
        span["name"], span["traceId"], span["spanId"], span.get("parentSpanId", ""), span.get("kind", 0),
        int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"]),
        {each["key"]: _value(each["value"]) for each in span.get("attributes", ())},
        status.get("code") == 2, status.get("message", ""), span.get("traceState", ""),
    )  # fmt: skip


def _value(found: Mapping[str, Any]) -> Attribute:
    """Return an attribute's value; JSON has whole numbers as text."""
    [(kind, inner)] = found.items()
    return int(inner) if kind == "intValue" else inner
