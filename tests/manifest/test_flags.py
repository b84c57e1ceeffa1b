"""`--set PATH=VALUE`: any path, a YAML value, laid over everything else."""

from collections.abc import Callable
from typing import Any

import pytest

from moby.manifest import Assembly, Reading

BASE = """
parameters: {p: 1}
components:
  one: {use: a, config: {x: 1, m: {q: 1}}}
  many: [a, {use: a, as: n, config: {x: 1}}]
distribution: {formats: [pyz]}
"""


def _parts(assembly: Assembly) -> dict[str, Any]:
    return {f"{each.kind}.{each.name}": (each.use, each.config) for each in assembly.choices}


@pytest.mark.parametrize(
    ("flag", "path", "expected"),
    [
        pytest.param("components.one.config.x=2", "one.a", ("a", {"x": 2, "m": {"q": 1}}), id="short"),
        pytest.param("components.one.a.config.x=2", "one.a", ("a", {"x": 2, "m": {"q": 1}}), id="full"),
        pytest.param("components.one.config.m.q=true", "one.a", ("a", {"x": 1, "m": {"q": True}}), id="deep"),
        pytest.param(
            "components.one.config.y=[1, a]", "one.a", ("a", {"x": 1, "m": {"q": 1}, "y": [1, "a"]}), id="list"
        ),
        pytest.param(
            'components.one.config.y="1.10"', "one.a", ("a", {"x": 1, "m": {"q": 1}, "y": "1.10"}), id="quoted"
        ),
        pytest.param("components.one.config.y=a=b", "one.a", ("a", {"x": 1, "m": {"q": 1}, "y": "a=b"}), id="equals"),
        pytest.param(
            'components.one.config."y.z"=1', "one.a", ("a", {"x": 1, "m": {"q": 1}, "y.z": 1}), id="dotted-name"
        ),
        pytest.param("components.one.config.y=${p}", "one.a", ("a", {"x": 1, "m": {"q": 1}, "y": 1}), id="parameter"),
        pytest.param("components.one.config.x=null", "one.a", ("a", {"m": {"q": 1}}), id="null"),
        pytest.param("components.one.config.x=", "one.a", ("a", {"m": {"q": 1}}), id="empty-is-null"),
        pytest.param("components.one=b", "one.b", ("b", {}), id="other-part"),
        pytest.param("components.one.use=b", "one.b", ("b", {}), id="other-use"),
        pytest.param("components.one={config: {x: 3}, use: b}", "one.b", ("b", {"x": 3}), id="map"),
        pytest.param("components.many.n.config.x=2", "many.n", ("a", {"x": 2}), id="by-as"),
        pytest.param("components.many.a=null", "many.n", ("a", {"x": 1}), id="remove-part"),
        pytest.param("components.new=c", "new.c", ("c", {}), id="new-kind"),
        pytest.param("components.new.use=c", "new.c", ("c", {}), id="new-kind-by-use"),
    ],
)
def test_sets(load: Callable[..., Assembly], flag: str, path: str, expected: object) -> None:
    assert _parts(load(BASE, sets=(flag,)))[path] == expected


@pytest.mark.parametrize(
    ("flag", "message", "where", "fix"),
    [
        pytest.param(
            "components.one",
            "--set takes PATH=VALUE, not 'components.one'",
            "--set",
            "--set components.runtime=runc",
            id="no-value",
        ),
        pytest.param("=x", "--set takes PATH=VALUE, not '=x'", "--set ", "--set components.runtime=runc", id="no-path"),
        pytest.param(
            "a..b=x", "--set takes PATH=VALUE", "--set a..b", "--set components.runtime=runc", id="empty-name"
        ),
        pytest.param(
            'components."x"y=1',
            "--set takes PATH=VALUE",
            '--set components."x"y',
            "--set components.runtime=runc",
            id="quotes",
        ),
        pytest.param(
            "one.config.x=1",
            "'one.config.x' begins with none of components, distribution, name, parameters",
            "--set one.config.x",
            "--set components.one.config.x=...",
            id="section",
        ),
        pytest.param(
            "componets.one=x",
            "'componets.one' begins with none of components, distribution, name, parameters",
            "--set componets.one",
            "--set components.one=...",
            id="section-misspelt",
        ),
        pytest.param(
            "components.gone.config.x=1",
            "no gone is chosen, so its config can't be set",
            "--set components.gone.config.x",
            "--set components.gone=NAME before it",
            id="unchosen",
        ),
        pytest.param(
            "components.one.confg.x=1",
            "unknown part or key 'confg' in one, did you mean 'config'?",
            "--set components.one.confg.x",
            "write 'config'",
            id="key",
        ),
        pytest.param(
            "components.many.nn.served=true",
            "unknown part or key 'nn' in many, did you mean 'n'?",
            "--set components.many.nn.served",
            "write 'n'",
            id="part",
        ),
        pytest.param(
            "components.many.served=true",
            "which many is meant? there are a, n",
            "--set components.many.served",
            "say which with `as`",
            id="which",
        ),
        pytest.param(
            "components.one.config.y=no",
            "unquoted no is false to some readers",
            "--set components.one.config.y",
            'quote it: "no"',
            id="no",
        ),
        pytest.param("components.one.config.y=[", "no valid YAML", "--set components.one.config.y", "", id="yaml"),
        pytest.param(
            "components.one.config.y=\x07", "a control character", "--set components.one.config.y", "", id="control"
        ),
        pytest.param(
            "components.one.config.y=\udc80",
            "not UTF-8 text",
            "--set components.one.config.y",
            "save it as UTF-8",
            id="bytes",
        ),
        pytest.param(
            "components.one.config.z=null",
            "there is no components.one.a.config.z",
            "--set components.one.config.z",
            "take the line out",
            id="null",
        ),
        pytest.param(
            "components.gone=null",
            "there is no components.gone",
            "--set components.gone",
            "take the line out",
            id="null-kind",
        ),
        pytest.param(
            "distribution.formts=[a]",
            "unknown key 'formts' in distribution, did you mean 'formats'?",
            "--set distribution.formts",
            "write 'formats'",
            id="distribution",
        ),
        pytest.param("name=A", "name 'A' must be lower-case", "--set name", "write 'a'", id="name"),
    ],
)
def test_sets_wrongly(read: Callable[..., Reading], flag: str, message: str, where: str, fix: str) -> None:
    reading = read(BASE, flag)
    assert [str(each.where) for each in reading.problems] == [where], reading.problems
    assert message in reading.problems[0].message
    assert reading.problems[0].fixes == ((fix,) if fix else ())


def test_other_sections(load: Callable[..., Assembly]) -> None:
    sets = ("name=other", "distribution.budget=1MB", "distribution.formats=[oci]", "distribution.target=a/b.json")
    assembly = load(BASE, sets=sets)
    assert assembly.name == "other"
    assert assembly.distribution.formats == ("oci",)
    assert (assembly.distribution.budget_bytes, assembly.distribution.target) == (1_000_000, "a/b.json")


def test_flags_apply_in_order(load: Callable[..., Assembly]) -> None:
    sets = ("components.one=b", "components.one.config.x=5", "components.one.config.x=6")
    assert _parts(load(BASE, sets=sets))["one.b"] == ("b", {"x": 6})
