"""Dockerfiles as data: the graph, the config and the history that each comes to, or why it comes to nothing."""

import pytest
from frontend_parts import cases, written
from moby_builder.dockerfile.frontend.planning import plan

from moby.contracts.builder import BuildFailed
from moby.errors import MobyError

ALL = cases()


def _plan(case):
    return plan(case.request, case.lookup)


@pytest.mark.parametrize("case", [each for each in ALL if each.graph], ids=lambda case: case.name)
def test_a_file_comes_to_a_graph_and_a_config(case):
    made = _plan(case)
    target = made.targets[0]
    assert written(made) == case.graph
    assert target.config["config"] == case.expected["config"]
    assert [each["created_by"] for each in target.config["history"]] == case.expected["history"]
    assert target.config.get("author") == case.expected.get("author")
    assert (made.file, made.source.encode()) == ("Dockerfile", case.dockerfile)


@pytest.mark.parametrize("case", [each for each in ALL if not each.graph], ids=lambda case: case.name)
def test_a_failure_says_why_and_where(case):
    with pytest.raises(MobyError) as raised:
        _plan(case)
    error = raised.value
    assert error.message == case.expected["error"]
    ranges = getattr(error, "ranges", ())
    assert [[each.first, each.last] for each in ranges] == case.expected["lines"]
    if isinstance(error, BuildFailed) and ranges:
        assert (error.file, error.source.encode()) == ("Dockerfile", case.dockerfile)


@pytest.mark.parametrize("case", [each for each in ALL if each.graph], ids=lambda case: case.name)
def test_layers_and_history_agree(case):
    """A history has an entry for each change of the root, however many nodes make it."""
    target = _plan(case).targets[0]
    changes = 0
    node = target.root
    while node.inputs:
        changes += 1
        node = node.inputs[0]
    assert changes == len([each for each in target.config["history"] if not each.get("empty_layer")])


def test_there_are_many():
    assert len(ALL) > 100
