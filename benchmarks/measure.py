"""Timing whole commands in turn with a peer, so that a ratio holds when the machine's speed drifts."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from attrs import field, frozen

__all__ = ["PASS", "Row", "Timed", "in_turn", "row"]

PASS = (sys.executable, "-c", "pass")
"""The peer where a target names none: the interpreter's own start."""
RUNS = 11


@frozen
class Timed:
    """A command, and what shows that it did its work."""

    command: tuple[str, ...]
    output: str = ""
    """Must be part of what it prints."""
    code: int = 0
    environment: Mapping[str, str] = field(factory=dict)

    def seconds(self) -> float:
        """Run once and return the wall time; a wrong exit code or output ends the benchmark."""
        environment = {**os.environ, **self.environment}
        began = time.perf_counter()
        done = subprocess.run(self.command, capture_output=True, text=True, env=environment, timeout=120, check=False)
        took = time.perf_counter() - began
        if done.returncode != self.code or self.output not in done.stdout:
            raise SystemExit(f"{' '.join(self.command)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        return took


@frozen
class Row:
    """One line of the report. A target is a ratio to the peer; None is no target."""

    what: str
    ours_ms: float
    peer: str
    peer_ms: float
    target: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float:
        """How many times the peer's time ours takes."""
        return self.ours_ms / self.peer_ms


def in_turn(*commands: Timed, runs: int = RUNS) -> list[float]:
    """Return each command's median seconds over runs in turn, after one that isn't counted."""
    taken: list[list[float]] = [[] for _ in commands]
    for number in range(runs + 1):
        for index, command in enumerate(commands):
            seconds = command.seconds()
            if number:
                taken[index].append(seconds)
    return [statistics.median(each) for each in taken]


def row(
    what: str,
    ours: Sequence[str],
    *,
    output: str = "",
    target_ms: float | None = None,
    base_ms: float = 12.3,
    note: str = "",
) -> Row:
    """Time a command against the interpreter's own start; a target in ms was read where that start took `base_ms`."""
    mine, peer = in_turn(Timed(tuple(ours), output), Timed(PASS))
    target = target_ms / base_ms if target_ms else None
    return Row(what, mine * 1000, "python -c pass", peer * 1000, target, note)
