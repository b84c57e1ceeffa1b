"""The engine `docker` beside dockerd and podman, each in a sandbox of its own; the first two by the same command."""

import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from benchmarks import crowd
from benchmarks.measure import Row

ROOT = Path(__file__).resolve().parents[1]
RUNS = 21
READ_RUN = 45 / 244
"""The figures that the targets were read from: ours beside dockerd's on one machine."""
READ_RUN_PODMAN = 45 / 159
READ_BRIDGE = 60 / 284
READ_EXEC = 35 / 88
READ_START = 0.4 / 1.25
READ_IDLE = 60 / 130
READ_CONTAINER = 0.25 / 4.9
LINES = 1_000_000
IDLE_S = 15
"""Who has just done something isn't idle yet: what is kept for a next call goes after some seconds."""

# Runs commands inside a sandbox and says how long each took, so that entering it isn't timed.
_WORKER = """
import json, subprocess, sys, time
for line in sys.stdin:
    asked = json.loads(line)
    began = time.perf_counter()
    done = subprocess.run(asked["command"], capture_output=True, text=True, errors="replace")
    took = time.perf_counter() - began
    good = done.returncode == asked["code"] and asked["output"] in done.stdout
    told = "" if good else f"exit {done.returncode}: {done.stdout[-500:]} {done.stderr[-500:]}"
    print(json.dumps([took, len(done.stdout), told]), flush=True)
"""


class Worker:
    """Times commands inside one sandbox."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self._process = subprocess.Popen(
            engine.sandbox.argv(sys.executable, "-IS", "-c", _WORKER),
            env=engine.sandbox.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def seconds(self, *command: str, code: int = 0, output: str = "") -> float:
        """Run a command and return its wall time; a wrong exit code or output ends the benchmark."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"command": command, "code": code, "output": output}) + "\n")
        self._process.stdin.flush()
        took, _, told = json.loads(self._process.stdout.readline())
        if told:
            raise SystemExit(f"{self.engine.name}: {' '.join(command)}: {told}")
        return float(took)

    def close(self) -> None:
        """End what runs the commands."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)


@frozen
class Pair:
    """Our engine and dockerd, each with what times commands in its sandbox, and podman."""

    ours: Worker
    dockerd: Worker
    podman: Worker

    def row(self, what: str, *command: str, target: float, note: str = "", output: str = "") -> Row:
        """Time a command on both, in turn."""
        ours, theirs = _in_turn((self.ours, command), (self.dockerd, command), output=output)
        return Row(what, ours, "dockerd", theirs, target, note)

    def beside_podman(self, what: str, *words: str, target: float, output: str = "") -> Row:
        """Time what docker and podman spell alike, in turn."""
        theirs = tuple(self.podman.engine.command(*words))
        mine, other = _in_turn((self.ours, ("docker", *words)), (self.podman, theirs), output=output)
        return Row(what, mine, "podman", other, target)

    def each(self, what: str, figure: Callable[[Worker], float], *, target: float | None, note: str = "") -> Row:
        """Take one figure of both."""
        return Row(what, figure(self.ours), "dockerd", figure(self.dockerd), target, note)


def _in_turn(*asks: tuple[Worker, tuple[str, ...]], output: str) -> list[float]:
    """Return the median milliseconds of each command, after one of each that isn't counted."""
    taken: list[list[float]] = [[] for _ in asks]
    for number in range(RUNS + 1):
        for (worker, command), times in zip(asks, taken, strict=True):
            seconds = worker.seconds(*command, output=output)
            if number:
                times.append(seconds)
    return [statistics.median(each) * 1000 for each in taken]


@contextlib.contextmanager
def workers() -> Iterator[Pair]:
    """Lend the engines, with an image loaded."""
    sys.path.insert(0, str(ROOT / "tests"))
    from clients.engine import opened_docker, opened_moby  # type: ignore[import-not-found]
    from peers.box import archive  # type: ignore[import-not-found]
    from peers.engines import opened  # type: ignore[import-not-found]

    from moby import distribution

    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        distribution.assemble("docker", folder / "dist")
        image = archive(folder / "image.tar", folder / "rootfs")
        ours = stack.enter_context(opened_moby(folder / "moby", image, folder / "dist" / "docker" / "docker.pyz"))
        theirs = stack.enter_context(opened_docker(folder / "dockerd", image))
        (folder / "podman").mkdir()
        podman = stack.enter_context(opened("podman", "crun", folder / "podman", image))
        found = []
        for engine in (ours, theirs, podman):
            found.append(Worker(engine))
            stack.callback(found[-1].close)
        yield Pair(*found)


def rows() -> Iterator[Row]:
    """Measure the engine; needs root, and what `tools/peers docker` unpacks."""
    with workers() as pair:
        yield from _speed(pair)
        yield from _memory(pair)
        yield from _logs(pair)
        yield from crowd.rows(pair)
        yield _start(pair)


def _speed(pair: Pair) -> Iterator[Row]:
    from peers.box import NAME

    floor = statistics.median(pair.ours.seconds("docker", "--version") for _ in range(RUNS)) * 1000
    run = ("docker", "run", "--rm", "--network", "none", NAME)
    yield pair.row(
        "docker run --rm true", *run, "echo", "done", output="done\n", target=READ_RUN,
        note=f"`docker --version` alone {floor:.0f} ms",
    )  # fmt: skip
    yield pair.beside_podman(
        "docker run --rm true, beside podman run", *run[1:], "echo", "done", target=READ_RUN_PODMAN, output="done\n"
    )
    yield pair.row(
        "docker run --rm true, on the default bridge", "docker", "run", "--rm", NAME, "echo", "done", output="done\n",
        target=READ_BRIDGE, note="dockerd without iptables",
    )  # fmt: skip
    for worker in (pair.ours, pair.dockerd):
        worker.seconds("docker", "run", "-d", "--network", "none", "--name", "stays", NAME, "sleep", "10000")
    yield pair.row("docker exec true", "docker", "exec", "stays", "true", target=READ_EXEC)
    yield pair.row("docker ps", "docker", "ps", output="stays", target=1.0)


def _memory(pair: Pair) -> Iterator[Row]:
    from peers.box import NAME

    time.sleep(IDLE_S)
    before = {id(each): _pss_mib(each) for each in (pair.ours, pair.dockerd)}
    yield Row("memory idle, all processes, MiB", before[id(pair.ours)], "dockerd", before[id(pair.dockerd)], READ_IDLE)
    count = 20
    for worker in (pair.ours, pair.dockerd):
        for _ in range(count):
            worker.seconds("docker", "run", "-d", "--network", "none", NAME, "sleep", "10000")
    time.sleep(IDLE_S)
    taken = [(_pss_mib(each) - before[id(each)]) / count for each in (pair.ours, pair.dockerd)]
    what = "memory of an idle container's supervision, KiB"
    yield Row(what, taken[0] * 1024, "dockerd", taken[1] * 1024, READ_CONTAINER)


def _pss_mib(worker: Worker) -> float:
    """The engine's own processes: all inside but containers' and the worker itself."""
    sandbox, total = worker.engine.sandbox, 0
    for pid, words in sandbox.processes().items():
        if words.startswith("sleep") or "-IS -c" in words:
            continue
        with contextlib.suppress(OSError):
            for line in (sandbox.seen("/proc") / str(pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1024


def _logs(pair: Pair) -> Iterator[Row]:
    from peers.box import NAME

    script = f"yes {'x' * 79} | head -n {LINES}"
    names = iter(range(100))

    def write(worker: Worker) -> float:
        name = f"logs{next(names)}"
        command = ("docker", "run", "--network", "none", "--name", name, "-d", NAME, "sh", "-c", script)
        began = time.perf_counter()
        worker.seconds(*command)
        worker.seconds("docker", "wait", name, output="0\n")
        return (time.perf_counter() - began) * 1000

    def read(worker: Worker) -> float:
        name = worker.engine.out("ps", "-a", "--filter", "name=logs", "--format", "{{.Names}}").split()[0]
        return worker.seconds("sh", "-c", f"docker logs {name} | wc -l", output=f"{LINES}\n") * 1000

    yield pair.each(f"{LINES} lines of 80 bytes logged", write, target=0.3)
    yield pair.each(f"docker logs of {LINES} lines", read, target=0.4)


def _start(pair: Pair) -> Row:
    def again(worker: Worker) -> float:
        taken = []
        for _ in range(5):
            worker.engine.again()
            taken.append(float(worker.engine.started_s))
        return statistics.median(taken) * 1000

    return pair.each("start until _ping answers", again, target=READ_START)
