"""The jail's side of a start: the process that becomes the user's program. It imports nothing from here on."""

from __future__ import annotations

import gc
import os
import signal
import sys

from moby.host import processes
from moby.host.cgroups import NO_GROUP, Entrance
from moby.host.files import write_text
from moby.values import frozen
from moby_runtime.programs import executable, program
from moby_runtime.records.failures import doing, guarded
from moby_runtime.records.gate import asked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from moby.contracts.streams import Stdio
    from moby_runtime.programs.values import ProcessSpec

__all__ = ["READY", "Cell", "run_exec", "run_first"]

READY = b"+"


@frozen
class Cell:
    """What a process is put into."""

    rootfs: str
    process: ProcessSpec
    stdio: Stdio
    channel: int
    """A socket to the caller."""
    interpreter: tuple[int, int]
    """Device and inode of the program that runs this."""
    group: Entrance = NO_GROUP
    listener: int = -1
    """Where the first process waits for its start."""


def run_first(cell: Cell) -> NoReturn:
    """Be the first process: enter the jail, say so, wait until that is written down and for the start, and run."""

    def steps() -> None:
        _end_with_parent()
        channel, listener = (program.above(fd, _first_free(cell)) for fd in (cell.channel, cell.listener))
        _enter(cell, (channel, listener))
        os.write(channel, READY + str(os.getpid()).encode())
        if not os.read(channel, 1):
            os._exit(70)  # who made this is gone, and nobody knows of it
        os.close(channel)
        _await_start(cell, listener)

    guarded(lambda data: os.write(cell.channel, data), steps)


def run_exec(cell: Cell) -> NoReturn:
    """Be one more process of a jail; what goes wrong the caller is told."""

    def steps() -> None:
        channel = program.above(cell.channel, _first_free(cell))
        _enter(cell, (channel,))
        _run(cell, lambda: None)

    guarded(lambda data: os.write(cell.channel, data), steps)


def _first_free(cell: Cell) -> int:
    return 3 + len(cell.stdio.extra)


def _end_with_parent() -> None:
    """End when the warden does, which else would leave this to nobody."""
    processes.set_parent_death_signal(signal.SIGKILL)


def _enter(cell: Cell, channels: tuple[int, ...]) -> None:
    """Get into the cgroup and the root, with nothing open but what the program is given."""
    gc.disable()
    sys.meta_path.clear()
    sys.path_hooks.clear()
    with doing("enter the control group", "linux.cgroupsPath"):
        cell.group.enter_all()
    if cell.process.oom_score_adj is not None:
        with doing("set how likely it is killed for want of memory", "process.oomScoreAdj"):
            write_text("/proc/self/oom_score_adj", str(cell.process.oom_score_adj))
    processes.close_other_descriptors((*program.take_stdio(cell.stdio), *channels))
    # It is a copy of its caller until it becomes the program, and shares the PID namespace with other containers.
    processes.set_dumpable(False)
    program.take_terminal(cell.process)
    with doing("change the root", "root.path"):
        os.chroot(cell.rootfs)
        os.chdir("/")


def _await_start(cell: Cell, listener: int) -> None:
    """Wait until somebody says to start, and tell that one what comes of it."""
    connection = asked(listener)
    guarded(lambda data: os.write(connection, data), lambda: _run(cell, _end_with_parent))


def _run(cell: Cell, last: Callable[[], object]) -> None:
    """Become the user's program."""
    program.become_user(cell.process)
    executable.execute(cell.process, cell.interpreter, last)
