"""Pictures of a plan: what they show, that they are the same each time, and that no value breaks out of them."""

import itertools
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moby import graph
from moby.component import Arity, Facts, HostNeed, Option
from moby.graph.layout import arrange
from moby.graph.svg import human_bytes
from moby.plan import Binding, Instance, Plan

EVIL = '"><script>alert(1)</script>'


def part(
    kind: str, name: str, needs: Mapping[str, tuple[str, ...]] | None = None, reason: str = "chosen at a:1:1"
) -> Instance:
    facts = Facts(
        id=f"{kind}/{name}", kind=kind, name=name, version="1.0", contract=1, distribution="d 1", module="m",
        summary=f"A {kind}.", host=(HostNeed("binary", "sh", ">=1"),),
        options=(Option("colour", {"type": "string"}, "red", help="of the shed"),),
    )  # fmt: skip
    bindings = {parameter: Binding(Arity.EACH, targets) for parameter, targets in (needs or {}).items()}
    return Instance(kind, name, facts, {"colour": "blue"}, reason=reason, bindings=bindings)


PLAN = Plan(
    "shed",
    (
        part("runtime", "native"),
        part("runtime", "bwrap", reason="supervisor/foreground needs it"),
        part("supervisor", "foreground", {"runtimes": ("runtime/native", "runtime/bwrap")}),
        part("command", "run", {"supervisor": ("supervisor/foreground",), "spare": ("supervisor/foreground",)}),
    ),
)


def test_svg_shows_every_part_and_arrow() -> None:
    root = ElementTree.fromstring(graph.svg(PLAN, {"runtime/native": 12_345}))
    space = {"s": "http://www.w3.org/2000/svg"}
    assert {box.get("data-key") for box in root.findall(".//s:g", space)} == {each.key for each in PLAN.instances}
    assert len(root.findall(".//s:path[@class='arrow']", space)) == 3
    assert "1.0 · 12.3 kB" in [text.text for text in root.findall(".//s:text", space)]
    assert [box.get("data-key") for box in root.findall(".//s:g[@class='box filled']", space)] == ["runtime/bwrap"]


def test_data_has_what_a_reader_asks_for() -> None:
    data = graph.data(PLAN, {"runtime/native": 5})
    node = next(each for each in data["nodes"] if each["key"] == "supervisor/foreground")
    assert node["users"] == ["command/run"]
    assert node["needs"] == {"runtimes": ["runtime/native", "runtime/bwrap"]}
    assert node["options"] == [
        {"name": "colour", "value": "blue", "default": "red", "open": False, "help": "of the shed"}
    ]
    assert node["host"] == ["binary sh>=1"]
    assert data["edges"][0] == {
        "from": "command/run",
        "to": "supervisor/foreground",
        "parameters": ["spare", "supervisor"],
    }
    assert {each["key"]: each["bytes"] for each in data["nodes"]}["runtime/native"] == 5


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param(graph.dot(PLAN), '"supervisor/foreground" -> "runtime/native" [label="runtimes"];', id="dot"),
        pytest.param(graph.mermaid(PLAN), 'n2 -->|"runtimes"| n0', id="mermaid"),
    ],
)
def test_text_forms(text: str, line: str) -> None:
    assert line in text


def test_values_cannot_break_out() -> None:
    evil = Plan(EVIL, (part("runtime", EVIL, reason=EVIL),))
    page = graph.html(evil)
    assert "<script>alert" not in page
    start = page.index('id="graph">') + len('id="graph">')
    assert json.loads(page[start : page.index("</script>", start)])["name"] == EVIL
    ElementTree.fromstring(graph.svg(evil))
    assert '""' not in graph.dot(evil).replace('\\"', "")


def test_empty_plan_draws() -> None:
    ElementTree.fromstring(graph.svg(Plan("empty")))


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (12_345, "12.3 kB"), (2_000_000, "2 MB"), (3_210_000_000, "3.21 GB")]
)
def test_human_bytes(size: int, text: str) -> None:
    assert human_bytes(size) == text


@given(st.lists(st.sets(st.integers(0, 30)), max_size=12))
def test_boxes_never_overlap_and_arrows_point_down(needs: list[set[int]]) -> None:
    instances = tuple(
        part("k", f"p{number}", {"needs": tuple(f"k/p{each}" for each in sorted(wanted) if each < number)})
        for number, wanted in enumerate(needs)
    )
    layout = arrange(Plan("any", instances))
    boxes = {box.key: box for box in layout.boxes}
    assert len({(box.x, box.y) for box in layout.boxes}) == len(instances)
    for row in {box.y for box in layout.boxes}:
        columns = sorted(box.x for box in layout.boxes if box.y == row)
        assert all(right - left >= 188 for left, right in itertools.pairwise(columns))
    assert all(boxes[arrow.source].y < boxes[arrow.target].y for arrow in layout.arrows)
    assert all(box.x >= 0 and box.x + box.width <= layout.width for box in layout.boxes)
