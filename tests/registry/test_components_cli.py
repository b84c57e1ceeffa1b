"""The verbs components, show and plugins, over a catalog made by hand."""

import json
from typing import Any

import pytest
from attrs import evolve
from click.testing import CliRunner, Result
from test_facts import FACTS

from moby.cli import main, session
from moby.component import Arity, Conflicting, HostNeed, Need, Option
from moby.registry import Broken, Catalog, Distribution
from moby.registry.catalog import settle

OTHER = evolve(
    FACTS, id="runtime/slow", kind="runtime", name="slow", needs=(), options=(), host=(), provides=(), conflicts=()
)
BROKEN = (
    Broken("bad 1.0", "bad.plugin", "importing it raised ValueError: no"),
    Broken("worse 1.0", "", "its facts lie"),
)
CATALOG = settle([FACTS, OTHER], BROKEN, [Distribution("parts", "3.0", info=None, editable=True)])  # type: ignore[arg-type]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Catalog:
    monkeypatch.setattr(session, "catalog", lambda: CATALOG)
    return CATALOG


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main.cli, list(arguments))


@pytest.mark.usefixtures("installed")
class TestComponents:
    def test_lines(self) -> None:
        result = run("components")
        assert result.stdout.splitlines() == [
            "runtime/slow\t1.2\tparts 3.0\tKeeps containers alive.",
            "supervisor/local\t1.2\tparts 3.0\tKeeps containers alive.",
        ]
        assert result.stderr == "2 broken parts left out; see moby plugins\n"

    def test_one_kind(self) -> None:
        assert run("components", "--kind", "runtime").stdout.split("\t")[0] == "runtime/slow"

    def test_json_has_the_facts_that_it_promises_and_no_others(self) -> None:
        data = json.loads(run("components", "--json").stdout)
        assert data["schema"] == 1
        assert [each["id"] for each in data["components"]] == ["runtime/slow", "supervisor/local"]
        assert data["components"][1].keys() == {
            "id", "kind", "name", "version", "contract", "distribution", "provides", "needs", "host", "options",
        }  # fmt: skip

    def test_one_broken_part_is_no_plural(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(session, "catalog", lambda: settle([], BROKEN[:1]))
        assert run("components").stderr == "1 broken part left out; see moby plugins\n"


@pytest.mark.usefixtures("installed")
class TestPlugins:
    def test_lines(self) -> None:
        assert run("plugins").stdout.splitlines() == [
            "bad 1.0\tbroken\t-",
            "parts 3.0\tok\truntime/slow supervisor/local",
            "worse 1.0\tbroken\t-",
            "broken\tbad 1.0, bad.plugin\timporting it raised ValueError: no",
            "broken\tworse 1.0\tits facts lie",
        ]

    def test_json(self) -> None:
        plugins = json.loads(run("plugins", "--json").stdout)["plugins"]
        assert plugins[0] == {
            "distribution": "bad 1.0",
            "editable": False,
            "components": [],
            "broken": [{"module": "bad.plugin", "reason": "importing it raised ValueError: no"}],
        }
        assert plugins[1]["editable"] is True


SHOWN = """\
supervisor/local 1.2
  Keeps containers alive.
  from          parts 3.0 (parts.plugin)
  contract      supervisor 1
  preferred     fills the kind supervisor where an assembly names none
  offers        a
                b
  needs         every chosen runtime that offers cgroups, exec
                one images
                a supervisor if there is one
  given         clock
                log
                place
  host          binary runc>=1.1 (package runc): it starts containers
  conflicts     any runtime with slow: it waits
  brings        zstandard

options
  workers: whole number = 2
"""


@pytest.mark.usefixtures("installed")
class TestShow:
    def test_all_of_it(self) -> None:
        assert run("show", "local").stdout == SHOWN

    def test_json_is_every_fact(self) -> None:
        data = json.loads(run("show", "supervisor/local", "--json").stdout)
        assert data["module"] == "parts.plugin"
        assert data["needs"][0]["arity"] == "each"

    def test_the_shell_completes_names(self) -> None:
        from moby.cli.show import command

        completed = command.params[0].shell_complete(None, "su")  # type: ignore[arg-type]
        assert [each.value for each in completed] == ["supervisor/local"]


@pytest.mark.parametrize(
    ("option", "line"),
    [
        pytest.param(Option("x", {"type": "string"}, "a"), '  x: text = "a"', id="text"),
        pytest.param(Option("x", {"type": "string", "format": "path"}, "/a"), '  x: path = "/a"', id="path"),
        pytest.param(Option("x", {"type": "number"}, required=True), "  x: number, must be given", id="required"),
        pytest.param(Option("x", {"enum": ["a", 2]}, 2), "  x: a | 2 = 2", id="choice"),
        pytest.param(
            Option("x", {"anyOf": [{"type": "boolean"}, {"type": "null"}]}), "  x: boolean or null = null", id="null"
        ),
        pytest.param(
            Option("x", {"type": "array", "items": {"type": "integer"}}, []),
            "  x: list of whole number = []",
            id="list",
        ),
        pytest.param(
            Option("x", {"type": "object", "additionalProperties": {"type": "string"}}, {}),
            "  x: map to text = {}",
            id="map",
        ),
        pytest.param(
            Option("x", {"type": "object", "properties": {"a": {"type": "string"}}}, {}),
            "  x: {a: text} = {}",
            id="nested",
        ),
        pytest.param(Option("x", {"type": "string"}, "", help="Why."), '  x: text = ""\n      Why.', id="help"),
    ],
)
def test_an_option_in_words(monkeypatch: pytest.MonkeyPatch, option: Option, line: str) -> None:
    monkeypatch.setattr(session, "catalog", lambda: settle([evolve(OTHER, options=(option,))], ()))
    assert run("show", "slow").stdout.partition("options\n")[2] == f"{line}\n"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        pytest.param({"host": (HostNeed("kernel", "overlay"),)}, "host          kernel overlay", id="host"),
        pytest.param({"conflicts": (Conflicting("a/b"),)}, "conflicts     a/b", id="conflict"),
        pytest.param({"needs": (Need("x", "log", Arity.ONE),)}, "needs         one log", id="need"),
    ],
)
def test_a_fact_with_nothing_more_to_say(monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], line: str) -> None:
    monkeypatch.setattr(session, "catalog", lambda: settle([evolve(OTHER, **changes)], ()))
    assert f"  {line}\n" in run("show", "slow").stdout
