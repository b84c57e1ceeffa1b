"""Which kinds can be served: what the resolver refuses, what the page says, and what the contracts are."""

import re
from pathlib import Path

import pytest

import moby
from moby.errors import Invalid
from moby.placement import UNSERVED
from moby.scaffold.contract import kinds, protocol_of
from moby.served.methods import interface_of

PAGE = Path(__file__).resolve().parents[2] / "docs/served-parts.md"
WITH_EVENTS = ("containers", "networks", "orchestrator", "volumes")
"""Kinds whose parts need the events, of which an engine has one part, as front ends do."""


@pytest.mark.parametrize("kind", sorted({*kinds()} - {*UNSERVED}))
def test_all_others_can_be_called(kind):
    """Every method and attribute of theirs crosses."""
    interface = interface_of(protocol_of(kind))
    for method in interface.methods.values():
        assert method.result
        assert set(method.codecs) == set(method.parameters)
    assert set(interface.attribute_codecs) == set(interface.attributes)


def test_the_page_has_them_all():
    """The tables are what the resolver goes by."""
    text = PAGE.read_text("utf-8")
    refused = dict(re.findall(r"^\| `([a-z-]+)` \| no \| (.+) \|$", text, re.MULTILINE))
    assert refused == UNSERVED
    served = re.findall(r"^\| `([a-z-]+)` \| yes \| .+ \|$", text, re.MULTILINE)
    among = re.findall(r"^\| `([a-z-]+)` \| alone \| .+ \|$", text, re.MULTILINE)
    assert (sorted([*served, *among]), tuple(among)) == (sorted({*kinds()} - {*UNSERVED}), WITH_EVENTS)


def problems(tmp_path, part):
    file = tmp_path / "apart.yaml"
    file.write_text(f"moby: 1\nname: apart\nextends: [docker]\ncomponents:\n  {part}\n")
    with pytest.raises(Invalid) as refused:
        moby.resolve(moby.load(file))
    return refused.value.problems


@pytest.mark.parametrize("kind", WITH_EVENTS[1:2])
def test_what_others_need_as_well(tmp_path, kind):
    """Refused before anything is built: where it is to be served, who needs what can't be, and what would do."""
    (problem,) = problems(tmp_path, f"{kind}: {{use: registry, served: true}}")
    assert problem.message == f"events/ring is needed in several processes, and can't be served: {UNSERVED['events']}"
    where = problem.where
    assert where is not None
    assert (where.source, where.line, where.column) == (str(tmp_path / "apart.yaml"), 5, 37)
    assert f"{kind}/registry needs it in the process of {kind}/registry" in problem.because
    assert "frontend/docker needs it in the process of engine" in problem.because
    assert problem.fixes[0].startswith(f"drop `served: true` of {kind}/registry at ")


def test_what_opens_the_same_store_in_each_process(tmp_path):
    """A served snapshotter needs the metadata, as the engine does: each of them has its own."""
    file = tmp_path / "apart.yaml"
    file.write_text(
        "moby: 1\nname: apart\nextends: [docker]\ncomponents:\n  snapshotter: {use: overlay, served: true}\n"
    )
    plan = moby.resolve(moby.load(file))
    assert plan.get("snapshotter/overlay").processes == ("snapshotter/overlay",)
    assert plan.get("metadata/sqlite").processes == ("engine", "snapshotter/overlay")
