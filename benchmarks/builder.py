"""Building images: our engine beside dockerd with BuildKit, and an engine that answers the same client at once."""

import contextlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from attrs import frozen

from benchmarks.engine import Pair, Worker, workers
from benchmarks.measure import Row

ROOT = Path(__file__).resolve().parents[1]
PLACE = "/var/lib/peers"
"""Where contexts are, inside sandboxes."""
NULL_SOCKET = "/run/null.sock"
RUNS = 7
BLOB_BYTES = 100 << 20
FILES = 50_000
STAGES = 10
STAGE_MS = 254
"""What a stage takes of a processor, alone: as where the target was read, whatever processor this is."""
TURNS = 100_000
LISTED_TARGET = 1.3
"""The client takes a second to list them; we may take 0.3 s more."""
OWN_TARGET = 0.05 / 0.09
"""Read on one machine: what we may take beside the client's own time, and what dockerd took."""

SAMPLE = """\
FROM localhost/box
RUN echo one > /one
RUN echo two > /two
COPY blob /blob
RUN cat /blob | wc -c > /size
"""
TEN = "FROM localhost/box\nCOPY " + " ".join(f"d0/f{number}" for number in range(10)) + " /to/\n"
ALL = "FROM localhost/box\nCOPY . /all/\n"


def spin(turns: int) -> str:
    """Return a line that keeps a processor busy for so many turns."""
    return f'i=0; while [ "$i" -lt {turns} ]; do i=$((i+1)); done'


def stages(count: int, turns: int) -> str:
    """Return a Dockerfile of stages that a processor is busy with, none of which needs another."""
    made = "".join(f"FROM localhost/box AS s{each}\nRUN {spin(turns)}; echo {each} > /made\n" for each in range(count))
    copied = "".join(f"COPY --from=s{each} /made /made{each}\n" for each in range(count))
    return f"{made}FROM localhost/box\n{copied}"


@frozen
class Trio:
    """Our engine, dockerd, and one that answers at once, which lives in our engine's sandbox."""

    ours: Worker
    dockerd: Worker

    def write(self, path: str, data: bytes) -> None:
        """Write a file into both contexts."""
        for worker in (self.ours, self.dockerd):
            file = Path(worker.engine.sandbox.seen(f"{PLACE}/{path}"))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)

    def seconds(self, folder: str, *options: str, before: Callable[[int], None], runs: int = RUNS) -> list[float]:
        """Return the median times of ours, dockerd and null, in turn; `before` is called before each, untimed."""
        build = ("build", *options, "-t", "made", f"{PLACE}/{folder}")
        taken: list[list[float]] = [[], [], []]
        for number in range(runs + 1):
            before(number)
            for times, seconds in zip(
                taken,
                (
                    self.ours.seconds("docker", *build),
                    self.dockerd.seconds("docker", *build),
                    self.ours.seconds("docker", "-H", f"unix://{NULL_SOCKET}", *build),
                ),
                strict=True,
            ):
                if number:
                    times.append(seconds)
        return [statistics.median(each) * 1000 for each in taken]


def rows() -> Iterator[Row]:
    """Measure builds; needs root, and what `tools/peers docker buildx buildah` unpacks."""
    with workers() as pair, _null(pair) as trio:
        yield from _sample(trio)
        yield from _beside_buildah(trio)
        yield _stages(trio)
        yield from _files(trio)


@contextlib.contextmanager
def _null(pair: Pair) -> Iterator[Trio]:
    sandbox = pair.ours.engine.sandbox
    log = Path(sandbox.folder).parent / "null.log"
    process = sandbox.start(
        "env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "benchmarks.null_engine", NULL_SOCKET, log=log
    )
    try:
        limit = time.monotonic() + 30
        while not sandbox.seen(NULL_SOCKET).exists():
            if process.poll() is not None or time.monotonic() > limit:
                raise SystemExit(f"the null engine doesn't answer:\n{log.read_text()}")
            time.sleep(0.05)
        yield Trio(pair.ours, pair.dockerd)
    finally:
        process.terminate()  # nsenter, which passes nothing on; the sandbox ends the rest
        process.wait(30)


def _nothing(number: int) -> None:
    """Leave all as it is."""


def _sample(trio: Trio) -> Iterator[Row]:
    trio.write("sample/Dockerfile", SAMPLE.encode())
    trio.write("sample/blob", os.urandom(BLOB_BYTES))

    def change(number: int) -> None:
        trio.write("sample/blob", os.urandom(BLOB_BYTES))

    ours, dockerd, null = trio.seconds("sample", before=_nothing)
    yield Row(
        "build, all cached, beside the client's own time", ours - null, "dockerd", dockerd - null, OWN_TARGET,
        f"an engine that answers at once {null:.0f} ms",
    )  # fmt: skip
    for network, target in ((), 0.75), (("--network", "none"), 1.0):
        name = "".join(f", {each}" for each in (" ".join(network),) if each)
        ours, dockerd, _ = trio.seconds("sample", "--no-cache", *network, before=_nothing)
        yield Row(f"build without cache{name}", ours, "dockerd", dockerd, target)
        ours, dockerd, _ = trio.seconds("sample", "--no-cache", *network, before=change)
        yield Row(f"build without cache, 100 MB changed{name}", ours, "dockerd", dockerd, target)


def _beside_buildah(trio: Trio) -> Iterator[Row]:
    """Build the sample, which is there, beside buildah with runc, which has no daemon."""
    sandbox = trio.dockerd.engine.sandbox
    trio.write("policy.json", b'{"default": [{"type": "insecureAcceptAnything"}]}')
    signed = ("--signature-policy", f"{PLACE}/policy.json")
    buildah = ("buildah", "--root", f"{PLACE}/buildah", "--runroot", "/run/buildah", "--storage-driver", "overlay")
    sandbox.run("docker", "save", "-o", f"{PLACE}/box.tar", "localhost/box")
    sandbox.run(*buildah, "pull", *signed, f"docker-archive:{PLACE}/box.tar")
    limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096")  # it would raise them, which may be denied
    theirs = (*buildah, "build", *signed, "--layers", "--pull=never", "--runtime", "runc", *limits)
    for name, options in (("all cached", ()), ("without cache", ("--no-cache",))):
        taken: tuple[list[float], list[float]] = ([], [])
        words = ("--network", "none", *options, "-t", "made", f"{PLACE}/sample")
        for number in range(RUNS + 1):
            both = trio.ours.seconds("docker", "build", *words), trio.dockerd.seconds(*theirs, *words)
            for times, seconds in zip(taken, both, strict=True):
                if number:
                    times.append(seconds)
        ours, peer = (statistics.median(each) * 1000 for each in taken)
        yield Row(f"build, {name}, --network none", ours, "buildah", peer)


def _stages(trio: Trio) -> Row:
    turns = int(TURNS * STAGE_MS / _alone_ms(trio, TURNS))
    trio.write("stages/Dockerfile", stages(STAGES, turns).encode())
    ours, dockerd, null = trio.seconds("stages", "--no-cache", before=_nothing)
    alone_ms = _alone_ms(trio, turns)
    least = null + STAGES * alone_ms / len(os.sched_getaffinity(0))
    return Row(
        f"{STAGES} stages of {alone_ms:.0f} ms of a processor", ours, "their own time on all processors", least, 1.2,
        f"dockerd {dockerd / least:.2f}",
    )  # fmt: skip


def _alone_ms(trio: Trio, turns: int) -> float:
    """Return how long a stage takes that nothing is beside."""
    return statistics.median(trio.ours.seconds("sh", "-c", spin(turns)) for _ in range(RUNS)) * 1000


def _files(trio: Trio) -> Iterator[Row]:
    _fill(trio, {"ten": TEN, "all": ALL})

    def change(number: int) -> None:
        for folder in ("ten", "all"):
            trio.write(f"{folder}/d0/f0", f"changed {time.time_ns()}\n".encode())

    listed = ("--build-arg", "LEND=1")
    ours, dockerd, null = trio.seconds("ten", *listed, before=change)
    # To the client that lists all of them; dockerd, as we do, asks it for no more than the ten.
    yield Row(
        f"{FILES} files, one changed, COPY of ten", ours, "the client listing all", null, LISTED_TARGET,
        f"dockerd {dockerd:.0f} ms",
    )  # fmt: skip
    ours, dockerd, null = trio.seconds("all", *listed, before=change)
    yield Row(f"{FILES} files, one changed, COPY of all", ours, "dockerd", dockerd, 1.0, f"listing alone {null:.0f} ms")


def _fill(trio: Trio, folders: dict[str, str]) -> None:
    """Make contexts of many small files."""
    for name, text in folders.items():
        trio.write(f"{name}/Dockerfile", text.encode())
        for worker in (trio.ours, trio.dockerd):
            root = Path(worker.engine.sandbox.seen(f"{PLACE}/{name}"))
            for number in range(FILES):
                file = root / f"d{number % 500}" / f"f{number // 500}"
                if number < 500:
                    file.parent.mkdir(exist_ok=True)
                file.write_bytes(b"%d\n" % number)
