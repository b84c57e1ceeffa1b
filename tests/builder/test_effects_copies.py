"""Copies come out as BuildKit's (tests/builder/answers/copies.json), with both snapshotters."""

import json
from pathlib import Path

import pytest
from benches import Bench, Ear
from copies import CASES, OTHER, base, context, described, settled
from lenders import Lender

from moby.errors import MobyError
from moby.testing.mounted import own_mounts

ANSWERS = json.loads((Path(__file__).parent / "answers/copies.json").read_text())


@pytest.fixture(scope="module", autouse=True)
def apart():
    """What is built here is mounted in the namespace that it finds."""
    with own_mounts(shared=True):
        yield


@pytest.fixture(scope="module")
def lent(tmp_path_factory):
    return context(tmp_path_factory.mktemp("context"))


@pytest.fixture(scope="module", params=["overlay", "copy"])
def bench(request, tmp_path_factory, apart):
    with Bench(tmp_path_factory.mktemp("bench"), request.param) as found:
        yield found


@pytest.fixture(scope="module")
def root(bench):
    return bench.base("base", base())


@pytest.fixture(scope="module")
def doing(bench, lent):
    with bench.build(Lender({"context": lent})) as found:
        yield found


@pytest.mark.parametrize("name", CASES)
def test_a_copy(name, bench, doing, root):
    node, ear = CASES[name], Ear()
    source = root if node.inputs[1] is OTHER else doing.perform(node.inputs[1], (), ear)
    try:
        digest = doing.content(node, [root, source], 1, ear)
        tree = doing.perform(node, [root, source], ear)
        found = described(b"".join(bench.snapshotter.export(tree.snapshot)))
    except MobyError as error:
        found = error.message
    else:
        assert digest == doing.content(node, [root, source], 1, ear)
    assert settled(name, found) == ANSWERS[name]


def test_all_that_was_recorded_is_tried():
    assert {*CASES} == {*ANSWERS}
