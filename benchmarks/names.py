"""Names by DNS in a container's network: 10,000 queries, 16 in flight, of our engine and of dockerd, in turn.

Who asks is a process of the benchmark in the container's network namespace, the same for both. Needs root, and what
`tools/peers docker` unpacks.
"""

import contextlib
import os
import select
import socket
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.measure import Row
from moby.host.elsewhere import in_namespace

__all__ = ["rows"]

ROOT = Path(__file__).resolve().parents[1]
QUERIES, IN_FLIGHT, ROUNDS = 10_000, 16, 7
SERVER = ("127.0.0.11", 53)
P99_MS = 1.0
LONGEST_S = 5.0
_ANSWERED = 0x8000


def _query(number: int, name: str) -> bytes:
    labels = b"".join(bytes([len(each)]) + each.encode() for each in name.split("."))
    return struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", 1, 1)


def _asked(sock: socket.socket, queries: list[bytes]) -> tuple[float, list[float]]:
    """Ask all, as many at once as are in flight; return how long it took, and each answer's time, in milliseconds."""
    sent: dict[int, float] = {}
    took: list[float] = []
    at = 0
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    began = time.perf_counter()
    while len(took) < len(queries):
        while at < len(queries) and len(sent) < IN_FLIGHT:
            sent[at] = time.perf_counter()
            sock.send(queries[at])
            at += 1
        if not poll.poll(LONGEST_S * 1000):
            raise SystemExit(f"{len(sent)} queries are not answered")
        reply = sock.recv(1500)
        number, flags, _, answers = struct.unpack_from(">4H", reply)
        if not flags & _ANSWERED or flags & 0xF or not answers:
            raise SystemExit(f"query {number} is answered by {reply!r}")
        took.append((time.perf_counter() - sent.pop(number)) * 1000)
    return (time.perf_counter() - began) * 1000, took


def _round(engine: Any) -> tuple[float, float]:
    """Return the milliseconds that all queries take, and the 99th percentile of one."""
    key = engine.inspect("asks", ".NetworkSettings.SandboxKey").removeprefix("/var")
    namespace = os.open(engine.sandbox.seen(key if engine.sandbox.seen(key).exists() else f"/var{key}"), os.O_RDONLY)
    queries = [_query(number, "web" if number % 2 else "other") for number in range(QUERIES)]

    def connected() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.connect(SERVER)
        return sock

    try:
        with in_namespace(namespace, connected) as sock:
            whole, each = _asked(sock, queries)
    finally:
        os.close(namespace)
    return whole, statistics.quantiles(each, n=100)[98]


def _ready(engine: Any) -> None:
    engine("network", "create", "town")
    for name in ("web", "other", "asks"):
        engine("run", "-d", "--name", name, "--network", "town", "localhost/box", "sleep", "100000")
    _round(engine)


def rows() -> Iterator[Row]:
    """Measure."""
    sys.path.insert(0, str(ROOT / "tests"))
    from clients.engine import opened_moby  # type: ignore[import-not-found]
    from peers import bridged  # type: ignore[import-not-found]
    from peers.engines import opened  # type: ignore[import-not-found]
    from peers.images import archive  # type: ignore[import-not-found]

    from moby import distribution

    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        image = archive(folder / "image.tar", folder / "rootfs")
        distribution.assemble("docker", folder / "dist")
        (folder / "dockerd").mkdir()
        peer = opened("docker", "runc", folder / "dockerd", image, bridged.PREPARE, options=bridged.OPTIONS)
        ours = opened_moby(folder / "moby", image, folder / "dist/docker/docker.pyz")
        engines = (stack.enter_context(ours), stack.enter_context(peer))
        for each in engines:
            _ready(each)
        found = [[_round(each) for each in engines] for _ in range(ROUNDS)]
    (whole, p99), (their_whole, their_p99) = (
        tuple(statistics.median(each[at][part] for each in found) for part in (0, 1)) for at in (0, 1)
    )
    note = f"{QUERIES / whole * 1000:.0f} and {QUERIES / their_whole * 1000:.0f} queries a second"
    yield Row(f"{QUERIES:,} names by DNS, {IN_FLIGHT} in flight", whole, "dockerd", their_whole, 1.0, note)
    yield Row("one of them, 99th percentile", p99, "a millisecond", P99_MS, 1.0, f"dockerd {their_p99:.2f} ms")
