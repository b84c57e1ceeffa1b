"""Work whose processes all end with it: also those that left its session, or whose own parent has ended."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from moby.host.processes import set_child_subreaper, set_parent_death_signal

__all__ = ["enclose"]

PATIENCE_S = 5.0
"""For processes that were killed to be gone; one in the midst of a device's work may take longer."""


def enclose(work: Callable[[], object]) -> NoReturn:
    """Do work in a child of this process, then kill whatever it left, and end as it ended.

    SIGTERM, and the end of the thread that started this process, end the work. The caller must be single-threaded,
    with nothing of its own to lose: the work's descriptors are all closed here.
    """
    signals = {signal.SIGTERM, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    set_child_subreaper()
    set_parent_death_signal(signal.SIGTERM)
    worker = os.fork()
    if worker == 0:
        set_parent_death_signal(signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        os.setsid()  # so that the work, when it kills its own process group, doesn't end us
        work()
        os._exit(0)
    os.closerange(0, 1 << 16)
    status = _ended(worker, signals)
    _kill_descendants()
    if status is not None and os.WIFEXITED(status):
        os._exit(os.WEXITSTATUS(status))
    number = signal.SIGKILL if status is None else os.WTERMSIG(status)
    with suppress(OSError):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    os._exit(128 + number)


def _ended(worker: int, signals: set[signal.Signals]) -> int | None:
    """Wait for the work's end, and return its wait status; None where it is to be ended."""
    while signal.sigwait(signals) != signal.SIGTERM:
        for pid, status in _reaped():
            if pid == worker:
                return status
    return None


def _kill_descendants() -> None:
    """Kill until nothing is left: who loses its parent becomes a child of ours."""
    deadline = time.monotonic() + PATIENCE_S
    while (children := _children()) and time.monotonic() < deadline:
        for pid in children:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if not list(_reaped()):
            time.sleep(0.002)


def _reaped() -> Iterator[tuple[int, int]]:
    """Reap children that have ended; yield pid and wait status."""
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            yield ended


def _children() -> list[int]:
    """Return the pids of our children, zombies included; where proc(5) has no list of them, by everyone's parent."""
    try:
        return [int(word) for word in Path("/proc/self/task", str(os.getpid()), "children").read_text().split()]
    except FileNotFoundError:
        return [int(each.name) for each in Path("/proc").glob("[0-9]*") if _parent(each) == os.getpid()]


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    except OSError:
        return 0
