"""Processes as /proc shows them (proc(5)). A pid means something only together with its start time."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

__all__ = ["Identity", "command_line", "identity", "kill", "inside", "status_field", "with_argument"]


@frozen
class Identity:
    """A process of this boot."""

    pid: int
    start_ticks: int

    def alive(self) -> bool:
        """Whether it is there, and not just waiting to be reaped."""
        found = _stat(self.pid)
        return found is not None and found[2] == self.start_ticks and found[0] not in "ZX"


def identity(pid: int) -> Identity | None:
    """Return who has a pid now; None where nobody has."""
    found = _stat(pid)
    return Identity(pid, found[2]) if found else None


def command_line(pid: int) -> tuple[bytes, ...]:
    """Return the arguments of a process; empty where it has ended."""
    try:
        return tuple(Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1])
    except (FileNotFoundError, ProcessLookupError):
        return ()


def status_field(pid: int, name: str) -> str:
    """Return a field of /proc/PID/status; empty where the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:")), "")


def kill(who: Identity, number: int) -> bool:
    """Send a signal to just this process; False where it has ended."""
    try:
        pidfd = os.pidfd_open(who.pid)
    except ProcessLookupError:
        return False
    try:
        if not who.alive():
            return False
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
    return True


def inside(first: Identity) -> tuple[Identity, ...]:
    """Return the living processes of the PID namespace that a process is the first of, itself first.

    They are its descendants, since the kernel gives it the orphans of its namespace.
    """
    table = {pid: found for pid in _pids() if (found := _stat(pid)) is not None}
    if first.pid not in table or table[first.pid][2] != first.start_ticks:
        return ()
    children: dict[int, list[int]] = {}
    for pid, (_, parent, _) in table.items():
        children.setdefault(parent, []).append(pid)
    members, waiting = [], [first.pid]
    while waiting:
        pid = waiting.pop(0)
        state, _, start_ticks = table[pid]
        if state not in "ZX":
            members.append(Identity(pid, start_ticks))
        waiting += sorted(children.get(pid, ()))
    return tuple(members)


def with_argument(argument: str) -> tuple[Identity, ...]:
    """Return the processes that have an argument on their command line."""
    wanted = os.fsencode(argument)
    found = (identity(pid) for pid in _pids() if wanted in command_line(pid))
    return tuple(each for each in found if each)


def _pids() -> Iterator[int]:
    return (int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit())


def _stat(pid: int) -> tuple[str, int, int] | None:
    """Return the state, the parent and the start time of a process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[1]), int(fields[19])
