"""A machine while it runs here: its console is this terminal's, it is asked to end, and tells how it ended."""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

from attrs import define, field

from moby.errors import HostUnfit
from moby.machines import qemu, uml
from moby.machines.machine import Machine

__all__ = ["by_qemu", "by_uml"]

PATIENCE_S = 120.0
"""How long a machine may take to end that was asked to; then it is killed."""
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_CODE = re.compile(rb"exit (\d{1,3})\s")


def by_qemu(
    machine: Machine, arguments: Sequence[str], cache: Path, *, memory_mb: int, data: Path | None, network: bool
) -> int:
    """Run a machine to its end by QEMU, and return its exit code; HostUnfit where it told none."""
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="moby-machine-")))
        listener = cleanup.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(folder / "report"))
        listener.listen()
        words = qemu.command(
            machine, arguments, folder / "report", cache, memory_mb=memory_mb, data=data, network=network,
            interactive=sys.stdin.isatty(),
        )  # fmt: skip
        running = cleanup.enter_context(_running(words))
        running.accept(listener)
        return running.to_end(PATIENCE_S)


def by_uml(machine: Machine, arguments: Sequence[str], cache: Path, *, memory_mb: int, data: Path | None) -> int:
    """Run a machine to its end as user-mode Linux, and return its exit code; HostUnfit where it told none."""
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="moby-machine-")))
        own, other = socket.socketpair()
        cleanup.callback(own.close)
        environment = uml.environment(memory_mb, folder, cache)
        with other:
            words = uml.command(machine, arguments, other.fileno(), folder, memory_mb=memory_mb, data=data)
            running = cleanup.enter_context(_running(words, environment, (other.fileno(),)))
        running.connection = own
        return running.to_end(PATIENCE_S)


@define
class _Running:
    """A machine's process, and the connection by which it reports."""

    process: "subprocess.Popen[bytes]"
    signals: socket.socket
    """Becomes readable when this process is asked to end."""
    connection: socket.socket | None = None
    said: bytes = b""
    killed_at_s: float = field(default=float("inf"))

    def accept(self, listener: socket.socket) -> None:
        """Wait until the machine's report is connected, or its process has ended."""
        if listener in self._wait(listener):
            self.connection, _ = listener.accept()

    def to_end(self, patience_s: float) -> int:
        """Wait until it is over, and return the code that it told."""
        while self.process.poll() is None:
            ready = self._wait(self.connection) if self.connection else self._wait()
            if self.connection in ready:
                self._read()
            if self.signals in ready:
                self.signals.recv(16)
                self._ask_to_end(patience_s)
            if time.monotonic() >= self.killed_at_s:
                self.process.kill()
        self._read()
        codes = _CODE.findall(self.said)
        if not codes:
            raise HostUnfit(
                f"the machine ended without telling how (its process with {self.process.returncode})",
                hint="its console says why; it may want more --memory",
            )
        return int(codes[-1])

    def _wait(self, *more: socket.socket) -> "list[socket.socket | int]":
        """Return which of these, of the process's end and of a wish to end have come."""
        ended = os.pidfd_open(self.process.pid)
        try:
            left = self.killed_at_s - time.monotonic()
            timeout = None if left == float("inf") else max(left, 0)
            waited: list[socket.socket | int] = [ended, self.signals, *more]
            return select.select(waited, [], [], timeout)[0]
        finally:
            os.close(ended)

    def _read(self) -> None:
        """Take what the machine has said; once nothing more can come, give its end of the connection up."""
        connection = self.connection
        if connection is None:
            return
        connection.setblocking(False)
        try:
            while part := connection.recv(4096):
                self.said = (self.said + part)[-4096:]
        except BlockingIOError:
            return
        except ConnectionResetError:  # it has ended without reading that it is to
            pass
        self.connection = None
        connection.close()

    def _ask_to_end(self, patience_s: float) -> None:
        """Have the machine end in order; the second time it isn't waited for."""
        again = self.killed_at_s != float("inf")
        self.killed_at_s = time.monotonic() + (0 if again or self.connection is None else patience_s)
        if self.connection is not None:
            with suppress(OSError):
                self.connection.send(b"\n")


@contextmanager
def _running(
    words: Sequence[str], environment: Mapping[str, str] | None = None, descriptors: Sequence[int] = ()
) -> Iterator[_Running]:
    """Lend a process with this one's streams, which is over afterwards; the terminal is then as it was."""
    with ExitStack() as cleanup:
        signals = cleanup.enter_context(_heard())
        cleanup.enter_context(_terminal_as_it_was())
        # At a terminal it is of our group, so that it may read; elsewhere what ends our group asks us, and we ask it.
        group = None if sys.stdin.isatty() else 0
        process = subprocess.Popen(words, env=environment, pass_fds=descriptors, process_group=group)
        cleanup.callback(process.wait)
        cleanup.callback(process.kill)
        yield _Running(process, signals)


@contextmanager
def _heard() -> Iterator[socket.socket]:
    """Lend a socket that becomes readable by signals that ask this process to end, in place of what they did."""

    def note(_number: int, _frame: FrameType | None) -> None:
        """Nothing: that it came is written to the socket."""

    own, other = socket.socketpair()
    other.setblocking(False)
    before = {number: signal.signal(number, note) for number in _ENDING if signal.getsignal(number) != signal.SIG_IGN}
    woken = signal.set_wakeup_fd(other.fileno(), warn_on_full_buffer=False)
    try:
        yield own
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)
        own.close()
        other.close()


@contextmanager
def _terminal_as_it_was() -> Iterator[None]:
    if not sys.stdin.isatty():
        yield
        return
    modes = termios.tcgetattr(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, modes)
