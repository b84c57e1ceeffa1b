"""Sends events to a forward input, and tries again as fluent-logger-golang does: each wait half as long again."""

import base64
import os
import queue
import socket
import threading
import time
from typing import TYPE_CHECKING

from moby_log.fluentd.msgpack import mapping, text
from moby_log.fluentd.options import Settings
from moby_log.network.connections import connect

if TYPE_CHECKING:
    import ssl

__all__ = ["Event", "Queued", "Sender"]

_CONNECT_S = 3.0
_LONGEST_WAIT_S = 60.0
_GROWTH = 1.5
_LAST_S = 5.0


class Event:
    """One event: all but its option, and the id that the server is to answer with, if any."""

    __slots__ = ("acknowledgement", "data")

    def __init__(self, data: bytes, *, acknowledged: bool) -> None:
        self.acknowledgement = base64.b64encode(os.urandom(16)) if acknowledged else b""
        self.data = data + mapping({b"chunk": self.acknowledgement} if acknowledged else {})


class Sender:
    """One connection, made anew where it breaks."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._socket: socket.socket | None = None
        self._since = 0.0
        self.ending = threading.Event()
        """Set to give up waiting."""

    def connect(self) -> None:
        """Connect once; OSError where there is nobody."""
        address = self._settings.address
        self._socket = connect(address, _tls() if address.scheme == "tls" else None, timeout_s=_CONNECT_S)
        self._since = time.monotonic()

    def disconnect(self) -> None:
        """Let go; a repeated call does nothing."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        wait_s = self._settings.retry_wait_s / _GROWTH
        for _ in range(self._settings.max_retries):
            if self._socket is not None:
                return self._socket
            try:
                self.connect()
                continue
            except OSError:
                if self.ending.wait(min(wait_s, _LONGEST_WAIT_S)):
                    raise
            wait_s *= _GROWTH
        if self._socket is not None:
            return self._socket
        raise OSError(f"could not connect to fluentd after {self._settings.max_retries} retries")

    def send(self, event: Event) -> None:
        """Send an event, as often as is set; OSError where it can't be."""
        if self._settings.reconnect_s and time.monotonic() - self._since > self._settings.reconnect_s:
            self.disconnect()
        for _ in range(self._settings.max_retries):
            made = self._connected()
            try:
                made.settimeout(self._settings.write_timeout_s or None)
                made.sendall(event.data)
                if event.acknowledgement:
                    self._await(made, event.acknowledgement)
                return
            except OSError:
                self.disconnect()
                if self.ending.is_set():
                    raise
        raise OSError(f"failed to write to fluentd after {self._settings.max_retries} attempts")

    def _await(self, made: socket.socket, acknowledgement: bytes) -> None:
        """Wait for the server's answer, a map of `ack` to the id (forward protocol v1, response)."""
        made.settimeout(self._settings.read_timeout_s or None)
        expected = b"\x81" + text(b"ack") + text(acknowledgement)
        found = b""
        while len(found) < len(expected):
            more = made.recv(len(expected) - len(found))
            if not more:
                raise ConnectionError("fluentd closed the connection before it acknowledged")
            found += more
        if found != expected:
            raise ConnectionError("fluentd acknowledged something else")


def _tls() -> "ssl.SSLContext":
    import ssl  # which most logs do without

    return ssl.create_default_context()


class Queued:
    """Sends in a thread, so that nobody waits; events that find the queue full are refused."""

    def __init__(self, sender: Sender, limit: int) -> None:
        self._sender = sender
        self._queue: queue.Queue[Event | None] = queue.Queue(max(limit, 1))
        self._thread: threading.Thread | None = None
        self._limit = limit

    def send(self, event: Event) -> None:
        """Have an event sent later; OSError where too many wait."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            raise OSError(f"Buffer full, limit {self._limit}") from None

    def _run(self) -> None:
        while (event := self._queue.get()) is not None:
            try:
                self._sender.send(event)
            except OSError:
                if self._sender.ending.is_set():
                    return

    def close(self) -> None:
        """Give what waits some seconds to get away, and end."""
        if self._thread is not None:
            limit = time.monotonic() + _LAST_S
            while not self._queue.empty() and time.monotonic() < limit:
                time.sleep(0.005)
            if not self._queue.empty():
                self._sender.ending.set()
            try:
                self._queue.put(None, timeout=_LAST_S)
            except queue.Full:
                self._sender.disconnect()
            self._thread.join(_LAST_S)
        self._sender.disconnect()
