"""The way of a terminal, which is made inside, to the caller, who gets its master."""

from __future__ import annotations

import os
import termios  # noqa: F401 - of the container's own side, which can't import it

from moby.contracts.streams import Stdio
from moby.host import terminals
from moby.host.lean import send_descriptor, sockets
from moby.values import frozen
from moby_runtime.records.failures import Failed, Failure, doing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from moby.host.blocks import Undo

__all__ = ["NO_CONSOLE", "Console", "console_of", "take"]


@frozen
class Console:
    """Where a terminal is asked for: the caller's end, and the child's, of the socket that its master comes by."""

    ours: int = -1
    child: int = -1

    def receive(self) -> int:
        """Return the master that a ready child has sent; -1 where none was asked for."""
        if self.ours < 0:
            return -1
        receiver = sockets.socket(fileno=os.dup(self.ours))
        try:
            master = terminals.receive(receiver)
        finally:
            receiver.close()
        if master < 0:
            raise Failed(Failure("take over the terminal", "process.terminal", 0, "none came"))
        return master


NO_CONSOLE = Console()


def console_of(stdio: Stdio, undo: Undo) -> tuple[Console, Stdio]:
    """Return what brings a terminal over, and the streams to begin with, which with a terminal are none.

    `undo` closes what is open for it.
    """
    if not stdio.terminal:
        return NO_CONSOLE, stdio
    ours, child = sockets.socketpair()
    undo.callback(ours.close)
    undo.callback(child.close)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    undo.callback(os.close, null)
    return Console(ours.fileno(), child.fileno()), Stdio(null, null, null, extra=stdio.extra)


def take(console: int, open_below: Callable[[str, int], int]) -> None:
    """Make a terminal of the devpts in a root, send its master out, and make its other end 0, 1 and 2."""
    with doing("make a terminal of the container's /dev/pts", "process.terminal"):
        master, slave = terminals.open_pair(open_below)
        sender = sockets.socket(fileno=console)
        try:
            send_descriptor(sender, b"t", master)
        finally:
            sender.close()
        os.close(master)
        for number in range(3):
            os.dup2(slave, number)
        if slave > 2:
            os.close(slave)
