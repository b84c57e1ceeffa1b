"""Where values come from: the chain from what holds down to the default."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from moby import manifest
from moby.cli import session
from moby.cli.why import command
from moby.component import Arity, Facts, Need, Option
from moby.errors import Invalid, NotFound
from moby.manifest import Assembly
from moby.manifest.paths import join, split
from moby.manifest.provenance import Provenance, provenance
from moby.registry import Catalog

RUNC = Facts(
    id="runtime/runc",
    kind="runtime",
    name="runc",
    version="1.0",
    contract=1,
    distribution="d 1",
    module="m",
    options=(
        Option("binary", {"type": "string"}, default="runc"),
        Option("root", {"type": "string"}, required=True),
        Option("unset", {"anyOf": [{"type": "string"}, {"type": "null"}]}, default=None),
    ),
)
KEEPER = Facts(
    id="supervisor/keeper",
    kind="supervisor",
    name="keeper",
    version="2.0",
    contract=1,
    distribution="d 1",
    module="m",
    needs=(Need("runtimes", "runtime", Arity.EACH),),
    options=(Option("grace_s", {"type": "integer"}, default=3),),
    preferred=True,
)
CATALOG = Catalog({each.id: each for each in (RUNC, KEEPER)})
BASE = """parameters: {dir: /opt}
components:
  runtime: {use: runc, config: {binary: "${dir}/runc", root: /r, env: {A: x}}}
"""


def _facts(kind: str, name: str) -> Facts | None:
    return CATALOG.get(f"{kind}/{name}")


def _read(found: Provenance) -> tuple[str, Any, list[tuple[Any, str]]]:
    return found.path, found.value, [(each.value, str(each.origin)) for each in found.chain]


@pytest.fixture
def assembly(load: Callable[..., Assembly]) -> Assembly:
    over = "components:\n  runtime: {config: {binary: /mine, env: {A: null, B: y}}}\n  many: [x, y]\n"
    return load(BASE, over, sets=("components.runtime.config.binary=/flag",))


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("components.runtime.runc.config.binary", id="full"),
        pytest.param("components.runtime.config.binary", id="without-part"),
        pytest.param("runtime.config.binary", id="without-components"),
    ],
)
def test_the_chain_of_an_option(assembly: Assembly, path: str) -> None:
    (found,) = provenance(assembly, path, _facts)
    assert _read(found) == (
        "components.runtime.runc.config.binary",
        "/flag",
        [
            ("/flag", "--set components.runtime.config.binary"),
            ("/mine", "layer1.yaml:4:30"),
            ("/opt/runc", "layer0.yaml:5:41"),
            ("runc", "default of runtime/runc 1.0"),
        ],
    )
    assert [_read(each) for each in found.parameters] == [("parameters.dir", "/opt", [("/opt", "layer0.yaml:3:19")])]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("runtime.config.unset", [(None, "default of runtime/runc 1.0")], id="default-null"),
        pytest.param("runtime.config.root", [("/r", "layer0.yaml:5:62")], id="required"),
        pytest.param("runtime.config.env.A", [(None, "layer1.yaml:4:46"), ("x", "layer0.yaml:5:75")], id="removed"),
        pytest.param("runtime.policy", [("required", "default of the manifest's schema")], id="policy"),
        pytest.param("distribution.target", [("any", "default of the manifest's schema")], id="target"),
        pytest.param("name", [("engine", "layer0.yaml:2:7")], id="name"),
    ],
)
def test_one_value(assembly: Assembly, path: str, expected: object) -> None:
    (found,) = provenance(assembly, path, _facts)
    assert _read(found)[2] == expected


def test_a_path_of_several_values_lists_those_that_hold(assembly: Assembly) -> None:
    found = provenance(assembly, "components.runtime.config", _facts)
    assert {each.path.partition("config.")[2]: each.value for each in found} == {
        "binary": "/flag",
        "env.B": "y",
        "root": "/r",
        "unset": None,
    }


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        pytest.param(
            "runtime.config.bin",
            "nothing at components.runtime.runc.config.bin",
            "moby why FILE components.runtime.runc.config.binary",
            id="option",
        ),
        pytest.param(
            "qqqqqqqqqqqqqqqq", "nothing at components.qqqqqqqqqqqqqqqq", "moby why FILE components", id="kind"
        ),
        pytest.param(
            "many.policy",
            "many has several parts, so components.many.policy could be any",
            "one of components.many.x.policy, components.many.y.policy",
            id="which",
        ),
        pytest.param("a..b", "'a..b' is no path", "as in components.runtime.config.binary", id="no-path"),
    ],
)
def test_nothing_there(assembly: Assembly, path: str, message: str, hint: str) -> None:
    with pytest.raises(NotFound) as caught:
        provenance(assembly, path, _facts)
    assert (caught.value.message, caught.value.hint) == (message, hint)


@settings(deadline=None)
@given(st.lists(st.text(max_size=6), min_size=1, max_size=4))
def test_paths_come_back(names: list[str]) -> None:
    assert split(join(*names)) == tuple(names)


# The command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def why(put: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.setattr(session, "catalog", lambda: CATALOG)
    put(f"name: base\n{BASE}", "base.yaml")
    put("extends: [base.yaml]\ncomponents: {runtime: {config: {env: {A: null}}}}", "top.yaml")

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(command, ["top.yaml", *arguments], catch_exceptions=False)
        assert result.exit_code == 0
        return result.stdout

    return run


def test_command_prints_the_chain(why: Callable[..., str]) -> None:
    assert why("runtime.config.binary", "--set", "components.runtime.config.binary=/x") == (
        'components.runtime.runc.config.binary = "/x"\n'
        "  set at --set components.runtime.config.binary\n"
        '  over "/opt/runc" at base.yaml:5:41, written "${dir}/runc"\n'
        '  over "runc", default of runtime/runc 1.0\n'
        '    parameters.dir = "/opt"\n'
        "      set at base.yaml:3:19\n"
    )


def test_command_prints_a_default_and_a_removal(why: Callable[..., str]) -> None:
    assert why("runtime.config.unset") == (
        "components.runtime.runc.config.unset = null\n  default of runtime/runc 1.0\n"
    )
    assert why("runtime.config.env.A") == (
        'components.runtime.runc.config.env.A = null\n  removed at top.yaml:3:42\n  over "x" at base.yaml:5:75\n'
    )


def test_command_prints_json(why: Callable[..., str]) -> None:
    data = json.loads(why("runtime.config.binary", "--json"))
    assert data["schema"] == 1
    (value,) = data["values"]
    assert (value["path"], value["value"]) == ("components.runtime.runc.config.binary", "/opt/runc")
    assert value["chain"][0] == {
        "value": "/opt/runc", "written": "${dir}/runc", "source": "base.yaml", "line": 5, "column": 41,
    }  # fmt: skip
    assert value["chain"][1]["source"] == "default of runtime/runc 1.0"
    assert value["parameters"][0]["path"] == "parameters.dir"


def test_command_knows_what_is_filled_in(
    put: Callable[..., Path], why: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from moby.plan import Instance, Plan

    filled = Instance("supervisor", "keeper", KEEPER, reason="preferred")
    monkeypatch.setattr(session, "plan", lambda *_: (None, CATALOG, Plan("x", (filled,))))
    assert why("supervisor.use") == 'components.supervisor.keeper.use = "keeper"\n  set at resolution: preferred\n'
    assert why("supervisor.config.grace_s").endswith("default of supervisor/keeper 2.0\n")


def test_command_without_a_plan_to_fill_from(why: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise Invalid("no plan")

    monkeypatch.setattr(session, "plan", fails)
    with pytest.raises(NotFound, match=r"nothing at components\.supervisor"):
        why("supervisor.use")


def test_command_on_a_shipped_assembly() -> None:
    result = CliRunner().invoke(command, ["quickstart", "name"], catch_exceptions=False)
    assert result.stdout.startswith('name = "quickstart"\n  set at ')
    assert manifest.load("quickstart", environ={}).where("name") is not None
