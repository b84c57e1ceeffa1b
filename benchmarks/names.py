"""Names by DNS in a container's network: 10,000 queries, 16 in flight, of our engine and of dockerd, in turn.

Who asks is a process of the benchmark in the container's network namespace, the same for both; each answer must be the
address that `docker inspect` shows. Asked for are two names again and again; as many names as queries, none of them
asked for since names changed; two names by a socket for each query, as resolvers do; and two names while a container
comes and goes on that network. Needs root, and what `tools/peers docker` unpacks.
"""

import contextlib
import os
import random
import select
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from benchmarks.measure import Row
from moby.host.elsewhere import in_namespace

__all__ = ["rows"]

ROOT = Path(__file__).resolve().parents[1]
QUERIES, IN_FLIGHT, ROUNDS = 10_000, 16, 7
SERVER = ("127.0.0.11", 53)
P99_MS = 1.0
LONGEST_S = 5.0
_ANSWERED = 0x8000
_NETWORK, _IMAGE = "town", "localhost/box"
_IDLES = ("sleep", "100000")
_CHANGES = f"""
while [ ! -e /run/enough ]; do
    docker network connect {_NETWORK} guest && docker network disconnect {_NETWORK} guest && echo gone
done
rm /run/enough
"""


@frozen
class Way:
    """How names are asked for."""

    what: str
    queries: int = QUERIES
    different: bool = False
    """Whether each name is another one, which nobody has asked for since names changed."""
    own_sockets: bool = False
    """Whether each query has a socket of its own."""
    changing: bool = False
    """Whether a container comes and goes meanwhile."""


WAYS = (
    Way("2 names"),
    Way(f"{QUERIES:,} names", different=True),
    Way("2 names, a socket for each query", own_sockets=True),
    Way("2 names while a container comes and goes", queries=5 * QUERIES, changing=True),
)


@frozen
class Asked:
    """What came of a round, in milliseconds, and how often the container came and went meanwhile."""

    whole: float
    p99: float
    changes: int = 0


def _query(number: int, name: str) -> bytes:
    labels = b"".join(bytes([len(each)]) + each.encode() for each in name.split("."))
    return struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", 1, 1)


def _check(reply: bytes, query: bytes, address: str) -> None:
    """End the benchmark where a reply isn't the query's, with one record, which is the address."""
    number, flags, *counts = struct.unpack_from(">6H", reply)
    kind, kin, _, length = struct.unpack_from(">HHIH", reply, len(reply) - 14)
    right = number == struct.unpack_from(">H", query)[0] and flags & _ANSWERED and not flags & 0xF
    right = (
        right and reply[12 : len(query)] == query[12:] and counts == [1, 1, 0, 0] and (kind, kin, length) == (1, 1, 4)
    )
    if not right or socket.inet_ntoa(reply[-4:]) != address:
        raise SystemExit(f"query {query!r}, for {address}, is answered by {reply!r}")


def _connected() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(SERVER)
    return sock


def _asked(queries: Sequence[bytes], own_sockets: bool) -> tuple[float, list[float], list[bytes]]:
    """Ask all, as many at once as are in flight; return how long that took, each one's time in ms, and the replies."""
    sent: dict[int, float] = {}
    took = [0.0] * len(queries)
    replies = [b""] * len(queries)
    poll, watched = select.poll(), dict[int, socket.socket]()
    at, shared = 0, None if own_sockets else _connected()
    if shared:
        watched[shared.fileno()] = shared
        poll.register(shared, select.POLLIN)
    began = time.perf_counter()
    while sent or at < len(queries):
        while at < len(queries) and len(sent) < IN_FLIGHT:
            sent[at] = time.perf_counter()
            sock = shared or _connected()
            if not shared:
                watched[sock.fileno()] = sock
                poll.register(sock, select.POLLIN)
            sock.send(queries[at])
            at += 1
        ready = poll.poll(LONGEST_S * 1000)
        if not ready:
            raise SystemExit(f"{len(sent)} queries are not answered")
        for fd, _ in ready:
            reply = watched[fd].recv(1500)
            number = int.from_bytes(reply[:2], "big")
            took[number] = (time.perf_counter() - sent.pop(number)) * 1000
            replies[number] = reply
            if not shared:
                poll.unregister(fd)
                watched.pop(fd).close()
    whole = (time.perf_counter() - began) * 1000
    if shared:
        shared.close()
    return whole, took, replies


def _alias(number: int) -> str:
    return f"n{number}"


@contextlib.contextmanager
def _changing(engine: Any, found: list[int]) -> Iterator[None]:
    """Have a container come and go; how often it did is found at the end."""
    words = engine.sandbox.argv("sh", "-c", _CHANGES)
    process = subprocess.Popen(words, env=engine.sandbox.environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        yield
    finally:
        engine.sandbox.seen("/run/enough").touch()
        found.append(len(process.communicate()[0].splitlines()))


def _round(engine: Any, way: Way) -> Asked:
    key = engine.inspect("asks", ".NetworkSettings.SandboxKey").removeprefix("/var")
    addresses = {
        name: engine.inspect(name, f".NetworkSettings.Networks.{_NETWORK}.IPAddress") for name in ("web", "other")
    }
    names = [_alias(each) for each in range(QUERIES)] if way.different else ["web", "other"] * (way.queries // 2)
    random.Random(1).shuffle(names)  # noqa: S311 - an order
    queries = [_query(number, name) for number, name in enumerate(names)]
    changes: list[int] = []
    with contextlib.ExitStack() as stack:
        path = engine.sandbox.seen(key)
        namespace = os.open(path if path.exists() else engine.sandbox.seen(f"/var{key}"), os.O_RDONLY)
        stack.callback(os.close, namespace)
        if way.different:  # what was kept of answers is forgotten by that
            engine("network", "connect", _NETWORK, "guest")
            engine("network", "disconnect", _NETWORK, "guest")
        if way.changing:
            stack.enter_context(_changing(engine, changes))
        whole, took, replies = in_namespace(namespace, lambda: _asked(queries, way.own_sockets))
    for name, query, reply in zip(names, queries, replies, strict=True):
        _check(reply, query, addresses.get(name, addresses["other"]))
    return Asked(whole, statistics.quantiles(took, n=100)[98], sum(changes))


def _ready(engine: Any) -> None:
    engine("network", "create", _NETWORK)
    aliases = [word for each in range(QUERIES) for word in ("--network-alias", _alias(each))]
    for name, more in (("web", ()), ("other", aliases), ("asks", ())):
        engine("run", "-d", "--name", name, "--network", _NETWORK, *more, _IMAGE, *_IDLES)
    engine("run", "-d", "--name", "guest", _IMAGE, *_IDLES)
    for way in WAYS:
        _round(engine, way)


def _found(ours: Any, peer: Any, way: Way) -> tuple[Asked, Asked]:
    """Return the medians of rounds in turn, of which each engine begins every other."""
    rounds: tuple[list[Asked], list[Asked]] = ([], [])
    for number in range(ROUNDS):
        for at in (0, 1) if number % 2 else (1, 0):
            rounds[at].append(_round((ours, peer)[at], way))
    first, second = (
        Asked(
            statistics.median(each.whole for each in found),
            statistics.median(each.p99 for each in found),
            round(statistics.mean(each.changes for each in found)),
        )
        for found in rounds
    )
    return first, second


def rows() -> Iterator[Row]:
    """Measure."""
    sys.path.insert(0, str(ROOT / "tests"))
    from clients.engine import opened_moby  # type: ignore[import-not-found]
    from peers import bridged  # type: ignore[import-not-found]
    from peers.box import archive  # type: ignore[import-not-found]
    from peers.engines import opened  # type: ignore[import-not-found]

    from moby import distribution

    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        image = archive(folder / "image.tar", folder / "rootfs")
        distribution.assemble("docker", folder / "dist")
        (folder / "dockerd").mkdir()
        peer = stack.enter_context(
            opened("docker", "runc", folder / "dockerd", image, bridged.PREPARE, options=bridged.OPTIONS)
        )
        ours = stack.enter_context(opened_moby(folder / "moby", image, folder / "dist/docker/docker.pyz"))
        for each in (ours, peer):
            _ready(each)
        for way in WAYS:
            mine, theirs = _found(ours, peer, way)
            yield from _rows(way, mine, theirs)


def _rows(way: Way, mine: Asked, theirs: Asked) -> Iterator[Row]:
    rates = [f"{way.queries / each.whole * 1000:.0f}" for each in (mine, theirs)]
    note = f"{rates[0]} and {rates[1]} queries a second"
    if way.changing:
        note += f"; it came and went {mine.changes} and {theirs.changes} times"
    what = f"{way.queries:,} queries by DNS, {IN_FLIGHT} in flight, for {way.what}"
    yield Row(what, mine.whole, "dockerd", theirs.whole, 1.0, note)
    yield Row("one of them, 99th percentile", mine.p99, "a millisecond", P99_MS, 1.0, f"dockerd {theirs.p99:.2f} ms")
