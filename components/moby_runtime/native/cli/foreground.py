"""A process in the foreground: its end is awaited, signals are passed on, and a terminal is copied."""

from __future__ import annotations

import fcntl
import os
import select

from moby.errors import Invalid
from moby.host.blocks import Undo, suppress
from moby.host.lean import signals
from moby.host.processes import reap, send_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from moby.contracts.runtime_values import Process
    from moby_runtime.native.cli.notify import Relay

__all__ = ["Foreground"]

_OWN = frozenset({signals.SIGKILL, signals.SIGSTOP, signals.SIGCHLD, signals.SIGPIPE})
"""Those that can't be caught, or tell this process something."""
_CHUNK = 4096
"""What a pipe that is ready takes without blocking (PIPE_BUF, pipe(7))."""


class Foreground:
    """What this process has to give back: its handlers of signals, and the mode of its terminal."""

    def __init__(self, *, terminal: bool) -> None:
        self._undo = Undo()
        self._own_terminal = _own_terminal(self._undo) if terminal else -1

    def __enter__(self) -> Foreground:
        read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._signals = read
        signals.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number in signals.valid_signals() - _OWN:
            # Whoever had it ignored, as nohup(1) has SIGHUP, keeps the container from it too.
            if signals.getsignal(number) is not signals.SIG_IGN:
                signals.signal(number, _noted)
        return self

    def __exit__(self, *error: object) -> None:
        self._undo.close()

    def window(self) -> tuple[int, int]:
        """Return the rows and columns of our own terminal, which the process's shall have from its start."""
        size = os.get_terminal_size(self._own_terminal)
        return size.lines, size.columns

    def attend(self, process: Process, relay: Relay | None = None) -> int:
        """Wait for the end of a process; return its exit code, 128+n for signal n.

        Meanwhile `relay` tells a service manager when it is ready, with this process as the one to look after.
        """
        master = process.terminal_fd
        if master >= 0:
            self._undo.callback(_raw(self._own_terminal))
            copies = _Copies(master)
        poll = select.poll()
        poll.register(process.exit_fd, select.POLLIN)
        poll.register(self._signals, select.POLLIN)
        if relay is not None:
            poll.register(relay, select.POLLIN)
        while True:
            if master >= 0:
                copies.register(poll)
            ready = dict(poll.poll())
            if self._signals in ready:
                self._pass_on(process)
            if relay is not None and relay.fileno() in ready and relay.take(os.getpid()):
                poll.unregister(relay)
            if master >= 0:
                copies.move(ready)
            if process.exit_fd in ready:
                if master >= 0:
                    copies.drain()
                return reap(process.exit_fd) or 0

    def _pass_on(self, process: Process) -> None:
        for number in os.read(self._signals, 4096):
            if number == signals.SIGWINCH and process.terminal_fd >= 0:
                self._resize(process.terminal_fd)
                continue
            with suppress(ProcessLookupError):
                send_signal(process.exit_fd, number)

    def _resize(self, master: int) -> None:
        """Give a terminal the size of ours."""
        import termios

        with suppress(OSError):  # ours may have gone
            fcntl.ioctl(master, termios.TIOCSWINSZ, fcntl.ioctl(self._own_terminal, termios.TIOCGWINSZ, bytes(8)))


def _noted(number: int, frame: FrameType | None) -> None:
    """Do nothing here: the descriptor tells."""


def _own_terminal(undo: Undo) -> int:
    """Return a terminal of this process: one of its streams, else the controlling one; Invalid where it has none."""
    for fd in (2, 1, 0):
        if os.isatty(fd):
            return fd
    try:
        fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise Invalid(
            "process.terminal is true, but there is no terminal here",
            hint="set it to false, or use --detach with --console-socket",
        ) from error
    undo.callback(os.close, fd)
    return fd


def _raw(fd: int) -> Callable[[], None]:
    """Take the terminal's own handling of keys away; return what gives it back."""
    import termios
    import tty

    before = termios.tcgetattr(fd)
    tty.setraw(fd)

    def restore() -> None:
        with suppress(OSError, termios.error):
            termios.tcsetattr(fd, termios.TCSADRAIN, before)

    return restore


class _Copies:
    """What goes from our input to a terminal, and from there to our output, a piece at a time each way."""

    def __init__(self, master: int) -> None:
        self._master = master
        os.set_blocking(master, False)
        self._input = b""
        self._output = b""
        self._input_open = True
        self._open = True

    def register(self, poll: select.poll) -> None:
        """Ask for what can go on: reading where nothing waits to be written, else writing."""
        wanted = {0: 0, 1: 0, self._master: 0}
        wanted[0] |= select.POLLIN if self._input_open and not self._input else 0
        wanted[self._master] |= select.POLLOUT if self._input else 0
        wanted[self._master] |= select.POLLIN if self._open and not self._output else 0
        wanted[1] |= select.POLLOUT if self._output else 0
        for fd, events in wanted.items():
            with suppress(KeyError):
                poll.unregister(fd)
            if events:
                poll.register(fd, events)

    def move(self, ready: dict[int, int]) -> None:
        """Copy what is ready."""
        if 0 in ready and not self._input:
            self._input = _read(0)
            self._input_open = bool(self._input)
        if self._master in ready:
            if self._input:
                self._input = self._input[_write(self._master, self._input) :]
            if self._open and not self._output:
                self._fetch()
        if 1 in ready and self._output:
            self._output = self._output[_write(1, self._output) :]

    def _fetch(self) -> None:
        with suppress(BlockingIOError):
            self._output = _read(self._master)
            self._open = bool(self._output)

    def drain(self) -> None:
        """Write the rest of what came out of the terminal."""
        os.set_blocking(self._master, False)
        while True:
            while self._output:
                self._output = self._output[_write(1, self._output) :]
            if not self._open:
                return
            self._fetch()
            if not self._output:
                return


def _read(fd: int) -> bytes:
    """Read a piece; nothing at the end, which of a terminal is EIO. BlockingIOError where nothing is there yet."""
    try:
        return os.read(fd, _CHUNK)
    except BlockingIOError:
        raise
    except OSError:
        return b""


def _write(fd: int, data: bytes) -> int:
    """Write a piece; what nobody takes any more counts as written."""
    try:
        return os.write(fd, data)
    except BlockingIOError:
        return 0
    except OSError:
        return len(data)
