"""What the caller is told of a new process: its pid in a file, its terminal and a descriptor of it over sockets."""

from __future__ import annotations

import os

from moby.errors import Invalid, MobyError
from moby.host.blocks import Undo, suppress
from moby.host.lean import send_descriptor, sockets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moby.contracts.runtime_values import Process
    from moby_runtime.native.cli.main import Call
    from moby_runtime.native.runtime import Native

__all__ = ["Sockets", "check_console", "ending_on_error", "write_pid"]


def check_console(terminal: bool, console: str, *, detach: bool) -> None:
    """See that a terminal that is asked for has somewhere to go, and that nothing else is sent there."""
    if terminal and detach and not console:
        raise Invalid(
            "process.terminal is true, but nobody gets the terminal",
            hint="name a socket that takes it with --console-socket, or run it in the foreground",
        )
    if console and not (terminal and detach):
        raise Invalid("--console-socket is for a process with a terminal (process.terminal) that is detached")


class Sockets:
    """Connections to the sockets of a command line, made before there is anything to undo."""

    def __init__(self, call: Call) -> None:
        self._undo = Undo()
        try:
            self._console = self._connected(call.text("console-socket"), "console-socket")
            self._pidfd = self._connected(call.text("pidfd-socket"), "pidfd-socket")
        except BaseException:
            self._undo.close()
            raise

    def __enter__(self) -> Sockets:
        return self

    def __exit__(self, *error: object) -> None:
        self._undo.close()

    def _connected(self, path: str, flag: str) -> sockets.socket | None:
        if not path:
            return None
        connection = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        self._undo.callback(connection.close)
        try:
            connection.connect(path)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise Invalid(f"--{flag} {path}: {reason}", hint="it must be a socket that somebody listens on") from error
        return connection

    def send(self, process: Process) -> None:
        """Send the terminal, and a descriptor of the process, to whoever waits for them."""
        if self._console is not None:
            send_descriptor(self._console, b"/dev/ptmx", process.terminal_fd)
            os.close(process.terminal_fd)
        if self._pidfd is not None:
            send_descriptor(self._pidfd, b"pidfd", process.exit_fd)


def write_pid(path: str, pid: int) -> None:
    """Write a pid file in one step, so that whoever sees it can read it."""
    if not path:
        return
    folder, name = os.path.split(os.path.abspath(path))
    fresh = f"{folder}/.{name}"
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        os.write(fd, str(pid).encode())
    finally:
        os.close(fd)
    os.replace(fresh, path)


class ending_on_error:  # noqa: N801 - read as what the block does
    """Remove a container that its caller couldn't be told of, or whose program isn't there."""

    def __init__(self, runtime: Native, container_id: str) -> None:
        self._runtime = runtime
        self._id = container_id

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is not None:
            with suppress(MobyError):
                self._runtime.delete(self._id, force=True)
