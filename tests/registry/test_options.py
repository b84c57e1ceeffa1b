"""Options: schemas of config classes, instances of plain data, and problems, with jsonschema as the oracle."""

import enum
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Optional

import attrs
import jsonschema
import pytest
from attrs import field, frozen, make_class, validators
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moby.component import Option
from moby.errors import Invalid, Unsupported
from moby.options import Refusal, describe, problems, refusals, schema_of, structure


class Level(enum.StrEnum):
    LOW = "low"
    HIGH = "high"


class Port(enum.IntEnum):
    HTTP = 80


@frozen
class Limits:
    memory_bytes: int = field(default=0, validator=validators.ge(0), metadata={"help": "0 is none."})
    swap: bool = False


@frozen
class Named:
    name: str


INTEGER = {"type": "integer"}
LIMITS = {
    "type": "object",
    "properties": {
        "memory_bytes": {"type": "integer", "minimum": 0, "default": 0, "description": "0 is none."},
        "swap": {"type": "boolean", "default": False},
    },
    "additionalProperties": False,
}
NAMED = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}


def config_of(annotation: Any, **settings: Any) -> type:
    return make_class("Config", {"x": field(type=annotation, **settings)}, frozen=True)


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        pytest.param(str, {"type": "string"}, id="text"),
        pytest.param(int, INTEGER, id="integer"),
        pytest.param(float, {"type": "number"}, id="number"),
        pytest.param(bool, {"type": "boolean"}, id="boolean"),
        pytest.param(Path, {"type": "string", "format": "path"}, id="path"),
        pytest.param(Level, {"enum": ["low", "high"]}, id="enum"),
        pytest.param(Port, {"enum": [80]}, id="enum of numbers"),
        pytest.param(Literal["a", 2, True], {"enum": ["a", 2, True]}, id="literal"),
        pytest.param(tuple[int, ...], {"type": "array", "items": INTEGER}, id="list"),
        pytest.param(Mapping[str, int], {"type": "object", "additionalProperties": INTEGER}, id="map"),
        pytest.param(int | None, {"anyOf": [INTEGER, {"type": "null"}]}, id="or null"),
        pytest.param(None | int, {"anyOf": [INTEGER, {"type": "null"}]}, id="null or"),
        pytest.param(Optional[int], {"anyOf": [INTEGER, {"type": "null"}]}, id="Optional"),  # noqa: UP045
        pytest.param(Limits, LIMITS, id="nested"),
        pytest.param(Named, NAMED, id="nested, required"),
        pytest.param(tuple[Limits, ...], {"type": "array", "items": LIMITS}, id="list of nested"),
    ],
)
def test_schema_of_a_type(annotation: Any, schema: dict[str, Any]) -> None:
    assert describe(config_of(annotation)) == (Option("x", schema, required=True),)


@pytest.mark.parametrize(
    ("annotation", "validator", "schema"),
    [
        pytest.param(int, validators.ge(1), {"type": "integer", "minimum": 1}, id="ge"),
        pytest.param(int, validators.gt(1), {"type": "integer", "exclusiveMinimum": 1}, id="gt"),
        pytest.param(float, validators.le(1), {"type": "number", "maximum": 1}, id="le"),
        pytest.param(float, validators.lt(1), {"type": "number", "exclusiveMaximum": 1}, id="lt"),
        pytest.param(str, validators.in_(["b", "a"]), {"type": "string", "enum": ["b", "a"]}, id="in a list"),
        pytest.param(str, validators.in_({"b", "a"}), {"type": "string", "enum": ["a", "b"]}, id="in a set"),
        pytest.param(Level, validators.in_(Level), {"enum": ["low", "high"]}, id="in an enum"),
        pytest.param(
            str, validators.matches_re("a+"), {"type": "string", "pattern": "^(?:a+)$(?!\\n)"}, id="matches whole"
        ),
        pytest.param(
            str, validators.matches_re("a", func=re.match), {"type": "string", "pattern": "^(?:a)"}, id="matches start"
        ),
        pytest.param(
            str, validators.matches_re("a", func=re.search), {"type": "string", "pattern": "a"}, id="searches"
        ),
        pytest.param(str, validators.min_len(2), {"type": "string", "minLength": 2}, id="length of a text"),
        pytest.param(
            tuple[int, ...], validators.max_len(2), {"type": "array", "items": INTEGER, "maxItems": 2}, id="of a list"
        ),
        pytest.param(
            Mapping[str, int],
            validators.min_len(1),
            {"type": "object", "additionalProperties": INTEGER, "minProperties": 1},
            id="of a map",
        ),
        pytest.param(
            int,
            [validators.ge(1), validators.le(9)],
            {"type": "integer", "minimum": 1, "maximum": 9},
            id="several",
        ),
        pytest.param(
            int | None,
            validators.optional(validators.ge(1)),
            {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
            id="optional",
        ),
        pytest.param(
            tuple[int, ...],
            validators.deep_iterable(validators.ge(1), validators.max_len(3)),
            {"type": "array", "items": {"type": "integer", "minimum": 1}, "maxItems": 3},
            id="members",
        ),
        pytest.param(
            Mapping[str, int],
            validators.deep_mapping(validators.instance_of(str), validators.ge(1), validators.min_len(1)),
            {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}, "minProperties": 1},
            id="values",
        ),
        pytest.param(int, validators.instance_of(int), INTEGER, id="what the type says"),
    ],
)
def test_schema_of_a_validator(annotation: Any, validator: Any, schema: dict[str, Any]) -> None:
    assert describe(config_of(annotation, validator=validator))[0].schema == schema


@pytest.mark.parametrize(
    ("annotation", "settings", "message"),
    [
        pytest.param(dict, {}, "dict can't be an option's type", id="dict"),
        pytest.param(list[int], {}, "list[int] can't be an option's type", id="mutable list"),
        pytest.param(tuple[int, str], {}, "can't be an option's type", id="tuple of two"),
        pytest.param(Mapping[int, str], {}, "can't be an option's type", id="map of numbers"),
        pytest.param(int | str, {}, "int | str can't be an option's type", id="union"),
        pytest.param(None, {}, "None can't be an option's type", id="no type"),
        pytest.param(Literal[b"a"], {}, "only texts, numbers and truth values", id="literal bytes"),
        pytest.param("Missing", {}, "its types can't be read", id="unknown name"),
        pytest.param(int, {"default": "a"}, "the default 'a' doesn't fit", id="default of another type"),
        pytest.param(str, {"default": b"a"}, "the default b'a' can't be written", id="default that is no data"),
        pytest.param(
            int, {"default": attrs.Factory(lambda self: 1, takes_self=True)}, "depends on other options", id="self"
        ),
        pytest.param(int, {"validator": validators.min_len(1)}, "has no length", id="length of a number"),
        pytest.param(str, {"validator": validators.matches_re("a", re.IGNORECASE)}, "flags", id="flags"),
    ],
)
def test_what_no_schema_can_say_is_refused(annotation: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid, match=re.escape(message)):
        describe(config_of(annotation, **settings))


def test_a_config_that_is_no_attrs_class_is_refused() -> None:
    with pytest.raises(Invalid, match="int of builtins is no attrs class"):
        describe(int)


@frozen
class Config:
    binary: Path = field(default=Path("/bin/x"), metadata={"help": "The program."})
    level: Level = Level.LOW
    mode: Literal["fast", 2] = "fast"
    hosts: tuple[str, ...] = ("a",)
    labels: Mapping[str, int] = field(factory=lambda: {"a": 1})
    limits: Limits = Limits()
    more: tuple[Named, ...] = ()
    timeout_s: float | None = None
    _private: str = "p"
    derived: int = field(init=False, default=3)


KNOWN = "binary, level, mode, hosts, labels, limits, more, timeout_s, private"


def test_defaults_are_plain_data() -> None:
    assert {each.name: each.default for each in describe(Config)} == {
        "binary": "/bin/x",
        "level": "low",
        "mode": "fast",
        "hosts": ["a"],
        "labels": {"a": 1},
        "limits": {"memory_bytes": 0, "swap": False},
        "more": [],
        "timeout_s": None,
        "private": "p",
    }


def test_help_is_the_metadata() -> None:
    assert [each.help for each in describe(Config)][:2] == ["The program.", ""]


def test_the_defaults_make_the_default_instance() -> None:
    assert structure(Config, {each.name: each.default for each in describe(Config)}) == Config()


def test_structure_makes_the_types_of_the_class() -> None:
    given_values = {
        "binary": "/y",
        "level": "high",
        "mode": 2,
        "hosts": ["b", "c"],
        "labels": {"k": 2.0},
        "limits": {"memory_bytes": 5},
        "more": [{"name": "n"}],
        "timeout_s": 1,
    }
    made = structure(Config, given_values)
    assert made == Config(Path("/y"), Level.HIGH, 2, ("b", "c"), {"k": 2}, Limits(5), (Named("n"),), 1.0)
    assert [type(made.timeout_s), type(made.labels["k"])] == [float, int]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        pytest.param({}, [], id="nothing"),
        pytest.param(
            {"binry": "x"},
            [
                (
                    "binry",
                    f"no such option; options: {KNOWN}; did you mean binary?",
                )
            ],
            id="unknown",
        ),
        pytest.param({"binary": 3}, [("binary", "expected a text, got 3")], id="number for a text"),
        pytest.param({"binary": None}, [("binary", "expected a text, got null")], id="null for a text"),
        pytest.param(
            {"level": "hih"}, [("level", "expected one of low, high, got 'hih'; did you mean high?")], id="enum"
        ),
        pytest.param({"mode": True}, [("mode", "expected one of fast, 2, got true")], id="literal"),
        pytest.param({"hosts": "a"}, [("hosts", "expected a list, got 'a'")], id="text for a list"),
        pytest.param({"hosts": ["a", 1]}, [("hosts.1", "expected a text, got 1")], id="in a list"),
        pytest.param({"labels": {"a": True}}, [("labels.a", "expected a whole number, got true")], id="in a map"),
        pytest.param({"labels": {1: 1}}, [("labels.1", "a name must be a text, got 1")], id="name of a map"),
        pytest.param({"labels": {"a": 1.5}}, [("labels.a", "expected a whole number, got 1.5")], id="fraction"),
        pytest.param(
            {"limits": {"memory_bytes": -1, "swop": 1}},
            [
                ("limits.memory_bytes", "expected 0 or more, got -1"),
                ("limits.swop", "no such option; options: memory_bytes, swap; did you mean swap?"),
            ],
            id="nested",
        ),
        pytest.param({"more": [{}]}, [("more.0.name", "must be given")], id="required"),
        pytest.param({"timeout_s": float("nan")}, [("timeout_s", "expected a number, got nan")], id="nan"),
        pytest.param({"timeout_s": {}}, [("timeout_s", "expected a number, got a map")], id="map for a number"),
        pytest.param(
            {"binary": attrs},
            [("binary", f"expected a text, got {attrs} (a module; quote it to make it a text)")],
            id="no data at all",
        ),
        pytest.param({"binary": ["x" * 99]}, [("binary", "expected a text, got a list")], id="list for a text"),
        pytest.param({"hosts": "x" * 99}, [("hosts", f"expected a list, got '{'x' * 56}...")], id="long text"),
    ],
)
def test_problems_say_where_and_what(values: dict[str, Any], found: list[tuple[str, str]]) -> None:
    assert problems(describe(Config), values) == found


@pytest.mark.parametrize(
    ("annotation", "validator", "value", "message"),
    [
        pytest.param(int, validators.gt(1), 1, "expected more than 1, got 1", id="gt"),
        pytest.param(int, validators.le(1), 2, "expected 1 or less, got 2", id="le"),
        pytest.param(int, validators.lt(1), 1, "expected less than 1, got 1", id="lt"),
        pytest.param(str, validators.matches_re("a+"), "a\n", "expected a text that matches a+, got 'a\\n'", id="re"),
        pytest.param(str, validators.min_len(2), "a", "expected at least 2 characters, got 'a'", id="min_len"),
        pytest.param(str, validators.max_len(2), "aaa", "expected at most 2 characters, got 'aaa'", id="max_len"),
        pytest.param(tuple[int, ...], validators.min_len(2), [1], "expected at least 2 items, got a list", id="items"),
        pytest.param(
            tuple[int, ...], validators.max_len(0), [1], "expected at most 0 items, got a list", id="no items"
        ),
        pytest.param(
            Mapping[str, int], validators.min_len(1), {}, "expected at least 1 entries, got a map", id="entries"
        ),
        pytest.param(
            Mapping[str, int], validators.max_len(0), {"a": 1}, "expected at most 0 entries, got a map", id="no entries"
        ),
    ],
)
def test_a_broken_validator_is_a_problem(annotation: Any, validator: Any, value: Any, message: str) -> None:
    assert problems(describe(config_of(annotation, validator=validator)), {"x": value}) == [("x", message)]


def test_no_options_means_none_may_be_given() -> None:
    assert problems((), {"x": 1}) == [("x", "no such option; there are no options here")]


def test_structure_raises_all_problems() -> None:
    with pytest.raises(Invalid) as caught:
        structure(Config, {"level": 1, "hosts": 2})
    assert [each.message for each in caught.value.problems] == [
        "option level: expected one of low, high, got 1",
        "option hosts: expected a list, got 2",
    ]


def _odd(_instance: Any, attribute: Any, value: int) -> None:
    if value % 2 == 0:
        raise ValueError(f"{attribute.name} must be odd, not {value}")


def _refuse(_instance: Any, _attribute: Any, _value: int) -> None:
    raise Invalid("never this")


@pytest.mark.parametrize(
    ("validator", "message"),
    [
        pytest.param(_odd, "x must be odd, not 2", id="ValueError"),
        pytest.param(_refuse, "never this", id="Invalid"),
    ],
)
def test_a_validator_of_ones_own_is_run(validator: Any, message: str) -> None:
    config = config_of(int, validator=validator)
    assert problems(describe(config), {"x": 2}) == []
    with pytest.raises(Invalid, match=message):
        structure(config, {"x": 2})


def test_a_number_that_no_float_holds_is_refused() -> None:
    with pytest.raises(Invalid, match="too large"):
        structure(config_of(float), {"x": 10**400})


SCALARS = st.sampled_from(
    [
        {"type": "string"},
        {"type": "boolean"},
        {"type": "integer"},
        {"type": "number"},
        {"type": "integer", "minimum": 0},
        {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        {"type": "number", "exclusiveMaximum": 2},
        {"type": "string", "pattern": "^(?:a|b)$(?!\\n)"},
        {"type": "string", "minLength": 1, "maxLength": 2},
        {"enum": ["a", 1, True]},
        {"enum": [0, "", False]},
        {"type": "string", "format": "path"},
    ]
)
PROPERTIES = st.sampled_from(["a", "b", "c"])


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda properties, required: {
            "type": "object",
            "properties": properties,
            "required": sorted(required & properties.keys()),
            "additionalProperties": False,
        },
        st.dictionaries(PROPERTIES, inner, max_size=3),
        st.sets(PROPERTIES),
    )


SCHEMAS = st.recursive(
    SCALARS,
    lambda inner: (
        st.builds(lambda items: {"type": "array", "items": items, "maxItems": 2}, inner)
        | st.builds(lambda values: {"type": "object", "additionalProperties": values, "minProperties": 1}, inner)
        | st.builds(lambda each: {"anyOf": [each, {"type": "null"}]}, inner)
        | _objects(inner)
    ),
    max_leaves=6,
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from(["", "a", "b", "a\n", "abc", 0, 1, -1, 1.0, 0.5, 2, 10**400])
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.sampled_from("ab\n"), max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PROPERTIES, inner, max_size=3),
    max_leaves=8,
)


# The machine's load is no property of the code.
@pytest.mark.slow
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.builds(Option, name=PROPERTIES, schema=SCHEMAS, required=st.booleans()), unique_by=lambda each: each.name
    ),
    st.dictionaries(PROPERTIES, VALUES),
)
def test_problems_are_found_where_jsonschema_finds_some(options: list[Option], values: dict[str, Any]) -> None:
    oracle = jsonschema.Draft202012Validator(schema_of(options))
    assert bool(problems(options, values)) is not oracle.is_valid(values)


def test_schemas_are_json_schemas() -> None:
    jsonschema.Draft202012Validator.check_schema(schema_of(describe(Config)))


def _below_high(config: Any, _attribute: Any, value: int) -> None:
    if value > config.high:
        raise Unsupported(f"{value} is above high", hint="lower it")


@frozen
class Ranged:
    low: int = field(default=0, validator=[validators.ge(0), _below_high])
    high: int = field(default=9, validator=validators.instance_of(int))
    limits: Limits = field(factory=Limits)
    word: str = field(default="a", validator=lambda *_: int("x"))


def test_refusals_say_what_a_validator_looked_at() -> None:
    low, word = refusals(Ranged, {"low": 5, "high": 3})
    assert low == Refusal("low", "5 is above high", "lower it", frozenset({"low", "high"}))
    assert (word.option, word.reads) == ("word", frozenset({"word"}))
    assert [each.option for each in refusals(Ranged, {"low": 1})] == ["word"]
    with pytest.raises(Invalid) as raised:
        structure(Ranged, {"low": 5, "high": 3})
    first, second = raised.value.problems
    assert (first.message, first.fixes) == ("option low: 5 is above high", ("lower it",))
    assert second.message.startswith("option word: invalid literal")
