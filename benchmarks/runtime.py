"""How long a container takes from create to the end of `true`, beside crun and runc in the same run."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.measure import PASS, Row, Timed
from moby.contracts.images import ImageConfig
from moby.host import mounts
from moby.oci.spec import Request, container_spec
from moby.oci.user import User
from moby.testing.bundles import Bundles, config, make_rootfs

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / ".cache" / "peers" / "root"
COMMAND = str(Path(sys.executable).with_name("moby-runtime"))
RUNS = 41
READ_PLAIN = 5 / 9
"""5 ms beside the 9 to 12 ms of crun when the target was set; with Docker's specification 9 beside 12."""
READ_DOCKER = 9 / 12
READ_EXEC = 3 / 12.3


class _Worker:
    """A process that starts containers for this one."""

    def __init__(self, *arguments: str) -> None:
        environment = {**os.environ, "LD_LIBRARY_PATH": str(PEERS / "usr/lib/x86_64-linux-gnu")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed command has its bytecode
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.containers", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment,
        )  # fmt: skip

    def ask(self, line: str) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"benchmark of containers: {line} failed, exit {self._process.wait()}")
        return answer.strip()

    def ms(self, line: str) -> float:
        return float(self.ask(line))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)


def _peer(name: str) -> str | None:
    found = [PEERS / folder / name for folder in ("usr/bin", "usr/sbin")]
    return next((str(each) for each in found if each.exists()), None)


def _docker_spec(rootfs: Path) -> dict[str, Any]:
    user = User(0, 0, (), "/root")
    request = Request(hostname="box", command=("/bin/true",))
    return container_spec(ImageConfig(), request, user=user, rootfs=rootfs)


@contextlib.contextmanager
def _overlay(folder: Path, lower: Path) -> Iterator[Path]:
    for name in ("upper", "work", "merged"):
        (folder / name).mkdir(parents=True)
    target = folder / "merged"
    mounts.mount(
        "overlay", str(target), "overlay", 0, f"lowerdir={lower},upperdir={folder}/upper,workdir={folder}/work"
    )
    try:
        yield target
    finally:
        mounts.unmount(str(target), detach=True)


def _in_turn(*asks: tuple[_Worker, str]) -> list[float]:
    taken: list[list[float]] = [[] for _ in asks]
    for number in range(RUNS + 3):
        for index, (worker, line) in enumerate(asks):
            took = worker.ms(line)
            if number >= 3:
                taken[index].append(took)
    return [statistics.median(each) for each in taken]


def _bundles(folder: Path, undo: ExitStack) -> None:
    rootfs = make_rootfs(folder / "root")
    bundles = Bundles(folder, rootfs)
    plain = config(["/bin/true"])
    bundles.make("plain", plain, shared=False)
    bundles.make("sleeper", config(["/bin/sleep", "1000"]), shared=False)
    merged = undo.enter_context(_overlay(folder / "overlay", rootfs))
    bundles.make("docker", json.loads(json.dumps(_docker_spec(merged))), shared=False)


def rows() -> list[Row]:
    """Time both specifications and a further process, as root."""
    if os.geteuid():
        print("benchmarks of containers: left out, since they need root", file=sys.stderr)  # noqa: T201
        return []
    subprocess.run([str(ROOT / "tools/peers"), "crun", "runc"], check=False)
    crun, runc = _peer("crun"), _peer("runc")
    if crun is None or runc is None:
        print("benchmarks of containers: left out, since crun or runc can't be had", file=sys.stderr)  # noqa: T201
        return []
    with ExitStack() as undo:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory()))
        _bundles(folder, undo)
        native = _Worker(str(folder))
        undo.callback(native.close)
        peers = [_Worker(str(folder), each, "--root", f"{folder}/{name}")
                 for name, each in (("crun", crun), ("runc", runc), ("ours", COMMAND))]  # fmt: skip
        for each in peers:
            undo.callback(each.close)
        # An engine has other containers: what is made for the first of them alone isn't counted.
        native.ask("keep sleeper")
        return [*_whole(native, peers), *_exec(native)]


def _whole(native: _Worker, peers: list[_Worker]) -> Iterator[Row]:
    for name, what, target in (
        ("plain", "six namespaces, cgroups, default mounts", READ_PLAIN),
        ("docker", "Docker's default on overlay", READ_DOCKER),
    ):
        ours, crun, runc, command = _in_turn((native, name), *((each, name) for each in peers))
        start = statistics.median(Timed(PASS).seconds() * 1000 for _ in range(RUNS))
        yield Row(f"create to exit, {what}", ours, "crun run", crun, target, f"runc {runc:.1f} ms")
        yield Row(f"moby-runtime run, {what}", command, "crun run + python -c pass", crun + start, 1.0)


def _exec(native: _Worker) -> Iterator[Row]:
    for note in ("", "in a process with 300,000 objects more"):
        if note:
            native.ask("grow 300000")
        taken = [native.ms("exec kept") for _ in range(RUNS + 3)][3:]
        start = statistics.median(Timed(PASS).seconds() * 1000 for _ in range(RUNS))
        target = None if note else READ_EXEC
        yield Row(
            "exec of true in a running container", statistics.median(taken), "python -c pass", start, target, note
        )
