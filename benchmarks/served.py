"""What a call of a part costs more where the part has a process of its own, in Python and in C."""

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median

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


def rows() -> list[Row]:
    """Call the same method of the same part here, and in a process of its own, in turn."""
    from moby import registry

    plan = alone(PART, registry.discover())
    with tempfile.TemporaryDirectory(prefix="moby-bench-") as folder, ExitStack() as stack:
        here = serving.made(plan, PART, _place(Path(folder, "here")), stack)
        there = serving.served(plan, PART, _place(Path(folder, "there")), stack)
        found = [_in_turn(lambda: here.path("data"), lambda: there.path("data"))]
        for each in (here, there):
            each.create("data", {})
        found.append(_in_turn(lambda: here.create("data", {}), lambda: there.create("data", {})))
    names = ("a served part's method that does nothing", "a served part's method that reads a file")
    return [
        Row(name, there, "in the process, and 0.1 ms", here + ALLOWED_MS, 1.0, f"{(there - here) * 1000:.0f} µs more")
        for name, (here, there) in zip(names, found, strict=True)
    ]


def _place(folder: Path) -> Place:
    place = Place(folder / "state", folder / "run", folder / "cache", "bench")
    for each in (place.state, place.run, place.cache):
        each.mkdir(parents=True)
    return place


def _in_turn(*calls: Callable[[], object]) -> list[float]:
    """Return the median time of each call in milliseconds, of rounds in turn."""
    taken: list[list[float]] = [[] for _ in calls]
    for number in range(ROUNDS + 1):
        for each, call in zip(taken, calls, strict=True):
            began = time.perf_counter()
            for _ in range(CALLS):
                call()
            if number:
                each.append((time.perf_counter() - began) * 1000 / CALLS)
    return [median(each) for each in taken]
