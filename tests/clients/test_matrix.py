"""Assemblies of every pair of parts, each through the same short scenario; docs/matrix.md is what comes of it.

Drawn anew by `MOBY_DRAW=1 python -m pytest tests/clients/test_matrix.py`.
"""

import itertools
import os
import sys
from pathlib import Path

import pytest
from clients.engine import opened_moby
from clients.test_networks import inside
from peers.engines import OURS, command_of
from peers.images import NAME, archive

from moby import distribution

pytestmark = pytest.mark.long

PAGE = Path(__file__).resolve().parents[2] / "docs/matrix.md"
PARTS = {
    "runtime": ("native", "runc"),
    "supervisor": ("local", "containerd"),
    "snapshotter": ("overlay", "copy"),
    "network-driver": ("bridge", "none"),
    "metadata": ("sqlite", "journal"),
    "log-driver": ("json-file", "local"),
}
HEAD = """# The matrix

Engines of every pair of these parts, each through the same scenario with the docker command: an image is loaded,
containers run, are entered, write logs, find each other by name where there is a network, stop, and are removed; then
nothing is left. Drawn by `tests/clients/test_matrix.py`, which fails where it isn't so.

"""
TAIL = """
With `containerd` the runtime `native` is the command `moby-runtime`, which a shim starts. Not among the pairs:
`foreground`, which has no daemon to ask; `crun`, which wants pure control groups, and so is tried in a guest; `etcd`,
whose server is another's process, and which has a suite of its own.
"""
ASK = """
import socket, sys
name = b"".join(bytes((len(each),)) + each.encode() for each in sys.argv[1].split(".")) + bytes(1)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
    asking.settimeout(60)
    asking.sendto(bytes((0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0)) + name + bytes((0, 1, 0, 1)), ("127.0.0.11", 53))
    print(socket.inet_ntoa(asking.recv(512)[-4:]))
"""


def rows():
    """Combinations in which every pair of parts of two kinds is, chosen so that few are needed."""

    def pairs(row):
        return set(itertools.combinations(zip(PARTS, row, strict=True), 2))

    every = list(itertools.product(*PARTS.values()))
    left = set().union(*map(pairs, every))
    found = []
    while left:
        best = max(every, key=lambda row: len(pairs(row) & left))
        left -= pairs(best)
        found.append(best)
    return found


ROWS = rows()


def manifest(row):
    chosen = dict(zip(PARTS, row, strict=True))
    runtime, supervisor = chosen.pop("runtime"), chosen.pop("supervisor")
    if supervisor == "containerd":
        named = "runc" if runtime == "runc" else f"native={command_of(OURS)}"
        parts = [f"  supervisor: {{use: containerd, config: {{runtimes: ['{named}']}}}}", "  runtime: null"]
    else:
        parts = [f"  supervisor: {supervisor}", f"  runtime: {runtime}"]
    network = chosen.pop("network-driver")
    parts += [f"  network-driver: [{', '.join(dict.fromkeys([network, 'none']))}]"]
    parts += [f"  {kind}: {name}" for kind, name in chosen.items()]
    return "moby: 1\nname: matrix\nextends: [docker]\ncomponents:\n  builder: null\n" + "\n".join(parts) + "\n"


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    return archive(folder / "image.tar", folder / "rootfs")


@pytest.fixture(scope="module")
def passed():
    """The rows that have passed."""
    return []


@pytest.mark.parametrize("row", ROWS, ids="-".join)
def test_the_scenario(row, tmp_path, image, passed):
    (tmp_path / "matrix.yaml").write_text(manifest(row))
    distribution.assemble(tmp_path / "matrix.yaml", tmp_path)
    bridged = "bridge" in row
    with opened_moby(tmp_path / "engine", image, tmp_path / "matrix/matrix.pyz") as engine:
        network = "town" if bridged else "none"
        if bridged:
            engine("network", "create", "town")
        options = ["--network", network]
        done = engine("run", "--rm", *options, NAME, "sh", "-c", "echo out; exit 3", check=False)
        assert (done.returncode, done.stdout) == (3, "out\n"), done.stderr
        for name in ("one", "two"):
            engine("run", "-d", "--name", name, *options, NAME, "sh", "-c", "echo up; sleep 1000")
        assert engine.out("exec", "one", "sh", "-c", "echo in >/file; cat /file") == "in"
        if bridged:
            address = engine.inspect("one", ".NetworkSettings.Networks.town.IPAddress")
            found = engine.sandbox.run(*inside(engine, "two"), sys.executable, "-c", ASK, "one")
            assert found.stdout.strip() == address
        engine("stop", "-t", "0", "one")
        assert engine.out("logs", "one") == "up"
        engine("rm", "one")
        engine("rm", "-f", "two")
        if bridged:
            engine("network", "rm", "town")
        engine.check_gone()
    passed.append(row)


def test_the_table(passed):
    if len(passed) < len(ROWS):
        pytest.skip("it is drawn of a run of all rows")
    lines = [f"| {' | '.join(PARTS)} | scenario |", "|---" * (len(PARTS) + 1) + "|"]
    lines += [f"| {' | '.join(row)} | passes |" for row in ROWS]
    drawn = HEAD + "\n".join(lines) + "\n" + TAIL
    if os.environ.get("MOBY_DRAW"):
        PAGE.write_text(drawn)
    assert PAGE.read_text() == drawn
