"""A container in the foreground: its streams are ours, signals are handed on, and its exit code is returned."""

import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from attrs import frozen

from moby.contracts.command import ENGINE_FAILED
from moby.contracts.supervisor import Supervisor, TaskConfig
from moby.errors import HostUnfit, Invalid, MobyError, Unavailable
from moby.values import evolve
from moby_supervisor.run import terminal
from moby_supervisor.run.forwarding import Forwarding
from moby_supervisor.run.pump import Copy, Pump
from moby_supervisor.run.signals import Interrupted, Signals

__all__ = ["GRACE_S", "NOT_FOUND", "NOT_RUNNABLE", "STDIN", "Session", "code_of"]

NOT_RUNNABLE, NOT_FOUND = 126, 127
"""Exit codes, besides ENGINE_FAILED, that aren't the container's (docker-run(1), exit status)."""
STDIN, _STDOUT, _STDERR = 0, 1, 2
_REMEDIES = {
    errno.ENOSPC: "free space on that file system, or choose another one with --root",
    errno.EDQUOT: "free space within the quota, or choose another place with --root",
    errno.EROFS: "choose a writable place with --root",
    errno.EACCES: "choose a place of your own with --root",
    errno.EMFILE: "raise the limit of open files, as with ulimit -n",
}
GRACE_S = 5.0
"""Between two requests to end, once the terminal has hung up; both together are what `docker stop` waits."""


def code_of(verb: Callable[[], int]) -> int:
    """Return the code that a verb returns; errors that it raises carry 125, 126 or 127."""
    _open_standard_streams()
    try:
        return verb()
    except SystemExit as usage:
        return ENGINE_FAILED if usage.code else 0
    except Interrupted as interrupted:
        return 128 + interrupted.number
    except OSError as error:
        unfit = _unfit(error)
        unfit.exit_code = ENGINE_FAILED
        raise unfit from error
    except MobyError as error:
        error.exit_code = error.exit_code if error.exit_code in (NOT_RUNNABLE, NOT_FOUND) else ENGINE_FAILED
        raise


@frozen
class Session:
    """Runs containers in the foreground; main thread only, since the process's signals are taken over."""

    supervisor: Supervisor
    grace_s: float = GRACE_S

    def run(self, config: TaskConfig, signals: Signals, cleanup: ExitStack) -> int:
        """Return the exit code of a container, nothing of which is left once `cleanup` is over."""
        # From here on there is something to clean up that must not be left half-way, and soon somebody to hand to.
        signals.hold()
        window = terminal.window() if config.terminal else None
        with _program_failure(otherwise=ENGINE_FAILED):
            self.supervisor.create(evolve(config, window=window))
        cleanup.callback(self.supervisor.delete, config.id, force=True)
        pump = self._pump(config, signals, cleanup)
        if config.terminal and config.stdin:
            cleanup.enter_context(terminal.raw(STDIN))
        with _program_failure(otherwise=NOT_FOUND):
            self.supervisor.start(config.id)
        pump.run()
        return self._exit_code(config.id)

    def _pump(self, config: TaskConfig, signals: Signals, cleanup: ExitStack) -> Pump:
        """Join our standard streams to the task's."""
        container = config.id
        exit_fd = self.supervisor.exit_fd(container)
        cleanup.callback(os.close, exit_fd)
        streams = self.supervisor.attach(container)
        outputs = [
            Copy(source, sink, _owned(source, cleanup))
            for source, sink in ((streams.stdout, _STDOUT), (streams.stderr, _STDERR))
            if source >= 0
        ]
        inputs = []
        if streams.stdin >= 0:
            os.set_blocking(streams.stdin, False)
            inputs.append(Copy(STDIN, streams.stdin, _owned(streams.stdin, cleanup)))
        forwarding = Forwarding(
            self.supervisor, container, signals, with_terminal=config.terminal, grace_s=self.grace_s
        )
        pump = Pump(tuple(outputs), tuple(inputs), exit_fd, signals.descriptor, forwarding.take)
        if config.terminal and signals.hears(signal.SIGHUP):
            pump.terminal_fd, pump.on_hang_up = terminal.among_streams(), forwarding.hang_up
            if pump.terminal_fd >= 0:
                cleanup.callback(os.close, pump.terminal_fd)
        return pump

    def _exit_code(self, container: str) -> int:
        ended = self.supervisor.state(container).exit
        if ended is None or ended.code is None:
            raise Unavailable(
                "how the container ended isn't known", hint="another part of this process reaped its first process"
            )
        return ended.code


@contextmanager
def _program_failure(*, otherwise: int) -> Iterator[None]:
    """Give an error that is about the program the exit code that a shell would."""
    try:
        yield
    except Invalid as error:
        cause = error.__cause__
        if isinstance(cause, OSError):
            otherwise = NOT_FOUND if cause.errno == errno.ENOENT else NOT_RUNNABLE
        error.exit_code = otherwise
        raise


def _unfit(error: OSError) -> HostUnfit:
    """Return what the kernel's refusal, of a file or of a descriptor, is to a user."""
    where = f"{error.filename}: " if error.filename else ""
    return HostUnfit(f"{where}{error.strerror or error}", hint=_REMEDIES.get(error.errno or 0, ""))


def _owned(descriptor: int, cleanup: ExitStack) -> Callable[[], None]:
    """Return what closes a descriptor: when it is called, or else at cleanup."""
    closing = ExitStack()
    closing.callback(os.close, descriptor)
    cleanup.push(closing)
    return closing.close


def _open_standard_streams() -> None:
    """Open those that our caller closed, lest a pipe of ours gets such a number and is taken for one of them."""
    for each in (STDIN, _STDOUT, _STDERR):
        try:
            os.fstat(each)
        except OSError:
            os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)  # the lowest number that is free
