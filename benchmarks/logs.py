"""Log drivers beside dockerd: a million lines written and read, both in memory; the driver alone, with no engine."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen
from moby_log.json_file.driver import JsonFile
from moby_log.local.driver import Local

from benchmarks.measure import Row
from moby.contracts.log_driver import STDOUT, LogConfig, LogDriver, LogQuery

ROOT = Path(__file__).resolve().parents[1]
RUNS = 5
CHUNK = 65536
TARGETS = (0.3, 0.4)
"""Of writing and of reading; lines of 4 KiB are only to be kept up with."""
PLAIN = b"x" * 79 + b"\n"
ESCAPED = '{"a": "\u00fcber <b>", "text": "say \\"hi\\" to them all"}'.encode().ljust(79) + b"\n"
LONG = b"y" * 4095 + b"\n"
CASES: Mapping[str, tuple[bytes, int, tuple[float | None, float | None]]] = {
    "1,000,000 lines of 80 bytes": (PLAIN, 1_000_000, TARGETS),
    "1,000,000 lines with escapes and UTF-8": (ESCAPED, 1_000_000, TARGETS),
    "131,072 lines of 4 KiB": (LONG, 131_072, (None, None)),
}
_INSIDE = Path("/var/lib/peers/lines")


def _write(driver: LogDriver, config: LogConfig, line: bytes, count: int, chunk: int = CHUNK) -> float:
    """Return the seconds that writing takes, in what a pipe gives at once."""
    data = line * (chunk // len(line) + 2)
    writer = driver.open(config)
    left, at = line and len(line) * count, 0
    began = time.perf_counter()
    while left:
        size = min(chunk, left)
        writer.write(STDOUT, time.time_ns(), data[at : at + size])
        left, at = left - size, (at + size) % len(line)
    writer.close()
    return time.perf_counter() - began


def _read(driver: LogDriver, config: LogConfig, line: bytes, count: int) -> float:
    """Return the seconds until another process has all records, one frame each, out of a pipe."""
    ours, theirs = os.pipe()
    script = "import sys; n = 0\nwhile d := sys.stdin.buffer.read1(1 << 18): n += len(d)\nprint(n)"
    reader = subprocess.Popen([sys.executable, "-IS", "-c", script], stdin=ours, stdout=subprocess.PIPE)
    os.close(ours)
    never, end = os.pipe()
    began = time.perf_counter()
    for chunk in driver.read(config, LogQuery(), never):
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(theirs, rest) :]
    os.close(theirs)
    said = reader.communicate()[0]
    took = time.perf_counter() - began
    for each in (never, end):
        os.close(each)
    if int(said) != (len(line) + 8) * count:
        raise SystemExit(f"{type(driver).__name__} gave {said!r} bytes of {count} lines")
    return took


class _Dockerd:
    """What dockerd takes for the same: a run with its log less one without."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def _run(self, name: str, driver: str) -> float:
        mount = f"type=bind,src={_INSIDE},dst=/lines"
        image = "localhost/box:latest"
        began = time.perf_counter()
        self._engine(
            "run",
            "-d",
            "--name",
            name,
            "--network=none",
            "--log-driver",
            driver,
            "--mount",
            mount,
            image,
            "cat",
            "/lines",
        )
        self._engine("wait", name)
        return time.perf_counter() - began

    def figures(self, line: bytes, count: int) -> tuple[float, float]:
        """Return milliseconds to write and to read."""
        self._engine.sandbox.seen(_INSIDE).write_bytes(line * count)
        written, read = [], []
        for _ in range(3):
            bare = self._run("bare", "none")
            written.append(self._run("logged", "json-file") - bare)
            began = time.perf_counter()
            said = self._engine.sandbox.run("sh", "-c", "docker logs logged 2>/dev/null | wc -l").stdout
            read.append(time.perf_counter() - began)
            if int(said) != count:
                raise SystemExit(f"dockerd gave {said} lines")
            self._engine("rm", "bare", "logged")
        return statistics.median(written) * 1000, statistics.median(read) * 1000


@frozen
class _Ours:
    """What a driver of ours takes."""

    driver: LogDriver
    options: Mapping[str, str]
    folder: Path

    def _config(self) -> LogConfig:
        return LogConfig("c" * 64, Path(tempfile.mkdtemp(dir=self.folder)), options=self.options)

    def figures(self, line: bytes, count: int) -> tuple[float, float]:
        """Return milliseconds to write and to read, medians."""
        written, read = [], []
        for _ in range(RUNS):
            config = self._config()
            written.append(_write(self.driver, config, line, count))
            read.append(_read(self.driver, config, line, count))
            shutil.rmtree(config.folder)
        return statistics.median(written) * 1000, statistics.median(read) * 1000


def _rows(dockerd: _Dockerd, folder: Path) -> Iterator[Row]:
    drivers = {
        "json-file": _Ours(JsonFile(), {}, folder),
        "local": _Ours(Local(), {"max-size": "10g", "compress": "false"}, folder),
    }
    for what, (line, count, targets) in CASES.items():
        theirs = dockerd.figures(line, count)
        for name, ours in drivers.items():
            found = ours.figures(line, count)
            for verb, mine, peer, target in zip(("written", "read"), found, theirs, targets, strict=True):
                yield Row(f"{name}: {what} {verb}", mine, "dockerd", peer, target)


def rows() -> Iterator[Row]:
    """Measure; needs root, and what `tools/peers docker` unpacks."""
    sys.path.insert(0, str(ROOT / "tests"))
    from peers.box import archive  # type: ignore[import-not-found]
    from peers.engines import opened  # type: ignore[import-not-found]

    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        folder = Path(name)
        image = archive(folder / "image.tar", folder / "rootfs")
        (folder / "docker").mkdir()
        with opened("docker", "runc", folder / "docker", image) as engine:
            yield from _rows(_Dockerd(engine), Path(memory))
