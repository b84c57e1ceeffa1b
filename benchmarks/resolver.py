"""How long resolving takes as catalogs grow: ten thousand parts with fifty thousand needs in under two seconds."""

import random
import sys
import time

from benchmarks.measure import PASS, Row, Timed, in_turn
from moby.component import Facts, Need
from moby.manifest.assembly import Assembly, Choice
from moby.registry import Catalog
from moby.resolver import resolve

__all__ = ["rows", "synthetic"]

SIZES = (1_000, 2_000, 5_000, 10_000)
NEEDS = 5
TARGET = 2_000 / 12.3
"""Two seconds, where the interpreter's own start took 12.3 ms."""
RUNS = 3


def synthetic(size: int, *, chosen: int) -> tuple[Assembly, Catalog]:
    """Make a catalog of parts that need five others each, and an assembly that chooses some; the rest is filled in."""
    draw = random.Random(size)  # noqa: S311 - the same graph each time, not a secret
    components = {}
    for number in range(size):
        # The next one, so that all are reached from the first; the others anywhere after it.
        others = {number + 1, *(draw.randrange(number + 1, size) for _ in range(NEEDS - 1) if number + 1 < size)}
        while len(others) < min(NEEDS, size - 1 - number):
            others.add(draw.randrange(number + 1, size))
        needs = tuple(Need(f"p{other}", f"kind-{other}") for other in sorted(others) if other < size)
        facts = Facts(
            f"kind-{number}/part", f"kind-{number}", "part", "1.0", 1, "bench 1", "bench", needs=needs, preferred=True
        )
        components[facts.id] = facts
    choices = (Choice(f"kind-{number}", "part", "part") for number in range(chosen))
    return Assembly("bench", tuple(sorted(choices, key=lambda choice: choice.kind))), Catalog(components)


def seconds(size: int, *, chosen: int) -> float:
    """Resolve, check that all is in the plan, and return the shortest time of a few runs."""
    assembly, catalog = synthetic(size, chosen=chosen)
    taken = []
    for _ in range(RUNS):
        began = time.perf_counter()
        plan = resolve(assembly, catalog)
        taken.append(time.perf_counter() - began)
        if len(plan.instances) != size:
            raise SystemExit(f"{len(plan.instances)} of {size} components are in the plan")
    return min(taken)


def rows() -> list[Row]:
    """Time growing catalogs, all parts filled in but one, and all parts chosen."""
    (peer,) = in_turn(Timed(PASS))
    found = []
    for way in ("filled", "chosen"):
        first = 0.0
        for size in SIZES:
            took = seconds(size, chosen=size if way == "chosen" else 1)
            first = first or took / size
            each = took / size * 1e6
            bar = "#" * round(each / first / 1e6 * 10)
            note = f"{each:.0f} us a component {bar}"
            target = TARGET if size == SIZES[-1] else None
            what = f"resolve {size} components, {size * NEEDS} needs, {way}"
            found.append(Row(what, took * 1000, "python -c pass", peer * 1000, target, note))
    return found


if __name__ == "__main__":
    measured = rows()
    for row in measured:
        print(f"{row.what:52} {row.ours_ms:7.1f} ms {row.ratio:6.1f} x python -c pass  {row.note}")  # noqa: T201
    sys.exit(0 if all(row.target is None or row.ratio < row.target for row in measured) else 1)
