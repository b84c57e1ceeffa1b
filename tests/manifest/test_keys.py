"""Broken manifests: each problem with its place, the valid values and the nearest name."""

from collections.abc import Callable

import pytest

from moby.errors import Invalid
from moby.manifest import Assembly, Reading
from moby.manifest.report import MOST_PROBLEMS
from moby.manifest.sections import size_bytes

Read = Callable[..., Reading]


@pytest.mark.parametrize(
    ("text", "message", "place", "fix"),
    [
        pytest.param(
            "nmae: x", "unknown key 'nmae', did you mean 'name'? (valid: components, ", "2:1", "write 'name'", id="key"
        ),
        pytest.param("zzz: x", "unknown key 'zzz' (valid: components, distribution, ", "2:1", "", id="far-key"),
        pytest.param("name: No_Good", "name 'No_Good' must be lower-case", "2:7", "write 'no-good'", id="name"),
        pytest.param(
            "name: 12", "name must be text, and unquoted 12 is a number", "2:7", 'quote it: "12"', id="number-name"
        ),
        pytest.param(
            "name: true",
            "name must be text, and unquoted true is true or false",
            "2:7",
            'quote it: "true"',
            id="bool-name",
        ),
        pytest.param("name: null", "name must be text, not null", "2:7", "", id="null-name"),
        pytest.param("name: [x]", "name must be text, not a list", "2:7", "", id="list-name"),
        pytest.param("extends: quickstart", "extends must be a list", "2:10", "extends: [NAME_OR_FILE]", id="extends"),
        pytest.param("extends: [{a: 1}]", "extends takes names and paths, as text", "2:11", "", id="extends-map"),
        pytest.param(
            "components: [runc]",
            "components must be a map of kinds",
            "2:13",
            "components: {KIND: NAME}",
            id="components",
        ),
        pytest.param(
            "components: null",
            "components must be a map of kinds",
            "2:13",
            "components: {KIND: NAME}",
            id="no-components",
        ),
        pytest.param(
            "components: {run time: x}", "'run time' can't be a kind", "2:14", "letters, digits and dashes", id="kind"
        ),
        pytest.param(
            "components: {runtime: []}", "an empty list chooses no runtime", "2:23", "runtime: null", id="empty-list"
        ),
        pytest.param(
            "components: {runtime: no}", "unquoted no is false to some readers", "2:23", 'quote it: "no"', id="no"
        ),
        pytest.param(
            "components: {runtime: 1.10}",
            "the component of runtime must be text, and unquoted 1.10 is a number",
            "2:23",
            'quote it: "1.10"',
            id="number",
        ),
        pytest.param(
            "components: {runtime: [null]}",
            "the component of runtime must be text, not null",
            "2:24",
            "as in `runtime: NAME`",
            id="null-part",
        ),
        pytest.param(
            "components: {runtime: [[a]]}",
            "the component of runtime must be text, not a list",
            "2:24",
            "as in `runtime: NAME`",
            id="list-part",
        ),
        pytest.param(
            "components: {runtime: builder/x}",
            "'builder/x' is no component of kind runtime",
            "2:23",
            "runtime: NAME",
            id="other-kind",
        ),
        pytest.param(
            "components: {runtime: a b}",
            "'a b' can't be a component",
            "2:23",
            "letters, digits and dashes",
            id="component",
        ),
        pytest.param(
            "components: {runtime: {use: runc, confg: {}}}",
            "unknown key 'confg' in a part of runtime, did you mean 'config'?",
            "2:35",
            "write 'config'",
            id="part-key",
        ),
        pytest.param(
            "components: {runtime: {use: runc, as: A}}",
            "'A' can't be a part's name",
            "2:39",
            "lower-case letters, digits and dashes, no dash first",
            id="as",
        ),
        pytest.param(
            "components: {runtime: {use: runc, as: config}}",
            "'config' can't be a part's name",
            "2:39",
            "it is a key of a part",
            id="as-key",
        ),
        pytest.param(
            "components: {runtime: {use: runc, version: 1.10}}",
            "version must be text, and unquoted 1.10 is a number",
            "2:44",
            'quote it: "1.10"',
            id="version-float",
        ),
        pytest.param(
            "components: {runtime: {use: runc, version: 1.1.0}}",
            "'1.1.0' is no range of versions",
            "2:44",
            'as in ">=1.1,<2" or "==1.4"',
            id="version",
        ),
        pytest.param(
            "components: {runtime: {use: runc, version: >=1}}",
            "no valid YAML",
            "2:44",
            'quote what begins with a sign, as in ">=1.0"',
            id="version-unquoted",
        ),
        pytest.param(
            "components: {runtime: {use: runc, config: [a]}}",
            "config must be a map of options",
            "2:43",
            "",
            id="config",
        ),
        pytest.param(
            "components: {runtime: {use: runc, default: 1}}", "default must be true or false", "2:44", "", id="default"
        ),
        pytest.param(
            'components: {runtime: {use: runc, served: "yes"}}', "served must be true or false", "2:43", "", id="served"
        ),
        pytest.param(
            "components: {runtime: {use: runc, policy: optionl}}",
            "unknown policy 'optionl', did you mean 'optional'?",
            "2:43",
            "write 'optional'",
            id="policy",
        ),
        pytest.param(
            "components: {runtime: {version: '>=1'}}",
            "this part of runtime names no component",
            "2:23",
            "runtime: {use: NAME, ...}",
            id="no-use",
        ),
        pytest.param(
            "components: {runtime: [{as: x}]}",
            "this part of runtime names no component",
            "2:24",
            "runtime: {use: NAME, ...}",
            id="no-use-in-list",
        ),
        pytest.param(
            "components: {runtime: [runc, runc]}",
            "two parts of runtime are called runc; the other is at m.yaml:2:24",
            "2:30",
            "give one a name of its own with `as`",
            id="twice",
        ),
        pytest.param(
            "components: {r: [{use: a, default: true}, {use: b, default: true}]}",
            "a is already the default r",
            "2:61",
            "mark one",
            id="defaults",
        ),
        pytest.param(
            "components: {r: {use: a, version: null}}",
            "null removes what was inherited, and there is no components.r.a.version",
            "2:35",
            "take the line out",
            id="null-field",
        ),
        pytest.param(
            "components: {r: {use: a, config: {x: null}}}",
            "there is no components.r.a.config.x",
            "2:38",
            "take the line out",
            id="null-option",
        ),
        pytest.param(
            "distribution: pyz",
            "distribution must be a map of formats, config, budget, target",
            "2:15",
            "",
            id="distribution",
        ),
        pytest.param(
            "distribution: null", "there is no distribution", "2:15", "take the line out", id="null-distribution"
        ),
        pytest.param(
            "distribution: {format: [pyz]}",
            "unknown key 'format' in distribution, did you mean 'formats'?",
            "2:16",
            "write 'formats'",
            id="distribution-key",
        ),
        pytest.param(
            "distribution: {formats: pyz}",
            "formats must be a list of at least one",
            "2:25",
            "formats: [pyz]",
            id="formats",
        ),
        pytest.param(
            "distribution: {formats: []}",
            "formats must be a list of at least one",
            "2:25",
            "formats: [pyz]",
            id="no-formats",
        ),
        pytest.param("distribution: {formats: [a, a]}", "format 'a' again", "2:29", "keep one", id="formats-twice"),
        pytest.param(
            "distribution: {formats: [1]}",
            "a format must be text, and unquoted 1 is a number",
            "2:26",
            'quote it: "1"',
            id="format",
        ),
        pytest.param(
            "distribution: {config: [a]}",
            "config must be a map of formats to their options",
            "2:24",
            "",
            id="formats-config",
        ),
        pytest.param(
            "distribution: {config: {pyz: 1}}",
            "config of 'pyz' must be a map of options",
            "2:30",
            "",
            id="format-config",
        ),
        pytest.param(
            "distribution: {budget: 20 apples}",
            "budget must be a size",
            "2:24",
            "as in 20MB, 20MiB, or bytes",
            id="budget",
        ),
        pytest.param(
            "distribution: {target: host}", "target must be `any` or the path of a facts file", "2:24", "", id="target"
        ),
        pytest.param("distribution: {target: 1}", "target must be text", "2:24", 'quote it: "1"', id="target-number"),
        pytest.param("parameters: [a]", "parameters must be a map of names to defaults", "2:13", "", id="parameters"),
        pytest.param(
            "parameters: {1a: x}",
            "'1a' can't be a parameter",
            "2:14",
            "letters, digits, _ and -, a letter first",
            id="parameter",
        ),
        pytest.param(
            "parameters: {a: [1]}", "parameter a must be one value, no map or list", "2:17", "", id="parameter-list"
        ),
        pytest.param(
            "parameters: {a: null}", "there is no parameter a", "2:17", 'give it a default: a: ""', id="parameter-null"
        ),
        pytest.param(
            'parameters: {a: "${b}"}',
            "parameter a can't itself use parameters",
            "2:17",
            "$${ writes ${",
            id="parameter-in-parameter",
        ),
        pytest.param(
            "parameters: {a-b: 1, a_b: 2}",
            "parameters a-b and a_b would be set by the same variable MOBY_PARAM_A_B",
            "2:22",
            "rename one",
            id="parameters-alike",
        ),
        pytest.param(
            'parameters: {port: 1}\nname: "${prt}"',
            "unknown parameter 'prt', did you mean 'port'? (valid: port)",
            "3:7",
            "write 'port'",
            id="unknown-parameter",
        ),
        pytest.param(
            'name: "${name}"',
            "unknown parameter 'name' (there is none)",
            "2:7",
            "declare it, as in `parameters: {name: ...}`; $${ writes ${",
            id="no-parameter",
        ),
        pytest.param('name: "a${x"', "${ without its }", "2:7", "$${ writes ${", id="open-parameter"),
        pytest.param(
            'parameters: {v: 1.10}\ncomponents: {r: {use: a, version: "${v}"}}',
            "version must be text, and ${v} is a number here",
            "3:35",
            "quote the parameter's default",
            id="typed-parameter",
        ),
    ],
)
def test_problem(read: Read, text: str, message: str, place: str, fix: str) -> None:
    reading = read(text)
    found = {str(each.where): each for each in reversed(reading.problems) if message in each.message}
    assert f"m.yaml:{place}" in found, reading.problems
    assert found[f"m.yaml:{place}"].fixes == ((fix,) if fix else ())


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        pytest.param("name: a", "`moby` is missing, the version of the schema", "add a line `moby: 1`", id="missing"),
        pytest.param("moby: 2", "schema version must be 1", "install a newer moby-framework", id="newer"),
        pytest.param("moby: 0", "schema version must be 1", "moby: 1", id="older"),
        pytest.param('moby: "1"', "schema version must be 1", "moby: 1", id="text"),
        pytest.param("moby: true", "schema version must be 1", "moby: 1", id="bool"),
    ],
)
def test_schema_version(read: Read, text: str, message: str, fix: str) -> None:
    problem = read(text, bare=True).problems[0]
    assert (problem.message, problem.fixes) == (message, (fix,))


def test_every_problem_at_once(read: Read) -> None:
    reading = read("nmae: x\ncomponents:\n  a: {use: 1, zzz: 2}\n  b: []\ndistribution: {budget: x}\nparameters: 1")
    assert [each.where.line for each in reading.problems if each.where] == [2, 4, 4, 5, 6, 7]


def test_what_is_left_can_be_searched_for_further_problems(read: Read) -> None:
    reading = read(
        "nmae: x\nname: 1\ncomponents: {k: {use: a, zz: 1, version: 1.0, policy: x, served: true}, j: {use: b}}\n"
        "distribution: {budget: x, formats: [pyz]}"
    )
    assert len(reading.problems) == 6
    assert reading.assembly is not None
    assert [(each.use, each.version, each.served) for each in reading.assembly.choices] == [
        ("b", "", False),
        ("a", "", True),
    ]


def test_where_a_part_is_unknown_there_is_nothing_left(read: Read) -> None:
    assert read("components: {k: {use: 1}}").assembly is None


def test_problems_are_cut_after_a_hundred(read: Read) -> None:
    problems = read("\n".join(f"key{at}: x" for at in range(500))).problems
    assert len(problems) == MOST_PROBLEMS + 1
    assert problems[-1].message == "and 400 more problems, which aren't listed"


def test_load_raises_all_problems(load: Callable[..., Assembly]) -> None:
    with pytest.raises(Invalid) as caught:
        load("zz: 1\nyy: 2")
    assert len(caught.value.problems) == 2
    assert caught.value.message == "layer0.yaml: 2 problems"


def test_a_nameless_manifest_is_called_like_its_file(read: Read) -> None:
    reading = read("components: {}")
    assert reading.assembly is not None
    assert reading.assembly.name == "m"


def test_a_file_whose_name_cannot_be_one(put: Callable[..., object]) -> None:
    from moby import manifest

    problem = manifest.read(put("components: {}", "My Engine.yaml"), environ={}).problems[0]  # type: ignore[arg-type]
    assert problem.message == "`name` is missing, and the file's name can't be one"


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        pytest.param(17, 17, id="bytes"),
        pytest.param("17", 17, id="text"),
        pytest.param("20MB", 20_000_000, id="MB"),
        pytest.param("20 MiB", 20 << 20, id="MiB"),
        pytest.param("1.5k", None, id="no-unit"),
        pytest.param("1.5kB", 1500, id="fraction"),
        pytest.param("1GiB", 1 << 30, id="GiB"),
        pytest.param(0, None, id="zero"),
        pytest.param(True, None, id="bool"),
        pytest.param("-1MB", None, id="negative"),
        pytest.param("MB", None, id="no-number"),
        pytest.param(None, None, id="none"),
    ],
)
def test_sizes(size: object, expected: int | None) -> None:
    assert size_bytes(size) == expected
