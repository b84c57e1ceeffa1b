"""An application of ten services, up and down: docker compose on our engine beside dockerd, and our own compose."""

import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.engine import Pair, Worker, workers
from benchmarks.measure import Row

__all__ = ["rows"]

PLACE = "/var/lib/peers/ten"
SERVICES = 10
RUNS = 7
TARGET = 0.5
"""550 of 1110 ms up, 440 of 880 down, where compose's own start is 50 of each."""
_SERVICE = "{image: localhost/box, command: [sleep, '1000'], init: true}"
FILE = "name: ten\nservices:\n" + "".join(f"  s{number}: {_SERVICE}\n" for number in range(SERVICES))


def _write(worker: Worker) -> None:
    folder = Path(worker.engine.sandbox.seen(PLACE))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "compose.yaml").write_text(FILE)


def _pair(pair: Pair, words: tuple[str, ...]) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return times of up, of up with nothing to do, and of down, of both in turn, in milliseconds."""
    taken: tuple[dict[str, list[float]], dict[str, list[float]]] = ({}, {})
    for number in range(RUNS + 1):
        for worker, times, command in zip((pair.ours, pair.dockerd), taken, (words, DOCKER), strict=True):
            for what, verb in STEPS.items():
                seconds = worker.seconds(*command, "--project-directory", PLACE, *verb)
                if number:
                    times.setdefault(what, []).append(seconds * 1000)
    return taken


DOCKER = ("docker", "compose")
STEPS = {"up -d": ("up", "-d"), "up -d again": ("up", "-d"), "down": ("down",)}


def rows() -> Iterator[Row]:
    """Measure both; needs root, and what `tools/peers docker compose` unpacks."""
    with workers() as pair:
        for worker in (pair.ours, pair.dockerd):
            _write(worker)
        own = tuple(str(each) for each in pair.ours.engine.argv("compose"))
        for name, words in (("docker compose", DOCKER), ("own compose", own)):
            ours, theirs = _pair(pair, words)
            floor = pair.ours.seconds(*words, "version") * 1000
            for what in STEPS:
                yield Row(
                    f"{name} {what}, {SERVICES} services",
                    statistics.median(ours[what]),
                    "docker compose on dockerd",
                    statistics.median(theirs[what]),
                    TARGET if words is DOCKER and what != "up -d again" else None,
                    f"`{name} version` {floor:.0f} ms",
                )


if __name__ == "__main__":
    measured = []
    for row in rows():
        measured.append(row)
        print(f"{row.what:40} {row.ours_ms:7.1f} ms {row.ratio:5.2f} of {row.peer_ms:7.1f}  {row.note}", flush=True)  # noqa: T201
    sys.exit(0 if all(row.target is None or row.ratio <= row.target for row in measured) else 1)
