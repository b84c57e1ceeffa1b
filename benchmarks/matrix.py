"""The scenario of the matrix on each of its assemblies, in turn with the same on the engine that it is like."""

import contextlib
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.engine import ROOT, Worker
from benchmarks.measure import Row
from benchmarks.used import used_s

__all__ = ["rows"]

RUNS = 5
AHEAD = 1.0
LIKE = {"native": "docker", "runc": "docker", "lxc": "docker", "crun": "podman"}
"""Which engine an assembly is like, by its runtime: one that uses the same, or what it began with."""
_SORTS = {"bridge": "bridge", "macvlan": "macvlan -o parent=above"}
"""Of networks, that docker has too, and how it is asked: without a parent it makes a dummy, which needs a module."""
_ABOVE = ("ip", "link", "add", "above", "type", "veth", "peer", "name", "beyond")


def rows() -> Iterator[Row]:
    """Measure; needs root, and what `tools/peers` unpacks."""
    sys.path.insert(0, str(ROOT / "tests"))
    from clients import matrix  # type: ignore[import-not-found]
    from peers.box import archive  # type: ignore[import-not-found]

    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        image = archive(folder / "image.tar", folder / "rootfs")
        peers = {each: _peer(each, folder / each, image, stack) for each in sorted(set(LIKE.values()))}
        for number, row in enumerate(matrix.rows()):
            peer = LIKE[row[0]]
            with _ours(row, folder / str(number), image) as ours:
                yield _row(row, ours, peer, peers[peer])


def _row(row: tuple[str, ...], ours: Worker, peer: str, other: Worker) -> Row:
    """Take both in turn; with podman without a network, whose names are served otherwise."""
    from clients import matrix

    network = "" if peer == "podman" else matrix.driver_of(row)
    theirs = _SORTS.get(network, "bridge") if network else ""
    taken: dict[Worker, list[float]] = {ours: [], other: []}
    spent: dict[Worker, list[float]] = {ours: [], other: []}
    for number in range(RUNS + 1):
        for worker, sort in ((ours, network), (other, theirs)):
            before = used_s(worker.engine.sandbox)
            seconds = worker.seconds("sh", "-ec", _script(worker.engine, sort), output="up")
            if number:
                taken[worker].append(seconds * 1000)
                spent[worker].append((used_s(worker.engine.sandbox) - before) * 1000)
    mine, peers = (statistics.median(spent[each]) for each in (ours, other))
    note = f"processor time {mine:.0f} to {peers:.0f} ms: {mine / peers:.2f}"
    name = f"the matrix's scenario, {' '.join(row)}"
    return Row(name, statistics.median(taken[ours]), peer, statistics.median(taken[other]), AHEAD, note)


def _script(engine: Any, network: str) -> str:
    """Return the scenario as a shell's commands; it leaves nothing."""
    from peers.box import NAME

    words = " ".join(engine.command())
    at_once = "-t 0" if engine.name == "podman" else ""  # which else waits for ten seconds
    where = "--network town" if network else "--network none"
    make, unmake = (f"{words} network create -d {network} town", f"{words} network rm town") if network else ("", "")
    return f"""
{make}
{words} volume create data
{words} run --rm {where} {NAME} sh -c 'echo out'
for each in one two; do {words} run -d --name $each {where} -v data:/data {NAME} sh -c 'echo up; sleep 1000'; done
{words} exec one sh -c 'echo kept >/data/file'
{words} exec two cat /data/file
{words} stop -t 0 one
{words} logs one
{words} rm one
{words} rm -f {at_once} two
{unmake}
{words} volume rm data
"""


@contextlib.contextmanager
def _ours(row: tuple[str, ...], folder: Path, image: Path) -> Iterator[Worker]:
    from clients import matrix
    from clients.engine import opened  # type: ignore[import-not-found]

    from moby import distribution

    folder.mkdir()
    (folder / "matrix.yaml").write_text(matrix.manifest(row))
    distribution.assemble(str(folder / "matrix.yaml"), folder)
    hidden = next((matrix.HIDDEN[each] for each in row if each in matrix.HIDDEN), ())
    more = {"distribution": folder / "matrix/matrix.pyz", "row": row}
    with opened(matrix.Chosen, folder / "engine", image, hidden=hidden, **more) as engine:
        worker = Worker(engine)
        try:
            yield worker
        finally:
            worker.close()


def _peer(name: str, folder: Path, image: Path, stack: contextlib.ExitStack) -> Worker:
    from clients.engine import opened_docker
    from peers.engines import opened  # type: ignore[import-not-found]

    folder.mkdir()
    lent = opened_docker(folder, image) if name == "docker" else opened("podman", "crun", folder, image)
    engine = stack.enter_context(lent)
    engine.sandbox.run(*_ABOVE)
    worker = Worker(engine)
    stack.callback(worker.close)
    return worker
