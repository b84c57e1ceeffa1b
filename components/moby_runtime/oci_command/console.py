"""The socket by which the command hands over the terminal that it has made in a container (runc, terminals.md)."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from moby.errors import Unavailable
from moby.host import terminals

__all__ = ["Console", "listening"]

_NAME = "console.sock"


@frozen
class Console:
    """Where a terminal is awaited; nowhere, where none was asked for."""

    listener: socket.socket | None = None
    path: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """What the command is told of it."""
        return ("--console-socket", self.path) if self.listener is not None else ()

    def receive(self) -> int:
        """Return the master that the command has sent by now; -1 where none was asked for."""
        if self.listener is None:
            return -1
        master = -1
        with contextlib.suppress(BlockingIOError):
            connection, _ = self.listener.accept()
            with connection:
                master = terminals.receive(connection)
        if master < 0:
            raise Unavailable("the command handed over no terminal")
        return master


@contextlib.contextmanager
def listening(folder: Path, *, wanted: bool) -> Iterator[Console]:
    """Lend a console in a folder, whose path may be longer than that of a socket."""
    if not wanted:
        yield Console()
        return
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as listener:
            # The command looks it up itself, so by our number.
            path = f"/proc/{os.getpid()}/fd/{fd}/{_NAME}"
            listener.bind(path)
            listener.listen(1)
            try:
                yield Console(listener, path)
            finally:
                (folder / _NAME).unlink(missing_ok=True)
    finally:
        os.close(fd)
