"""What a call of a part costs more where the part has a process of its own: in wall time, and of the processors."""

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles

from attrs import frozen

from benchmarks.measure import Row
from moby.contracts.ambient import Place
from moby.resolution import alone
from moby.testing import serving

__all__ = ["rows"]

ALLOWED_MS = 0.1
"""What a served call may cost more than one in the process."""
CALLS = 500
ROUNDS = 15
PART = "volume-driver/local"


@frozen
class Taken:
    """What one call takes, in milliseconds: the median, the slowest of a hundred, and of all processes' processors."""

    half: float
    most: float
    busy: float


def rows() -> list[Row]:
    """Call the same method of the same part here, and in a process of its own, in turn."""
    from moby import registry

    plan = alone(PART, registry.discover())
    with tempfile.TemporaryDirectory(prefix="moby-bench-") as folder, ExitStack() as stack:
        here = serving.made(plan, PART, _place(Path(folder, "here")), stack)
        others = _children()
        there = serving.served(plan, PART, _place(Path(folder, "there")), stack)
        process = (_children() - others).pop()
        said = [part.path("data").relative_to(Path(folder, name)) for part, name in ((here, "here"), (there, "there"))]
        if said[0] != said[1]:
            raise SystemExit(f"the part says another thing in a process of its own: {said}")
        quick = _in_turn(process, lambda: here.path("data"), lambda: there.path("data"))
        for each in (here, there):
            each.create("data", {})
        reading = _in_turn(process, lambda: here.create("data", {}), lambda: there.create("data", {}))
    return [*_rows("does nothing", *quick), *_rows("reads a file", *reading)]


def _rows(what: str, here: Taken, there: Taken) -> list[Row]:
    name, peer = f"a served part's method that {what}", "in the process, and 0.1 ms"
    more = f"{(there.half - here.half) * 1000:.0f} µs more; p99 {there.most * 1000:.0f} µs for {here.most * 1000:.0f}"
    busy = f"{(there.busy - here.busy) * 1000:.0f} µs more"
    return [
        Row(name, there.half, peer, here.half + ALLOWED_MS, 1.0, more),
        Row(f"{name}: of the processors", there.busy, peer, here.busy + ALLOWED_MS, 1.0, busy),
    ]


def _place(folder: Path) -> Place:
    place = Place(folder / "state", folder / "run", folder / "cache", "bench")
    for each in (place.state, place.run, place.cache):
        each.mkdir(parents=True)
    return place


def _children() -> set[int]:
    return {int(pid) for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}


def _busy(process: int) -> float:
    """Return the processor time of this process and another one, in seconds (clock_getcpuclockid(3))."""
    return time.process_time() + time.clock_gettime((~process << 3) | 2)


def _in_turn(process: int, *calls: Callable[[], object]) -> list[Taken]:
    """Return what each call takes, in rounds in turn, the first of which isn't counted."""
    found: list[list[float]] = [[] for _ in calls]
    busy: list[list[float]] = [[] for _ in calls]
    for number in range(ROUNDS + 1):
        for place, call in enumerate(calls):
            before = _busy(process)
            took = [_seconds(call) for _ in range(CALLS)]
            if number:
                found[place] += took
                busy[place].append((_busy(process) - before) / CALLS)
    return [_taken(each, spent) for each, spent in zip(found, busy, strict=True)]


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _taken(took: Sequence[float], busy: Sequence[float]) -> Taken:
    return Taken(median(took) * 1000, quantiles(took, n=100)[-1] * 1000, median(busy) * 1000)
