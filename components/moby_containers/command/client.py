"""A client of the engine's own API: requests over its Unix socket, and connections that become streams."""

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from moby.errors import Unavailable
from moby.host.unix_http import PATIENCE_S, answered, connected, refusal
from moby_containers.command.answers import Answer

__all__ = ["Client", "query"]

_VERSION = "v1.47"


def query(**parameters: Any) -> str:
    """Return the query of a request; what is None or empty is left out, truth is `1`, the rest is JSON or text."""
    given = {
        key.rstrip("_"): "1" if value is True else json.dumps(value) if isinstance(value, dict) else value
        for key, value in parameters.items()
        if value not in (None, False, "", {})
    }
    return f"?{urlencode(given)}" if given else ""


class Client:
    """Calls of the API; errors are the engine's own words."""

    def __init__(self, path: Path, patience_s: float = PATIENCE_S) -> None:
        self._path = path
        self._patience_s = patience_s

    def get(self, path: str) -> Any:
        """Return what a GET answers, as JSON."""
        return self.call("GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        """Return what a POST answers, as JSON; None where it answers nothing."""
        return self.call("POST", path, body)

    def delete(self, path: str) -> Any:
        """Return what a DELETE answers."""
        return self.call("DELETE", path)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Make a call to its end."""
        answer = self.open(method, path, None if body is None else json.dumps(body).encode())
        with answer:
            text = answer.read()
        kind = answer.headers.get_content_type()
        return json.loads(text) if text.strip() and kind == "application/json" else None

    def open(
        self,
        method: str,
        path: str,
        body: Any = None,
        kind: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> http.client.HTTPResponse:
        """Begin a call, and return its answer to be read and closed; an error of the engine's is raised."""
        sent = {**(headers or {}), **({"Content-Type": kind} if body is not None else {})}
        connection = connected(self._path, self._patience_s)
        connection.response_class = Answer
        return answered(connection, method, f"/{_VERSION}{path}", body, sent)

    def lines(self, path: str) -> Iterator[Any]:
        """Yield the JSON values of an answer that goes on, as they come."""
        with self.open("GET", path) as answer:
            for line in answer:
                if line.strip():
                    yield json.loads(line)

    def hijack(self, path: str, body: Any = None) -> tuple[socket.socket, bytes]:
        """Make a connection a stream (attach); return it, and what had come of it already."""
        connection = connected(self._path, self._patience_s)
        data = b"" if body is None else json.dumps(body).encode()
        # What follows a request without a length is the stream's already.
        more = f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n" if body is not None else ""
        head = (
            f"POST /{_VERSION}{path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n{more}\r\n"
        )
        sock: socket.socket = connection.sock
        sock.sendall(head.encode() + data)
        received = b""
        while b"\r\n\r\n" not in received:
            chunk = sock.recv(65536)
            if not chunk:
                sock.close()
                raise Unavailable("the engine closed the connection", hint="see its log, and do it again")
            received += chunk
        top, _, rest = received.partition(b"\r\n\r\n")
        status = int(top.split(b" ", 2)[1])
        if status not in (101, 200):
            with sock, sock.makefile("rb") as remaining:
                length = next((int(line[15:]) for line in top.split(b"\r\n") if line.lower()[:15] == _LENGTH), 0)
                raise refusal(status, rest + remaining.read(max(0, length - len(rest))))
        return sock, rest

    def connection(self) -> socket.socket:
        """Return a connection with nothing said yet."""
        sock: socket.socket = connected(self._path, self._patience_s).sock
        return sock


_LENGTH = b"content-length:"
