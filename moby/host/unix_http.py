"""HTTP over a Unix socket, by its path."""

import http.client
import os
import socket
from pathlib import Path

__all__ = ["UnixConnection"]


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
