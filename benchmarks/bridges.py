"""Two containers on one network, and one with 1,000 published ports: our engine beside dockerd without its proxy.

Who sends and who answers are processes of the benchmark in the containers' network namespaces, the same for both.
Needs root, and what `tools/peers docker iptables iperf3` unpacks.
"""

import json
import os
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.engine import Worker
from benchmarks.measure import Row
from benchmarks.network import GIBIBYTE, PORT, SERVE, Tools, serving
from moby import distribution
from moby.host.elsewhere import in_namespace

__all__ = ["rows"]

ROUNDS = 11
ASKED = 5_000
"""How often something is asked and answered, each once the one before is answered."""
PORTS = "20000-20999"
READ_PORTS = 0.3 / (44 + 88)
"""Seconds, of dockerd's 44 to start it and 88 to remove it, when the target was set."""
_NAMES = ("one", "two")
_IDLES = ("sleep", "100000")
_SENT = bytes(64)


def rows() -> Iterator[Row]:
    """Measure."""
    tools = Tools()
    with tempfile.TemporaryDirectory() as name, _engines(Path(name)) as (ours, dockerd):
        with _pair(ours) as mine, _pair(dockerd) as theirs:
            yield _throughput(tools, mine, theirs)
            yield _latency(mine, theirs)
        yield _ports(ours, dockerd)


@contextmanager
def _engines(folder: Path) -> Iterator[tuple[Any, Any]]:
    """Lend both, each with an image loaded."""
    from clients.engine import opened_moby  # type: ignore[import-not-found]
    from peers import bridged  # type: ignore[import-not-found]
    from peers.box import archive  # type: ignore[import-not-found]
    from peers.engines import opened  # type: ignore[import-not-found]

    distribution.assemble("docker", folder / "dist")
    image = archive(folder / "image.tar", folder / "rootfs")
    (folder / "docker").mkdir()
    with ExitStack() as stack:
        ours = stack.enter_context(opened_moby(folder / "moby", image, folder / "dist" / "docker" / "docker.pyz"))
        lent = opened("docker", "runc", folder / "docker", image, bridged.PREPARE, options=bridged.OPTIONS)
        yield ours, stack.enter_context(lent)


@contextmanager
def _pair(engine: Any) -> Iterator[tuple[int, int, str]]:
    """Lend the network namespaces of two containers on one network, and the address of the second."""
    from peers.box import NAME

    engine("network", "create", "town")
    for each in _NAMES:
        engine("run", "-d", "--name", each, "--network", "town", NAME, *_IDLES)
    opened = [os.open(engine.sandbox.seen(f"/proc/{engine.inspect(each, '.State.Pid')}/ns/net"), os.O_RDONLY)
              for each in _NAMES]  # fmt: skip
    try:
        yield opened[0], opened[1], engine.inspect("two", ".NetworkSettings.Networks.town.IPAddress")
    finally:
        for fd in opened:
            os.close(fd)
        engine("rm", "-f", *_NAMES)
        engine("network", "rm", "town")


def _throughput(tools: Tools, *pairs: tuple[int, int, str]) -> Row:
    """Send as much as goes from one container to the other, on both engines in turn."""
    with ExitStack() as stack:
        for _, two, _ in pairs:
            process = in_namespace(two, lambda: serving(tools.program("iperf3", *SERVE), tools.environment))
            stack.callback(process.communicate)
            stack.callback(process.terminate)

        def sent_ms(one: int, address: str) -> float:
            words = tools.program("iperf3", "-c", address, "-p", str(PORT), "-t", "1", "-J")
            said = in_namespace(
                one, lambda: subprocess.run(words, check=True, capture_output=True, env=tools.environment)
            )
            return 8000 * GIBIBYTE / float(json.loads(said.stdout)["end"]["sum_received"]["bits_per_second"])

        taken = [[sent_ms(one, address) for one, _, address in pairs] for _ in range(ROUNDS)]
    ours, peer = (statistics.median(each) for each in zip(*taken, strict=True))
    note = ", ".join(f"{8 * GIBIBYTE / each / 1e6:.1f}" for each in (ours, peer)) + " Gbit/s"
    return Row("1 GiB from one container to another (iperf3)", ours, "dockerd", peer, 1.1, note)


def _latency(*pairs: tuple[int, int, str]) -> Row:
    """Ask and answer 64 bytes by TCP, on both engines in turn."""
    taken = [[_asked_ms(*each) for each in pairs] for _ in range(ROUNDS)]
    ours, peer = (statistics.median(each) for each in zip(*taken, strict=True))
    note = ", ".join(f"{each * 1000 / ASKED:.1f}" for each in (ours, peer)) + " µs each"
    return Row(f"{ASKED} questions by TCP from one container to another, answered", ours, "dockerd", peer, 1.1, note)


def _asked_ms(one: int, two: int, address: str) -> float:
    with in_namespace(two, socket.socket) as listener, in_namespace(one, socket.socket) as asking:
        listener.bind((address, 0))
        listener.listen()
        asking.connect(listener.getsockname())
        answering, _ = listener.accept()
        with answering:
            for each in (asking, answering):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            echo = threading.Thread(target=_echo, args=[answering])
            echo.start()
            began = time.perf_counter()
            for _ in range(ASKED):
                asking.sendall(_SENT)
                if asking.recv(len(_SENT), socket.MSG_WAITALL) != _SENT:
                    raise SystemExit("another answer came than was asked for")
            took = time.perf_counter() - began
            asking.shutdown(socket.SHUT_WR)
            echo.join()
    return took * 1000


def _echo(sock: socket.socket) -> None:
    while data := sock.recv(len(_SENT)):
        sock.sendall(data)


def _ports(*engines: Any) -> Row:
    """Start a container with 1,000 ports, and remove it; with dockerd once, which takes its time."""
    from peers.box import NAME

    run = ("docker", "run", "-d", "--name", "many", "-p", f"{PORTS}:{PORTS}", NAME, *_IDLES)
    medians = []
    for engine, rounds in zip(engines, (ROUNDS, 1), strict=True):
        worker = Worker(engine)
        try:
            taken = [
                worker.seconds(*run) + worker.seconds("docker", "rm", "-f", "many", output="many")
                for _ in range(rounds)
            ]
        finally:
            worker.close()
        medians.append(statistics.median(taken) * 1000)
    what = "docker run of a container with 1,000 ports, and its removal"
    return Row(what, medians[0], "dockerd", medians[1], READ_PORTS)
