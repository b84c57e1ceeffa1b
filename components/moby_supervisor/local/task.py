"""One task, as the supervisor has it at hand."""

import fcntl
import os
import stat
import termios
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from moby.contracts.supervisor import Streams, TaskConfig, TaskState
from moby.contracts.types import Stdio, TaskStatus, Window
from moby.errors import Conflict
from moby.values import evolve
from moby_supervisor.local.loop import Loop, Promise, Turns
from moby_supervisor.local.marks import Slot
from moby_supervisor.local.records import Record, Records
from moby_supervisor.local.starter import Line
from moby_supervisor.local.streams import Input, Output

if TYPE_CHECKING:
    from moby.contracts.runtime import Runtime
    from moby_supervisor.local.sinks import DirectSink, LoggerSink

__all__ = ["Task", "Watch", "ended_event", "new_exit_event"]

_NAMES = {1: "stdout", 2: "stderr"}
_LOGGED_PIPE = 1 << 18
"""Bytes that a pipe has room for whose output is logged, so that writer and reader needn't take turns."""
_SIGNALLED = 1 << 62


class Watch(Protocol):
    """Who checks the health of a task."""

    def paused(self) -> None:
        """Take that the task is paused."""
        ...

    def stop(self) -> None:
        """Check no more."""
        ...


def new_exit_event() -> int:
    """Return what becomes readable, for all who have it, when a task has stopped, and stays so whoever reads it."""
    return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK | os.EFD_SEMAPHORE)


def ended_event() -> int:
    """Return what is readable as if it had stopped."""
    event = new_exit_event()
    os.eventfd_write(event, 1)
    return event


class Task:
    """A container's first process, or one that was run in it."""

    def __init__(self, loop: Loop, records: Records, config: TaskConfig, record: Record, slot: Slot) -> None:
        self.loop = loop
        self.config = config
        self.record = record
        self.slot = slot
        self.runtime: Runtime
        self.turns = Turns()
        """Of all tasks of a container."""
        self.stopped: Promise[None] = Promise()
        self.exit_event = -1
        self.pidfd = -1
        self.terminal = -1
        self.oom_fd = -1
        self.oom_seen = False
        """Whether the kernel has told of something, so that it is worth to look what."""
        self.sink: DirectSink | LoggerSink | None = None
        self.stdin: Input | None = None
        self.outputs: list[Output] = []
        self.line: Line | None = None
        self.health: Watch | None = None
        self._records = records
        self._folder = records.folder(config.id)
        self.pipes_terminal = False
        """Whether somebody else has its terminal, and it is reached by pipes."""
        self.flows_until_ns = 0
        """When its end is told at last, though some of its output may be on its way."""
        self.told_by_ns = 0
        """When its end is told at last, though its log may be behind."""

    @property
    def id(self) -> str:
        """Its id."""
        return self.config.id

    @property
    def is_container(self) -> bool:
        """Whether this is a container's first process."""
        return self.record.container == self.config.id

    @property
    def status(self) -> TaskStatus:
        """Its state."""
        return TaskStatus(self.record.status)

    def change(self, **values: object) -> None:
        """Change its record, on disk before here."""
        record = evolve(self.record, **values)
        self._records.write(self.id, record)
        self.record = record

    def state(self) -> TaskState:
        """Return what is told of it."""
        record = self.record
        started_ns = 0 if self.status is TaskStatus.CREATED else record.started_ns
        return TaskState(
            self.id, self.status, 0 if record.exit else record.pid, record.exit, started_ns, record.health,
            self.slot.read(Slot.LOST), self.slot.read(Slot.DROPPED),
        )  # fmt: skip

    def expect(self, *statuses: TaskStatus) -> None:
        """Raise Conflict unless it is in one of these states."""
        if self.status not in statuses:
            raise Conflict(f"task {self.id} is {self.status}", hint=f"this needs it to be {' or '.join(statuses)}")

    def expect_container(self, verb: str) -> None:
        """Raise Conflict for an exec, which shares its container's fate."""
        if not self.is_container:
            raise Conflict(f"can't {verb} {self.id}, an exec", hint=f"{verb} its container, {self.record.container}")

    # --- streams ------------------------------------------------------------------------------------------------

    def make_streams(self) -> tuple[Stdio, list[int]]:
        """Make its streams; return the other side's ends, and what of these is to be closed once it has them."""
        if self.config.terminal and not self.pipes_terminal:
            return Stdio(terminal=True), []
        theirs: list[int] = []
        try:
            if self.config.stdin:
                stdin, ours = os.pipe2(os.O_CLOEXEC)
                theirs.append(stdin)
                os.fchmod(stdin, 0o644)
                self._take_stdin(ours)
            else:
                theirs.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
            for stream, name in ((1, _NAMES[1]),) if self.config.terminal else _NAMES.items():
                path = self._folder / name
                os.mkfifo(path)
                path.chmod(0o622)
                ours = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                if self.config.log is not None:
                    with suppress(OSError):  # who has many may not have more
                        fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, _LOGGED_PIPE)
                self._take_output(ours, stream)
                theirs.append(os.open(path, os.O_RDWR | os.O_CLOEXEC))
        except BaseException:
            for fd in theirs:
                os.close(fd)
            raise
        return Stdio(theirs[0], theirs[1], -1 if self.config.terminal else theirs[2], self.config.terminal), theirs

    def take_terminal(self, master: int) -> None:
        """Take its terminal's other end over."""
        self.terminal = master
        os.set_blocking(master, False)
        if self.config.window is not None:
            self.resize(self.config.window)
        # Under a number of their own, since each is watched for something else.
        self._take_output(fcntl.fcntl(master, fcntl.F_DUPFD_CLOEXEC, 3), 1)
        if self.config.stdin:
            self._take_stdin(fcntl.fcntl(master, fcntl.F_DUPFD_CLOEXEC, 3))

    def resize(self, window: Window) -> None:
        """Set the terminal's size; Conflict where there is none."""
        if self.terminal < 0:
            raise Conflict(f"task {self.id} has no terminal", hint="ask for one when it is created")
        termios.tcsetwinsize(self.terminal, (window.rows, window.columns))

    def take_fds(self, fds: Sequence[int]) -> None:
        """Take over what an earlier supervisor had of it; each says itself what it is."""
        for fd in fds:
            self._take_fd(fd)
        if self.exit_event < 0:
            self.exit_event = new_exit_event()
        for stream, name in _NAMES.items():
            path = self._folder / name
            if path.exists() and not any(each.stream == stream for each in self.outputs):
                self._take_output(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), stream)

    def _take_fd(self, fd: int) -> None:
        target = os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115
        name = target.rpartition("/")[2].removesuffix(" (deleted)")
        mode = os.fstat(fd).st_mode
        if "eventfd" in target:
            self.exit_event = fd
        elif "pidfd" in target:
            self.pidfd = fd
        elif stat.S_ISSOCK(mode):
            self.line = Line.of(fd)
        elif stat.S_ISCHR(mode):
            self.take_terminal(fd)
        elif target.startswith("pipe:"):
            self._take_stdin(fd)
        elif name in _NAMES.values():
            self._take_output(fd, 1 if name == _NAMES[1] else 2)
        else:
            os.close(fd)

    def _take_stdin(self, fd: int) -> None:
        os.set_blocking(fd, False)
        once = self.config.stdin_once and not self.config.terminal
        self.stdin = Input(self.loop, fd, once=once, on_end=self._stdin_ended)

    def _stdin_ended(self) -> None:
        if self.record.exit is None and not self.config.terminal:
            with suppress(FileNotFoundError):
                self.change(stdin_ended=True)
            self.on_fewer_fds()

    def on_fewer_fds(self) -> None:
        """To be told when a descriptor is closed that others hold, too; the supervisor's to set."""

    def _take_output(self, fd: int, stream: int) -> None:
        discards = self.config.log is None and (self.config.discard or self.record.attached)
        keeps = self.config.terminal and not self.pipes_terminal
        self.outputs.append(Output(self.loop, fd, stream, self.sink, self.slot, discards=discards, keeps=keeps))

    def keep_for(self, discarded_s: float, logged_s: float) -> None:
        """Wait so long at most for those who were attached to attach again, before output goes anywhere else."""
        if not self.record.attached:
            return
        for each in self.outputs:
            if each.sink is None:
                each.discards = False
            else:
                each.waits = self.record.exit is None
        self.loop.after(discarded_s, self._discard)
        self.loop.after(logged_s, self._wait_no_more)

    def _discard(self) -> None:
        for each in self.outputs:
            each.discards = self.config.log is None
            each.update()

    def _wait_no_more(self) -> None:
        for each in self.outputs:
            each.waits = False
            each.update()
        self.on_taken_up()

    @property
    def waits(self) -> bool:
        """Whether its output waits for those who were attached."""
        return any(each.waits for each in self.outputs)

    def on_taken_up(self) -> None:
        """To be told when its output waits no more; who cares sets it."""

    def begin_reading(self) -> None:
        """Read its output from now on, where somebody wants it."""
        for each in self.outputs:
            each.update()

    def attach(self) -> Streams:
        """Return fresh descriptors of its streams."""
        if not self.record.attached:
            self.change(attached=True)
        made: list[int] = []
        waited = self.waits
        stdin = self.stdin.attach() if self.stdin is not None else -1
        for each in self.outputs:
            made.append(each.attach())
            each.discards = self.config.log is None
        if waited:
            self.loop.after(0, self.on_taken_up)
        return Streams(stdin, made[0] if made else -1, made[1] if len(made) > 1 else -1)

    def fds(self) -> list[int]:
        """Return what another supervisor needs to go on with it."""
        found = [self.exit_event, self.pidfd, self.terminal]
        if self.stdin is not None and not self.stdin.ended and self.terminal < 0:
            found.append(self.stdin.fd)
        if self.terminal < 0:
            found += [each.fd for each in self.outputs if not each.ended]
        if self.line is not None:
            found.append(self.line.ours.fileno())
        return [fd for fd in found if fd >= 0]

    # --- its end ------------------------------------------------------------------------------------------------

    def exit_fd(self) -> int:
        """Return a fresh descriptor that becomes readable when it has stopped."""
        if self.exit_event >= 0:
            return os.dup(self.exit_event)
        return ended_event()  # it is being forgotten

    def tell_exit(self) -> None:
        """Tell all who wait that it has stopped."""
        with suppress(BlockingIOError):
            os.eventfd_write(self.exit_event, _SIGNALLED)
        self.stopped.set(None)

    def close(self) -> None:
        """Close all that is open of it here; what others hold stays."""
        if self.health is not None:
            self.health.stop()
        if self.stdin is not None:
            self.stdin.close()
        for each in self.outputs:
            each.close()
        for name in ("exit_event", "pidfd", "terminal", "oom_fd"):
            fd = getattr(self, name)
            if fd >= 0:
                self.loop.forget(fd)
                os.close(fd)
                setattr(self, name, -1)

    @property
    def folder(self) -> Path:
        """Where its record is."""
        return self._folder
