"""Sending spans on, from a thread of its own: in batches, again where a collector is busy, never more than fit."""

import http.client
import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen

from moby.contracts.ambient import Log
from moby.contracts.tracer import Attribute
from moby.errors import Invalid
from moby_tracer.otlp.encoding import request
from moby_tracer.otlp.spans import Ended

__all__ = ["Collector", "Exporting"]

_MOST_KEPT = 4096
_BATCH = 512
_EVERY_S = 2.0
_PATIENCE_S = 10.0
_TRIES = 4
_RETRIED = {429, 502, 503, 504}
"""OTLP, failures that are tried again."""


@frozen
class Collector:
    """Where spans go: an address as OTEL_EXPORTER_OTLP_ENDPOINT has it, without `/v1/traces`."""

    secure: bool
    host: str
    port: int
    path: str
    headers: Mapping[str, str]

    @classmethod
    def of(cls, endpoint: str, headers: Mapping[str, str]) -> "Collector":
        """Read an address; Invalid for one that is none."""
        try:
            parts = urlsplit(endpoint)
            port = parts.port
        except ValueError as error:
            raise Invalid(f"{endpoint!r} is no address: {error}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            hint = "write it as http://HOST:4318, where a collector takes OTLP over HTTP"
            raise Invalid(f"{endpoint!r} is no address of a collector", hint=hint)
        secure = parts.scheme == "https"
        return cls(secure, parts.hostname, port or 4318, f"{parts.path.rstrip('/')}/v1/traces", headers)

    def send(self, body: bytes) -> int:
        """Send a batch; return the status of the answer."""
        kind = http.client.HTTPSConnection if self.secure else http.client.HTTPConnection
        connection = kind(self.host, self.port, timeout=_PATIENCE_S)
        try:
            connection.request("POST", self.path, body, {**self.headers, "Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read(1 << 16)
            return answer.status
        finally:
            connection.close()


class Exporting:
    """Keeps what has ended until it is sent."""

    def __init__(self, send: Callable[[bytes], int], resource: Mapping[str, Attribute], log: Log) -> None:
        self._send = send
        self._resource = resource
        self._log = log
        self._kept: deque[Ended] = deque()
        self._change = threading.Condition()
        self._ending = False
        self._dropped = 0
        self._said = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to send."""
        self._thread = threading.Thread(target=self._work, name="tracer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send what is left, if a collector takes it at once, and end."""
        with self._change:
            self._ending = True
            self._change.notify()
        if self._thread is not None:
            self._thread.join(_PATIENCE_S)

    def add(self, span: Ended) -> None:
        """Keep a span, or drop it where too many are kept."""
        with self._change:
            if len(self._kept) >= _MOST_KEPT:
                self._dropped += 1
                return
            self._kept.append(span)
            if len(self._kept) in (1, _BATCH):
                self._change.notify()

    def health(self) -> str:
        """Say how many were dropped, if any."""
        with self._change:
            return f"{self._dropped} spans were dropped, since no collector takes them" if self._dropped else ""

    def _work(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._ending or self._kept)
                self._change.wait_for(lambda: self._ending or len(self._kept) >= _BATCH, _EVERY_S)
                batch = [self._kept.popleft() for _ in range(min(_BATCH, len(self._kept)))]
                ending, dropped = self._ending, self._dropped
            if batch and not self._sent(batch, dropped):
                with self._change:
                    self._dropped += len(batch)
            if ending and not batch:
                return

    def _sent(self, batch: list[Ended], dropped: int) -> bool:
        body = json.dumps(request(self._resource, batch, dropped), separators=(",", ":")).encode()
        for number in range(_TRIES):
            told: Any
            try:
                told = self._send(body)
            except (OSError, http.client.HTTPException) as error:
                told = error
            if told in range(200, 300):
                self._said = False
                return True
            if isinstance(told, int) and told not in _RETRIED:
                break
            with self._change:
                if self._ending:
                    break
                self._change.wait(0.1 * 4**number)
        if not self._said:
            self._said = True
            self._log.warning("no collector takes the spans", answer=str(told))
        return False
