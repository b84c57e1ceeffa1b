"""Services on one machine: scaled until all their tasks run, and what a manager takes that has nothing to do."""

import contextlib
import http.client
import json
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measure import Row
from benchmarks.used import used_s

__all__ = ["rows"]

ROOT = Path(__file__).resolve().parents[1]
STEPS = (3, 20, 200)
IDLE_S = 30
SCALE_TARGET = 0.2
IDLE_TARGET = 0.5
"""0.3 % of a core, where dockerd's takes 0.6 at least."""
POLL_S = 0.2
LONGEST_S = 500
_CREATE = ("--detach", "--name", "web", "--replicas", "0", "--no-resolve-image", "--restart-condition", "none")
_PROGRAM = ("sleep", "100000")


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("docker")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def _running(engine: Any) -> int:
    """Return how many tasks run, by one call of the API."""
    connection = _Unix(str(engine.sandbox.seen("/run/docker.sock")))
    try:
        connection.request("GET", "/v1.44/tasks")
        tasks = json.load(connection.getresponse())
    finally:
        connection.close()
    return sum(each["Status"]["State"] == "running" for each in tasks)


def _scale(engine: Any, replicas: int) -> float:
    """Return how long it takes until so many run, in milliseconds."""
    began = time.perf_counter()
    engine.sandbox.run("docker", "service", "scale", "--detach", f"web={replicas}")
    while _running(engine) != replicas:
        if time.perf_counter() - began > LONGEST_S:
            raise SystemExit(f"{engine.name}: {replicas} tasks never run")
        time.sleep(POLL_S)
    return (time.perf_counter() - began) * 1000


def _processor_ms(engine: Any) -> float:
    """Return what an engine's threads have taken of processors, without its containers' (sched-stats, in ns)."""
    taken_ns = 0
    for pid, words in engine.sandbox.processes().items():
        if not words.startswith(_PROGRAM[0]):
            for each in engine.sandbox.seen(f"/proc/{pid}/task").glob("*/schedstat"):
                with contextlib.suppress(OSError):
                    taken_ns += int(each.read_text().split()[0])
    return taken_ns / 1e6


def _idle(engine: Any) -> float:
    before = _processor_ms(engine)
    time.sleep(IDLE_S)
    return _processor_ms(engine) - before


@contextlib.contextmanager
def _engines() -> Iterator[tuple[Any, Any]]:
    sys.path.insert(0, str(ROOT / "tests"))
    from clients.engine import opened_docker, opened_moby  # type: ignore[import-not-found]
    from peers.box import archive  # type: ignore[import-not-found]

    from moby import distribution

    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        distribution.assemble("swarm", folder / "dist")
        image = archive(folder / "image.tar", folder / "rootfs")
        ours = stack.enter_context(opened_moby(folder / "moby", image, folder / "dist" / "swarm" / "swarm.pyz"))
        theirs = stack.enter_context(opened_docker(folder / "dockerd", image))
        for each in (ours, theirs):
            each.sandbox.run("docker", "swarm", "init", "--advertise-addr", "127.0.0.1")
            each.sandbox.run("docker", "service", "create", *_CREATE, "localhost/box", *_PROGRAM)
        yield ours, theirs


def rows() -> Iterator[Row]:
    """Measure both, one after the other; needs root, and what `tools/peers docker` unpacks."""
    with _engines() as (ours, theirs):
        for before, replicas in zip((0, *STEPS), STEPS, strict=False):
            used = [-used_s(each.sandbox) * 1000 for each in (ours, theirs)]
            taken = [_scale(each, replicas) for each in (ours, theirs)]
            used = [after + used_s(each.sandbox) * 1000 for after, each in zip(used, (ours, theirs), strict=True)]
            target = SCALE_TARGET if replicas == STEPS[-1] else None
            note = f"of processors {used[0]:.0f} ms for {used[1]:.0f}"
            what = f"service scale, {before} to {replicas} tasks run"
            yield Row(what, taken[0], "dockerd's swarm", taken[1], target, note)
        idle = [_idle(each) for each in (ours, theirs)]
        note = f"{idle[0] / IDLE_S / 10:.2f} % of a core, of dockerd {idle[1] / IDLE_S / 10:.2f} %"
        what = f"processor time of {IDLE_S} s with {STEPS[-1]} tasks and nothing to do"
        yield Row(what, idle[0], "dockerd's swarm", idle[1], IDLE_TARGET, note)


if __name__ == "__main__":
    for row in rows():
        print(f"{row.what:60} {row.ours_ms:9.1f} ms {row.ratio:5.2f} of {row.peer_ms:9.1f}  {row.note}", flush=True)  # noqa: T201
