"""The process that a jail's processes are descendants of, since no namespace holds them together.

It becomes the parent of those whose own has ended, so that they can be found, and ends them all when the first one
has ended, as the kernel does in a PID namespace.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from pathlib import Path

from moby.host import processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from moby.host.cgroups import Group

__all__ = ["below", "end_as", "watch"]


def watch(first: Callable[[], NoReturn], group: Group, *, dies: bool) -> NoReturn:
    """Be the warden of a first process; with `dies` of no longer than the thread that made this one."""
    code = 70
    try:
        if dies:
            processes.set_parent_death_signal(signal.SIGKILL)
        processes.set_child_subreaper()
        pid, pidfd = processes.clone(first)
        os.close(pidfd)
        _let_go()
        code = _last(pid)
        _end_all(group)
    finally:
        end_as(code)


def _let_go() -> None:
    """Hold nothing open that is others'."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    processes.close_other_descriptors(())
    with contextlib.suppress(OSError):
        os.setsid()


def _last(first: int) -> int:
    """Reap whatever ends until the first process has; return its code, negative for a signal."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == first:
            return os.waitstatus_to_exitcode(status)


def _end_all(group: Group) -> None:
    """Kill and reap what is left."""
    group.kill(signal.SIGKILL)
    with contextlib.suppress(OSError):
        group.thaw()
    while True:
        for pid in below(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def end_as(code: int) -> NoReturn:
    """End as another process did."""
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (-code,))
        os.kill(os.getpid(), -code)
    os._exit(code & 0xFF)


def below(pid: int) -> tuple[int, ...]:
    """Return all descendants of a process, each after its parent."""
    found = list(_children(pid))
    for each in found:
        found += _children(each)
    return tuple(found)


def _children(pid: int) -> tuple[int, ...]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (task / "children").read_text(encoding="ascii").split())
    return tuple(found)
