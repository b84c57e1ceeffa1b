"""An engine that many clients ask at once, and one that has many containers."""

import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from benchmarks.measure import Row
from benchmarks.used import used_s

if TYPE_CHECKING:
    from benchmarks.engine import Pair, Worker

__all__ = ["rows"]

READ_CROWD = 0.1
"""Ten times as fast as dockerd is one after another."""
LIGHT = Path(__file__).with_name("light.py")
CLIENTS, AT_ONCE, IN_TURN = 16, 100, 20
RUNS = 3
COUNT = 500


def rows(pair: "Pair") -> Iterator[Row]:
    """Time containers that are started and stopped at once, by light clients and docker's; and a listing of many."""
    yield from _light(pair)
    yield _commands(pair)
    yield _listing(pair)


@frozen
class _Taken:
    """What one container took in a run, in milliseconds: of each step, and of processors for all."""

    begin: float
    stop: float
    used: float


def _run(worker: "Worker", clients: int, count: int) -> _Taken:
    """Have light clients begin, stop and remove containers; whatever fails ends the benchmark."""
    from peers.box import NAME  # type: ignore[import-not-found]

    before = used_s(worker.engine.sandbox)
    command = (sys.executable, "-IS", LIGHT, "/run/docker.sock", NAME, clients, count)
    done = worker.engine.sandbox.run(*command, check=False)
    if done.returncode:
        raise SystemExit(f"{worker.engine.name}: {done.stderr}")
    used = used_s(worker.engine.sandbox) - before
    taken = json.loads(done.stdout)
    return _Taken(*(each * 1000 / count for each in (taken["begin"], taken["stop"], used)))


def _light(pair: "Pair") -> Iterator[Row]:
    """Ours with all at once, beside dockerd one after another; and dockerd with all at once."""
    ours, in_turn, at_once = [], [], []
    for _ in range(RUNS):
        ours.append(_run(pair.ours, CLIENTS, AT_ONCE))
        in_turn.append(_run(pair.dockerd, 1, IN_TURN))
        at_once.append(_run(pair.dockerd, CLIENTS, AT_ONCE))

    def median(runs: list[_Taken], step: str) -> float:
        return float(statistics.median(getattr(each, step) for each in runs))

    used = f"processor time, removal included, {median(ours, 'used'):.0f} ms, dockerd {median(in_turn, 'used'):.0f}"
    for step, what in (("begin", "created and started"), ("stop", "stopped")):
        note = f"dockerd at once {median(at_once, step):.1f} ms" + (f"; {used}" if step == "begin" else "")
        yield Row(
            f"a container of {AT_ONCE} {what} by {CLIENTS} light clients", median(ours, step),
            "dockerd, one after another", median(in_turn, step), READ_CROWD, note,
        )  # fmt: skip


def _commands(pair: "Pair") -> Row:
    """The same by docker's own commands at once on both, which keep two processors busy by themselves."""
    from peers.box import NAME

    def start(worker: "Worker") -> float:
        count = AT_ONCE if worker is pair.ours else IN_TURN
        each = f"seq {count} | xargs -P {CLIENTS} -I N docker"
        command = f"{each} run -d --network none --name manyN {NAME} sleep 10000 | wc -l"
        took = worker.seconds("sh", "-c", command, output=f"{count}\n")
        worker.seconds("sh", "-c", f"{each} rm -f manyN | wc -l", output=f"{count}\n")
        return took * 1000 / count

    return pair.each(f"a container of {AT_ONCE} by {CLIENTS} docker commands at once", start, target=None)


def _listing(pair: "Pair") -> Row:
    """Time `docker ps` with so many containers running; both engines have them for as long as that takes."""
    from peers.box import NAME

    def begin(worker: "Worker") -> None:
        line = f"docker run -d --network none --name crowdN {NAME} sleep 10000"
        worker.seconds("sh", "-c", f"seq {COUNT} | xargs -P 16 -I N {line} | wc -l", output=f"{COUNT}\n")

    def end(worker: "Worker") -> None:
        worker.seconds("sh", "-c", f"seq {COUNT} | xargs -P 16 -I N docker rm -f crowdN | wc -l", output=f"{COUNT}\n")

    for worker in (pair.ours, pair.dockerd):
        begin(worker)
    found = pair.row(f"docker ps, {COUNT} containers running", "docker", "ps", output=f"crowd{COUNT}", target=1.0)
    for worker in (pair.ours, pair.dockerd):
        end(worker)
    return found
