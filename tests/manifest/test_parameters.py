"""Parameters: `${name}` in texts, typed where it is all of one, set by flags and variables."""

from collections.abc import Callable
from typing import Any

import pytest

from moby import manifest
from moby.manifest import Assembly, Reading

Read = Callable[..., Reading]


def _config(reading: Reading) -> Any:
    assert reading.assembly is not None, reading.problems
    return reading.assembly.choices[0].config["x"]


@pytest.mark.parametrize(
    ("parameters", "text", "expected"),
    [
        pytest.param("{p: /run}", '"${p}"', "/run", id="whole"),
        pytest.param("{p: /run}", '"${p}/a/${p}"', "/run/a//run", id="inside"),
        pytest.param("{p: 8}", '"${p}"', 8, id="typed-integer"),
        pytest.param("{p: true}", '"${p}"', True, id="typed-bool"),
        pytest.param("{p: 1.5}", '"${p}"', 1.5, id="typed-float"),
        pytest.param("{p: 8}", '"a${p}"', "a8", id="integer-in-text"),
        pytest.param("{p: TRUE}", '"a${p}"', "atrue", id="bool-in-text"),
        pytest.param("{p: 1.10}", '"v${p}"', "v1.10", id="number-as-written"),
        pytest.param("{p: a}", '["${p}", {y: "${p}"}]', ["a", {"y": "a"}], id="in-list"),
        pytest.param("{p: a}", '{y: "${p}"}', {"y": "a"}, id="in-map"),
        pytest.param("{p: a}", '"$${p}"', "${p}", id="escaped"),
        pytest.param("{p: a}", '"$${p}${p}$"', "${p}a$", id="escaped-beside"),
        pytest.param('{p: "$${a}"}', '"${p}"', "${a}", id="escape-in-default"),
        pytest.param('{p: "$${a}"}', '"b${p}"', "b${a}", id="escape-in-default-in-text"),
        pytest.param('{p: ""}', '"${p}"', "", id="empty"),
        pytest.param("{p-q_r: a}", '"${p-q_r}"', "a", id="name"),
    ],
)
def test_expands(read: Read, parameters: str, text: str, expected: object) -> None:
    value = _config(read(f"parameters: {parameters}\ncomponents: {{k: {{use: a, config: {{x: {text}}}}}}}"))
    assert value == expected
    assert type(value) is type(expected)


USES = 'components: {k: {use: a, config: {x: "${p-q}"}}}'


@pytest.mark.parametrize(
    ("default", "sets", "environ", "expected"),
    [
        pytest.param("a", [], {"MOBY_PARAM_P_Q": "b"}, "b", id="variable"),
        pytest.param("a", ["parameters.p-q=c"], {"MOBY_PARAM_P_Q": "b"}, "c", id="flag-over-variable"),
        pytest.param("a", ["parameters.p-q=c", "parameters.p-q=d"], {}, "d", id="last-flag"),
        pytest.param("a", ["parameters.p-q=1.10"], {}, "1.10", id="text-stays-text"),
        pytest.param("a", ["parameters.p-q=no"], {}, "no", id="no-stays-text"),
        pytest.param("a", ["parameters.p-q="], {}, "", id="empty"),
        pytest.param("a", ["parameters.p-q=a=b"], {}, "a=b", id="equals"),
        pytest.param("1", ["parameters.p-q=2"], {}, 2, id="integer"),
        pytest.param("1.5", ["parameters.p-q=2"], {}, 2.0, id="float"),
        pytest.param("true", [], {"MOBY_PARAM_P_Q": "false"}, False, id="bool"),
        pytest.param("a", [], {"OTHER": "b"}, "a", id="other-variable"),
    ],
)
def test_set(read: Read, default: str, sets: list[str], environ: dict[str, str], expected: object) -> None:
    value = _config(read(f"parameters: {{p-q: {default}}}\n{USES}", *sets, **environ))
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("sets", "environ", "message", "where"),
    [
        pytest.param(
            ["parameters.prt=1"], {}, "unknown parameter 'prt', did you mean 'port'?", "--set parameters.prt", id="flag"
        ),
        pytest.param(
            [],
            {"MOBY_PARAM_PRT": "1"},
            "unknown parameter in the environment 'MOBY_PARAM_PRT', did you mean 'MOBY_PARAM_PORT'?",
            "MOBY_PARAM_PRT",
            id="variable",
        ),
        pytest.param(
            ["parameters.port=x"],
            {},
            "parameter port must be a whole number, not 'x'",
            "--set parameters.port",
            id="type",
        ),
        pytest.param(
            ["parameters.port=1.5"],
            {},
            "parameter port must be a whole number, not '1.5'",
            "--set parameters.port",
            id="float",
        ),
        pytest.param(
            ["parameters.port=0755"],
            {},
            "parameter port must be a whole number, not '0755'",
            "--set parameters.port",
            id="octal",
        ),
        pytest.param(
            ["parameters.tls=yes"],
            {},
            "parameter tls must be true or false, not 'yes'",
            "--set parameters.tls",
            id="bool",
        ),
        pytest.param(
            ["parameters.path=${port}"],
            {},
            "parameter path can't itself use parameters",
            "--set parameters.path",
            id="nested",
        ),
        pytest.param(
            ["parameters.path.x=1"], {}, "a parameter is parameters.NAME", "--set parameters.path.x", id="deep"
        ),
        pytest.param(
            [], {"MOBY_PARAM_PORT": "\udc80"}, "parameter port must be a whole number", "MOBY_PARAM_PORT", id="bytes"
        ),
    ],
)
def test_set_wrongly(read: Read, sets: list[str], environ: dict[str, str], message: str, where: str) -> None:
    reading = read("parameters: {port: 1, tls: true, path: /x}", *sets, **environ)
    assert [str(each.where) for each in reading.problems] == [where]
    assert message in reading.problems[0].message


def test_later_defaults_win_and_null_removes(load: Callable[..., Assembly]) -> None:
    base = "parameters: {p: 1, q: 2}"
    assert load(base, "parameters: {p: 3}").parameters == {"p": 3, "q": 2}
    assert load(base, "parameters: {p: null}").parameters == {"q": 2}
    assert load(base, "parameters: null").parameters == {}
    assert load(base, "parameters: null", "parameters: {q: 5}").parameters == {"q": 5}


def test_a_parameter_may_be_used_below_where_it_is_overridden(load: Callable[..., Assembly]) -> None:
    assembly = load(f"parameters: {{p-q: 1}}\n{USES}", "parameters: {p-q: 2}")
    assert assembly.choices[0].config == {"x": 2}
    assert assembly.origins["components.k.a.config.x"][0].written == "${p-q}"
    assert [each.value for each in assembly.origins["parameters.p-q"]] == [1, 2]


def test_expansion_is_bounded(read: Read) -> None:
    uses = ", ".join(['"${p}"'] * 50)
    reading = read(f"parameters: {{p: {'x' * 30000}}}\ncomponents: {{k: {{use: a, config: {{x: [{uses}]}}}}}}")
    assert [each.message for each in reading.problems] == ["parameters expand to more than 1 MiB"]


def test_the_process_environment_is_the_default(put: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOBY_PARAM_P", "env")
    assert manifest.load(put("parameters: {p: a}")).parameters == {"p": "env"}
