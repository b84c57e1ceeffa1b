"""The front end: `GET /metrics`, over HTTP of the standard library's."""

import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any

from moby.contracts.ambient import Log
from moby_frontend.listening.addresses import Listener, checked, listening
from moby_frontend.metrics.counting import EventCounts
from moby_frontend.metrics.exposition import CONTENT_TYPE
from moby_frontend.metrics.reach import private

__all__ = ["MetricsFrontend"]

_PATIENCE_S = 30.0
"""For a client to ask."""
_MOST_CLIENTS = 32
"""At once, of each address: others on this host may come without end, and each takes a thread of the engine's."""


class MetricsFrontend:
    """Answers Prometheus; see the contract."""

    def __init__(
        self, figures: Callable[[], bytes], counts: EventCounts, log: Log, *, addresses: Sequence[str], group: str,
        public: bool,
    ) -> None:  # fmt: skip
        self._figures, self._counts, self._log = figures, counts, log
        self._addresses, self._group, self._public = addresses, group, public
        self._servers: list[_Server] = []

    def __enter__(self) -> "MetricsFrontend":
        self._counts.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        servers, self._servers = self._servers, []
        for each in servers:
            each.close()
        self._counts.close()

    def check(self, addresses: Sequence[str] = ()) -> None:
        """Raise what `listen` would, and listen nowhere; see the contract."""
        for each in addresses or self._addresses:
            checked(each, group=self._group, check=self._check)

    def listen(self, addresses: Sequence[str] = ()) -> tuple[str, ...]:
        """Answer at these addresses too, or without any at those of its own options; see the contract."""
        opened: list[Listener] = []
        try:
            for each in addresses or self._addresses:
                opened += listening(each, group=self._group, tls=False, check=self._check)
        except BaseException:
            for listener in opened:
                listener.close()
            raise
        self._servers += [_Server(each, self._answer) for each in opened]
        return tuple(each.address for each in opened)

    def _check(self, address: str, host: str) -> None:
        private(address, host, public=self._public)

    def drain(self, timeout_s: float) -> bool:
        """Accept no more clients, and wait for those under way; see the contract."""
        deadline = time.monotonic() + timeout_s
        for each in self._servers:
            each.stop()
        return all(each.idle(deadline - time.monotonic()) for each in self._servers)

    def _answer(self) -> bytes | None:
        try:
            return self._figures()
        except Exception as error:
            self._log.error("the metrics can't be read", error=repr(error))
            return None


class _Server:
    """One listening socket; a thread accepts, and one more answers each client."""

    def __init__(self, listener: Listener, figures: Callable[[], bytes | None]) -> None:
        self._listener, self.figures = listener, figures
        self._clients: set[socket.socket] = set()
        self._under_way = 0
        self._changed = threading.Condition()
        self._end = os.eventfd(0, os.EFD_CLOEXEC)
        listener.sock.setblocking(False)
        self._thread = threading.Thread(target=self._accept, name="metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Accept no more, and hear nothing more of who is there; a repeated call does nothing."""
        if self._end >= 0:
            os.eventfd_write(self._end, 1)
            self._thread.join()
            os.close(self._end)
            self._end = -1
            self._listener.close()
            with self._changed:
                for each in self._clients:
                    with suppress(OSError):
                        each.shutdown(socket.SHUT_RD)

    def idle(self, timeout_s: float) -> bool:
        """Wait until who has asked has been answered; return whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._under_way, max(0.0, timeout_s))

    def close(self) -> None:
        """End all."""
        self.stop()
        with self._changed:
            for each in self._clients:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._clients, _PATIENCE_S)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Say that a client has asked, and is being answered."""
        with self._changed:
            self._under_way += 1
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def _accept(self) -> None:
        poll = select.poll()
        poll.register(self._end, select.POLLIN)
        poll.register(self._listener.sock, select.POLLIN)
        while self._end not in dict(poll.poll()):
            with suppress(OSError):  # it has gone away again
                sock, _ = self._listener.sock.accept()
                sock.settimeout(_PATIENCE_S)
                with self._changed:
                    if len(self._clients) >= _MOST_CLIENTS:
                        sock.close()
                        continue
                    self._clients.add(sock)
                threading.Thread(target=self._serve, args=(sock,), name="scrape", daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError), sock:  # the client has gone
            _Handler(sock, ("", 0), self)  # type: ignore[arg-type]  # which asks of its server what is here
        with self._changed:
            self._clients.discard(sock)
            self._changed.notify_all()


class _Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server_version, sys_version = "moby", ""
    server: _Server  # type: ignore[assignment]

    def do_GET(self) -> None:
        """Tell the figures."""
        with self.server.answering():
            if self.path.partition("?")[0] != "/metrics":
                self._reply(404, "text/plain; charset=utf-8", b"the figures are at /metrics\n")
                return
            found = self.server.figures()
            if found is None:
                self._reply(500, "text/plain; charset=utf-8", b"the metrics can't be read; see the engine's log\n")
            else:
                self._reply(200, CONTENT_TYPE, found)

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        """Say that there is nothing but to be read."""
        self._reply(405, "text/plain; charset=utf-8", b"the figures can only be read\n", ("Allow", "GET, HEAD"))

    do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815

    def _reply(self, status: int, kind: str, body: bytes, *more: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("Content-Type", kind), *more):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log no requests, of which there is one every few seconds."""
