"""The socket at which a container waits for its start, in the folder of its record."""

from __future__ import annotations

import os

from moby.host.blocks import suppress
from moby.host.lean import accept, sockets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GO", "Gate", "asked"]

GO = b"S"
_NAME = "start.sock"
_LONGEST = 107
"""Of a socket's path in bytes (unix(7))."""


def asked(listener: int) -> int:
    """Wait until somebody says to start; return the connection by which that was said.

    Whoever hangs up without a word only wanted to know if this still waits.
    """
    listening = sockets.socket(fileno=listener)
    try:
        while True:
            connection = accept(listening)
            if os.read(connection, 1) == GO:
                return connection
            os.close(connection)
    finally:
        listening.detach()  # it listens until this is a program


class Gate:
    """Where one container waits. The kernel says by it whether the container still does."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def listen(self) -> sockets.socket:
        """Make the socket, for the container's first process; the caller closes it."""
        listener = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        try:
            self._at_address(listener.bind)
            listener.listen(64)
        except BaseException:
            listener.close()
            raise
        return listener

    def connect(self) -> sockets.socket:
        """Return a connection, for who says to start; OSError where nobody waits."""
        connection = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        try:
            self._at_address(connection.connect)
        except BaseException:
            connection.close()
            raise
        return connection

    def waits(self) -> bool:
        """Whether the first process still waits for its start: it listens, until it is a program."""
        connection = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM | sockets.SOCK_NONBLOCK)
        try:
            self._at_address(connection.connect)
        except BlockingIOError:  # it listens, but has been asked very often
            return True
        except OSError:
            return False
        finally:
            connection.close()
        return True

    def _at_address(self, action: Callable[[str], object]) -> None:
        """Do something with the socket's path, or with a short one where that is too long."""
        path = f"{self._folder}/{_NAME}"
        if len(os.fsencode(path)) <= _LONGEST:
            action(path)
            return
        fd = os.open(self._folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            action(f"/proc/self/fd/{fd}/{_NAME}")
        finally:
            os.close(fd)

    def remove(self) -> None:
        """Remove the socket, once it has served."""
        with suppress(FileNotFoundError):
            os.unlink(f"{self._folder}/{_NAME}")
