"""One task: a process that a runtime started for us, and how it ended."""

import os
import select
import signal
from contextlib import suppress
from threading import RLock

from attrs import define, field

from moby.contracts.ambient import Clock
from moby.contracts.runtime import Process, Runtime
from moby.contracts.supervisor import TaskState
from moby.contracts.types import Exit, TaskStatus
from moby.errors import Conflict, MobyError
from moby.host.claims import Claim
from moby_supervisor.foreground.streams import Ends

__all__ = ["Task"]

_WALL = 0x40000000
"""Children that were cloned with another exit signal than SIGCHLD, too (wait(2))."""


@define(eq=False)
class Task:
    """A container's first process, or one that was started in it by exec. Every method wants its lock held."""

    id: str
    container: str
    runtime: Runtime
    process: Process
    ends: Ends
    clock: Clock
    status: TaskStatus
    claim: Claim | None = None
    """None for an exec."""
    lock: RLock = field(factory=RLock)
    """One for all tasks of a container."""
    exit: Exit | None = None
    started_ns: int = 0
    oom_fd: int = -1
    """Becomes readable when the kernel kills something inside for want of memory; -1 where nobody can tell."""

    @property
    def is_container(self) -> bool:
        """Whether this is the container's first process."""
        return self.claim is not None

    def state(self) -> TaskState:
        """Return the state now, and reap the process if it has ended."""
        if self.exit is None:
            self.exit = self._reaped()
        if self.exit is not None:
            self.status = TaskStatus.STOPPED
        return TaskState(self.id, self.status, 0 if self.exit else self.process.pid, self.exit, self.started_ns)

    def _reaped(self) -> Exit | None:
        descriptor = self.process.exit_fd
        try:
            ended = os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOHANG | _WALL)
        except ChildProcessError:
            # Somebody else reaped it, or its parent is somebody else: that it has ended still shows, how doesn't.
            return Exit(None, self.clock.now_ns(), self._oom_killed()) if self.ended(0) else None
        if ended is None:
            return None
        code = ended.si_status if ended.si_code == os.CLD_EXITED else 128 + ended.si_status
        return Exit(code, self.clock.now_ns(), self._oom_killed())

    def _oom_killed(self) -> bool:
        """Whether the kernel killed something inside; what has ended still has its figures."""
        if self.oom_fd < 0 or not _readable(self.oom_fd, 0):
            return False
        with suppress(MobyError):
            return bool(self.runtime.stats(self.container).oom_kills)
        return False

    def ended(self, timeout_s: float) -> bool:
        """Wait up to a time for the process to end."""
        return _readable(self.process.exit_fd, timeout_s)

    def expect(self, *statuses: TaskStatus) -> None:
        """Raise Conflict unless the task is in one of these states."""
        found = self.state().status
        if found not in statuses:
            raise Conflict(f"task {self.id} is {found}", hint=f"this needs it to be {' or '.join(statuses)}")

    def expect_container(self, verb: str) -> None:
        """Raise Conflict for an exec, which shares its container's fate."""
        if not self.is_container:
            raise Conflict(f"can't {verb} {self.id}, an exec", hint=f"{verb} its container, {self.container}")

    def signal(self, number: int) -> None:
        """Send a signal to this very process, whatever its runtime can do."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.process.exit_fd, number)

    def close(self) -> None:
        """Close its descriptors and give its folder back."""
        self.ends.close()
        os.close(self.process.exit_fd)
        if self.oom_fd >= 0:
            os.close(self.oom_fd)
        if self.claim is not None:
            self.claim.release()


def _readable(fd: int, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))
