"""The processes of a container: found, told, and ended."""

from __future__ import annotations

import os
import time

from moby.errors import Unavailable
from moby.host import processes
from moby.host.blocks import suppress
from moby.host.cgroups import Group
from moby.host.lean import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moby_runtime.native.records import Record

__all__ = ["end", "group_of", "kill_all", "let_die", "pids_of"]

_KILL_S = 10.0


def group_of(record: Record) -> Group:
    """Return a container's cgroup."""
    return Group(record.cgroups)


def pids_of(record: Record) -> tuple[int, ...]:
    """Find the processes of a container: by its cgroup, else by its PID namespace."""
    if record.cgroups:
        return group_of(record).pids()
    if not record.pid:
        return ()
    try:
        # Once it has ended, and all in its namespace with it, its number may be another process's.
        with record.first():
            wanted = os.stat(f"/proc/{record.pid}/ns/pid").st_ino
    except OSError:
        return ()
    if os.stat("/proc/self/ns/pid").st_ino == wanted:
        return (record.pid,)
    found = []
    for name in os.listdir("/proc"):
        with suppress(OSError):
            if name.isdigit() and os.stat(f"/proc/{name}/ns/pid").st_ino == wanted:
                found.append(int(name))
    return tuple(sorted(found))


def kill_all(record: Record, number: int) -> None:
    """Send a signal to every process of a container."""
    if record.cgroups:
        group_of(record).kill(number)
        return
    for pid in pids_of(record):
        with suppress(ProcessLookupError):
            fd = os.pidfd_open(pid)
            try:
                processes.send_signal(fd, number)
            finally:
                os.close(fd)


def let_die(record: Record, number: int) -> None:
    """Thaw what was killed: a frozen process doesn't die."""
    if number == signals.SIGKILL and record.cgroups and group_of(record).frozen():
        group_of(record).thaw()


def end(record: Record) -> None:
    """Kill what is left of a container, and wait until it has ended."""
    deadline = time.monotonic() + _KILL_S
    over = _is_over(record)  # most often, since who ends by itself is deleted then
    while not over:
        with suppress(ProcessLookupError), record.first() as (fd, _):
            processes.send_signal(fd, signals.SIGKILL)
        kill_all(record, signals.SIGKILL)
        let_die(record, signals.SIGKILL)
        over = _is_over(record)
        if not over:
            if time.monotonic() > deadline:
                raise Unavailable(f"container {record.id!r} doesn't end: one of its processes hangs in the kernel")
            time.sleep(0.002)


def _is_over(record: Record) -> bool:
    """Whether nothing of a container runs any more.

    The first process stays, exiting, until everybody in its PID namespace is reaped; those that came by exec are
    the caller's children, and waiting for it to reap them would be waiting for ourselves.
    """
    with suppress(ProcessLookupError), record.first() as (_, stat):
        if not stat.exiting:
            return False
    if record.cgroups:
        return not group_of(record).pids()
    stats = (processes.process_stat(pid) for pid in pids_of(record))
    return all(stat is None or stat.ended or stat.exiting for stat in stats)
