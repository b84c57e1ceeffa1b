"""Assemblies of every pair of parts, each through the same short scenario; docs/matrix.md is what comes of it.

Drawn anew by `MOBY_DRAW=1 python -m pytest -m "long or slow" tests/clients/test_matrix.py`.
"""

import itertools
import os
import re
from pathlib import Path

import pytest
from clients.engine import opened
from clients.matrix import ALONE, APART, HIDDEN, PARTS, Chosen, driver_of, lived, manifest, rows, transferred
from peers.assembled import assembled

from moby import registry

PAGE = Path(__file__).resolve().parents[2] / "docs/matrix.md"
HEAD = """# The matrix

Engines of every pair of these parts, each through the same scenario with the docker command: an image is loaded, pushed
to an image registry and pulled from it; containers run, share a volume, are entered, write logs, find each other by
name where there is a network, stop, and are removed; then nothing is left. Drawn by `tests/clients/test_matrix.py`,
which fails where it isn't so.

"""
TAIL = """
With `containerd` the runtime `native` is the command `moby-runtime`, which a shim starts; `crun` runs where the unified
hierarchy of cgroups isn't mounted beside others.

## What isn't among the pairs

Each of these parts has the conformance suite of its kind, but can't go through this scenario, or not with the other:

"""
ROWS = rows()
FIRST = ROWS[0]


@pytest.fixture(scope="module")
def passed():
    """The rows that have passed."""
    return []


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, marks=pytest.mark.slow if row == FIRST else pytest.mark.long) for row in ROWS],
    ids="-".join,
)
def test_the_scenario(row, tmp_path, image, passed):
    more = {"distribution": assembled(tmp_path, "matrix", manifest(row)), "row": row}
    hidden = next((HIDDEN[each] for each in row if each in HIDDEN), ())
    with opened(Chosen, tmp_path / "engine", image, hidden=hidden, **more) as engine:
        transferred(engine)
        lived(engine, driver_of(row), row[list(PARTS).index("volume-driver")])
        engine.check_gone()
    passed.append(row)


def test_every_pair_is_there():
    pairs = {frozenset(pair) for row in ROWS for pair in itertools.combinations(zip(PARTS, row, strict=True), 2)}
    kinds = itertools.combinations(PARTS, 2)
    wanted = {frozenset([(a, x), (b, y)]) for a, b in kinds for x, y in itertools.product(PARTS[a], PARTS[b])}
    assert pairs == wanted - {frozenset(each) for each in APART}


def test_every_part_of_these_kinds_is_there_or_has_its_reason():
    """Of the framework's own: whoever adds one says which it is."""
    told = {kind: {*names} for kind, names in PARTS.items()}
    for what in ALONE:
        kind, names = what.partition(" ")[0], re.findall("`([^`]*)`", what)
        for each in [kind] if kind in PARTS else PARTS:
            told[each].update(names)
    parts = registry.discover().components.values()
    own = {
        kind: {each.name for each in parts if each.kind == kind and "framework" in each.distribution} for kind in PARTS
    }
    assert {kind: own[kind] - told[kind] for kind in PARTS} == {kind: set() for kind in PARTS}


def drawn():
    lines = [f"| {' | '.join(PARTS)} | scenario |", "|---" * (len(PARTS) + 1) + "|"]
    lines += [f"| {' | '.join(row)} | passes |" for row in ROWS]
    apart = [f"| {a[0]} `{a[1]}` with {b[0]} `{b[1]}` | {why} |" for (a, b), why in APART.items()]
    alone = [f"| {part} | {why} |" for part, why in ALONE.items()]
    reasons = ["| what | why |", "|---|---|", *apart, *alone]
    return HEAD + "\n".join(lines) + "\n" + TAIL + "\n".join(reasons) + "\n"


@pytest.mark.long
def test_the_table(passed):
    if len(passed) < len(ROWS):
        pytest.skip("it is drawn of a run of all rows")
    if os.environ.get("MOBY_DRAW"):
        PAGE.write_text(drawn())
    assert PAGE.read_text() == drawn()
