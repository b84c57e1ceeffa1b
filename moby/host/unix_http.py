"""HTTP over a Unix socket, by its path."""

import http.client
import os
import socket
import time
from pathlib import Path

from moby.errors import Denied, Unavailable

__all__ = ["PATIENCE_S", "UnixConnection", "connected"]

PATIENCE_S = 20.0
"""How long an engine that has just begun may take until it listens."""
_PAUSE_S = 0.02


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
