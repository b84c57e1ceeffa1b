"""Copies between descriptors: each with its own back-pressure and its own end."""

import os
import select
import stat
from collections.abc import Callable

from attrs import define

__all__ = ["Copy", "Pump"]

_READ = 1 << 16
_WRITE = select.PIPE_BUF
"""What a descriptor that polls writable takes without blocking (pipe(7)); others may use it, so it stays blocking."""


@define(eq=False)
class Copy:
    """One direction: reads only once everything read before is written, and ends with its source or its sink."""

    source: int
    sink: int
    at_end: Callable[[], None]
    """Called once; closes whichever end is ours."""
    pending: bytes = b""
    ended: bool = False

    def interest(self) -> tuple[int, int]:
        """Return the descriptor to wait for, and for what."""
        return (self.sink, select.POLLOUT) if self.pending else (self.source, select.POLLIN)

    def step(self) -> None:
        """Read or write once; call it when the descriptor of `interest` has something."""
        try:
            if self.pending:
                self._write()
            else:
                self.pending = os.read(self.source, _READ)
                if not self.pending:
                    self.end()
        except BlockingIOError:
            pass
        except OSError:
            # EPIPE: nobody reads any more. EIO: the other end of a terminal is closed. EBADF: there never was one.
            self.end()

    def _write(self) -> None:
        whole = stat.S_ISREG(os.fstat(self.sink).st_mode)
        self.pending = self.pending[os.write(self.sink, self.pending if whole else self.pending[:_WRITE]) :]

    def end(self) -> None:
        """Stop; twice is fine."""
        if not self.ended:
            self.ended, self.pending = True, b""
            self.at_end()


@define(eq=False)
class Pump:
    """Runs copies until a task has stopped and all that it wrote has arrived."""

    outputs: tuple[Copy, ...]
    inputs: tuple[Copy, ...]
    exit_fd: int
    signal_fd: int
    on_signal: Callable[[], None]
    terminal_fd: int = -1
    on_hang_up: Callable[[], None] = lambda: None
    """Called once, when the terminal has hung up."""

    def run(self) -> None:
        """Copy, and call `on_signal` when there are signals; returns once nothing is left to do."""
        stopped, watching = False, self.terminal_fd >= 0
        while True:
            copies = [each for each in (*self.outputs, *(() if stopped else self.inputs)) if not each.ended]
            waiting = {each.interest()[0]: each for each in copies}
            poll = select.poll()
            for each in copies:
                poll.register(*each.interest())
            poll.register(self.signal_fd, select.POLLIN)
            if not stopped:
                poll.register(self.exit_fd, select.POLLIN)
                if watching:
                    poll.register(self.terminal_fd, 0)  # POLLHUP comes unasked
            # A stopped task wrote all that it ever will: what can't be read now is nothing.
            drained = stopped and not any(each.pending for each in copies)
            ready = [descriptor for descriptor, _ in poll.poll(0 if drained else None)]
            if drained and not any(each in waiting for each in ready):
                return
            for descriptor in ready:
                if descriptor == self.signal_fd:
                    self.on_signal()
                elif descriptor in waiting:
                    waiting[descriptor].step()
                elif descriptor == self.terminal_fd:
                    watching = False
                    self.on_hang_up()
                elif descriptor == self.exit_fd:
                    stopped = True
