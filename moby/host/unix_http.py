"""HTTP over a Unix socket, by its path; and what an engine answers there."""

import http.client
import json
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moby.errors import Conflict, Denied, Invalid, MobyError, NotFound, Unavailable, Unsupported

__all__ = ["PATIENCE_S", "UnixConnection", "answered", "connected", "refusal", "unanswered"]

PATIENCE_S = 20.0
"""How long an engine that has just begun may take until it listens."""
_PAUSE_S = 0.02
_KINDS: Mapping[int, type[MobyError]] = {
    400: Invalid, 401: Denied, 403: Denied, 404: NotFound, 409: Conflict, 501: Unsupported, 503: Unavailable,
}  # fmt: skip


class UnixConnection(http.client.HTTPConnection):
    """A connection of the standard library's client to a socket in the file system."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        """Connect, also where the path is longer than an address of a socket may be (unix(7))."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        folder = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.sock.connect(f"/proc/self/fd/{folder}/{self._path.name}")
        except BaseException:
            self.sock.close()
            raise
        finally:
            os.close(folder)


def connected(path: Path, patience_s: float = PATIENCE_S) -> UnixConnection:
    """Return a connection to an engine's socket, once it listens; Unavailable where it doesn't, Denied by the host."""
    deadline = time.monotonic() + patience_s
    while True:
        connection = UnixConnection(path)
        try:
            connection.connect()
        except (FileNotFoundError, ConnectionRefusedError) as error:
            if time.monotonic() > deadline:
                hint = "see its log; or end it and do it again"
                raise Unavailable(f"the engine doesn't answer at {path}", hint=hint) from error
            time.sleep(_PAUSE_S)
        except OSError as error:
            raise Denied(f"can't connect to {path}: {error.strerror}", hint="do it as its owner") from error
        else:
            return connection


def answered(
    connection: UnixConnection, method: str, target: str, body: Any, headers: Mapping[str, str]
) -> http.client.HTTPResponse:
    """Make the only request of a connection, and return its answer, to be read and closed.

    What the engine refuses is raised in its words, as docker's clients print them.
    """
    try:
        connection.request(method, target, body, dict(headers))
        answer = connection.getresponse()
    except (http.client.HTTPException, OSError) as error:
        connection.close()
        raise unanswered(error) from error
    if connection.sock is not None:
        connection.sock.close()  # for good once the answer is closed, which reads by it
    if answer.status >= 400:
        with answer:
            raise refusal(answer.status, answer.read())
    return answer


def unanswered(error: Exception) -> Unavailable:
    """Return what it comes to that an engine didn't answer."""
    return Unavailable(f"the engine didn't answer: {error}", hint="see its log, and do it again")


def refusal(status: int, body: bytes, before: str = "Error response from daemon: ") -> MobyError:
    """Return the error that an answer tells."""
    try:
        text = str(json.loads(body)["message"])
    except (ValueError, LookupError, TypeError):
        text = body.decode(errors="replace").strip() or f"status {status}"
    return _KINDS.get(status, MobyError)(f"{before}{text}")
