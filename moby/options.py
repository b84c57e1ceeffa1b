"""Options of components: an attrs class in, JSON Schema out; plain data in, an instance of the class out.

A config class has attributes of these types: `str`, `int`, `float`, `bool`, `Path`, an Enum or Literal of texts or
numbers, `tuple[X, ...]`, `Mapping[str, X]`, `X | None`, and frozen attrs classes of such. What attrs' validators
say (in_, ge, gt, le, lt, matches_re, min_len, max_len, optional, deep_iterable, deep_mapping) is in the schema; any
other validator is run by `structure` and `refusals` alone: it raises ValueError or an error of ours, and may read
other options of the instance that it is given. An attribute's help is its `metadata["help"]`; with `metadata["alone"]`
no two parts of an engine may have the same value, as of the path of a socket.
"""

import enum
import math
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from moby.errors import Invalid, MobyError, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Option", "Refusal", "describe", "problems", "refusals", "schema_of", "structure"]

Schema = dict[str, Any]


@attrs.frozen
class Option:
    """One option of a component, from one attribute of its config class; `schema` is JSON Schema."""

    name: str
    schema: Mapping[str, Any]
    default: Any = None
    required: bool = False
    help: str = ""


_SCALARS: Mapping[Any, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    Path: {"type": "string", "format": "path"},
}
_NULL: Schema = {"type": "null"}


@lru_cache
def describe(config: type) -> tuple[Option, ...]:
    """Return the options that an attrs class declares; Invalid names the attribute that no schema can say."""
    return tuple(Option(**facts) for facts in _attributes(config))


def schema_of(options: "Sequence[Option]") -> Schema:
    """Return the JSON Schema (2020-12) of an object that holds these options, each with its default and help."""
    properties = {each.name: _annotated(each.schema, each.required, each.default, each.help) for each in options}
    return _object(properties, [each.name for each in options if each.required])


def structure(config: type, values: Mapping[str, Any]) -> Any:
    """Return an instance of a config class made of plain data; Invalid carries a problem for each wrong option."""
    wrong = problems(describe(config), values)
    listed = [Problem(f"option {path}: {message}") for path, message in wrong]
    if not listed:
        try:
            return _instance(config, values)
        except MobyError as error:
            listed = [
                Problem(f"option {each.option}: {each.message}", fixes=(each.fix,) if each.fix else ())
                for each in refusals(config, values)
            ]
            if not listed:
                raise Invalid(f"options of {config.__module__}: {error.message}", hint=error.hint) from error
    raise Invalid(listed[0].message, problems=tuple(listed))


def problems(options: "Sequence[Option]", values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is wrong with plain data as options: path (`name`, `hosts.0`, `limits.memory`) and message."""
    return list(_wrong(schema_of(options), values, ""))


@attrs.frozen
class Refusal:
    """An option that a validator refuses, why, and which options that validator looked at."""

    option: str
    message: str
    fix: str = ""
    reads: frozenset[str] = frozenset()


def refusals(config: type, values: Mapping[str, Any]) -> tuple[Refusal, ...]:
    """Return what validators of a class refuse of plain data that its schema lets pass."""
    return tuple(_refusals(config, values))


# From a class to schemas ----------------------------------------------------------------------------------------


def _attributes(config: type) -> Iterator[dict[str, Any]]:
    """Yield the facts of each option of an attrs class."""
    if not attrs.has(config):
        raise Invalid(
            f"{config.__qualname__} of {config.__module__} is no attrs class",
            hint="write options as `@frozen class Config:`",
        )
    hints = _hints(config)
    for attribute in attrs.fields(config):
        if not attribute.init:
            continue
        where = f"option {attribute.alias} of {config.__module__}.{config.__qualname__}"
        schema = _constrained(_schema(hints.get(attribute.name), where), attribute.validator, where)
        required, default = _default(attribute, where)
        wrong = [] if required else list(_wrong(schema, default, ""))
        if wrong:
            raise Invalid(f"{where}: the default {default!r} doesn't fit: {wrong[0][1]}")
        yield {
            "name": attribute.alias,
            "schema": schema,
            "default": default,
            "required": required,
            "help": str(attribute.metadata.get("help", "")),
        }


def _hints(config: type) -> dict[str, Any]:
    """Return the types of a class's attributes, with what was written as text looked up."""
    try:
        return typing.get_type_hints(config)
    except (NameError, TypeError) as error:
        raise Invalid(
            f"{config.__module__}.{config.__qualname__}: its types can't be read: {error}",
            hint="import at run time what options are annotated with",
        ) from error


def _schema(annotation: Any, where: str) -> Schema:
    """Return the schema of one type."""
    if annotation in _SCALARS:
        return dict(_SCALARS[annotation])
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return _one_of(list(arguments), where)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _one_of([each.value for each in annotation], where)
    if isinstance(annotation, type) and attrs.has(annotation):
        return _nested(annotation)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return {"type": "array", "items": _schema(arguments[0], where)}
    if origin is Mapping and len(arguments) == 2 and arguments[0] is str:
        return {"type": "object", "additionalProperties": _schema(arguments[1], where)}
    inner = _without_none(annotation)
    if inner is not None:
        return {"anyOf": [_schema(inner, where), dict(_NULL)]}
    raise Invalid(
        f"{where}: {_spelled(annotation)} can't be an option's type",
        hint="use str, int, float, bool, Path, an Enum or Literal, tuple[X, ...], Mapping[str, X], X | None, or a "
        "frozen attrs class of these",
    )


def _spelled(annotation: Any) -> str:
    return annotation.__qualname__ if type(annotation) is type else str(annotation)


def _without_none(annotation: Any) -> Any:
    """Return X of `X | None`, None for any other type."""
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType) or len(arguments) != 2:
        return None
    left, right = arguments
    if right is type(None):
        return left
    return right if left is type(None) else None


def _one_of(values: list[Any], where: str) -> Schema:
    if not all(isinstance(each, str | int | float) for each in values):
        raise Invalid(f"{where}: only texts, numbers and truth values can be chosen from, not {values!r}")
    return {"enum": values}


def _nested(config: type) -> Schema:
    facts = list(_attributes(config))
    properties = {
        each["name"]: _annotated(each["schema"], each["required"], each["default"], each["help"]) for each in facts
    }
    return _object(properties, [each["name"] for each in facts if each["required"]])


def _annotated(schema: Mapping[str, Any], required: bool, default: Any, text: str) -> Schema:
    return {**schema, **({} if required else {"default": default}), **({"description": text} if text else {})}


def _object(properties: Schema, required: list[str]) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }


def _default(attribute: "attrs.Attribute[Any]", where: str) -> tuple[bool, Any]:
    """Return whether an option must be given, and else its default as plain data."""
    default: Any = attribute.default
    if default is attrs.NOTHING:
        return True, None
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        if default.takes_self:
            raise Invalid(f"{where}: a default that depends on other options can't be listed")
        default = default.factory()
    return False, _plain(default, where)


def _plain(value: Any, where: str) -> Any:
    """Return a value as JSON carries it."""
    if isinstance(value, enum.Enum):
        return value.value
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [_plain(each, where) for each in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(each, where) for key, each in value.items()}
    if attrs.has(type(value)):
        return {each.alias: _plain(getattr(value, each.name), where) for each in attrs.fields(type(value)) if each.init}
    raise Invalid(f"{where}: the default {value!r} can't be written as JSON")


# Validators -----------------------------------------------------------------------------------------------------

_BOUNDS = {">=": "minimum", ">": "exclusiveMinimum", "<=": "maximum", "<": "exclusiveMaximum"}
_LENGTHS = {"string": "Length", "array": "Items", "object": "Properties"}


def _constrained(schema: Schema, validator: Any, where: str) -> Schema:
    """Return a schema with what a validator of attrs says added to it."""
    if "anyOf" in schema:  # X | None: what is said is said of X
        inner, null = schema["anyOf"]
        return {"anyOf": [_constrained(inner, validator, where), null]}
    add = _TRANSLATIONS.get(type(validator).__name__)
    return schema if add is None else add(schema, validator, where)


def _all(schema: Schema, validator: Any, where: str) -> Schema:
    for each in validator._validators:
        schema = _constrained(schema, each, where)
    return schema


def _choice(schema: Schema, validator: Any, where: str) -> Schema:
    options = getattr(validator, "_original_options", validator.options)
    if isinstance(options, type) and issubclass(options, enum.Enum):
        return schema  # the type says it already
    listed = [_plain(each, where) for each in options]
    return {**schema, "enum": sorted(listed) if isinstance(options, frozenset | set) else listed}


def _pattern(schema: Schema, validator: Any, where: str) -> Schema:
    pattern = validator.pattern
    if pattern.flags & ~re.UNICODE:
        raise Invalid(f"{where}: a schema can't say the flags of the pattern {pattern.pattern!r}")
    how = getattr(validator.match_func, "__name__", "fullmatch")
    # `$` alone would let a newline at the end pass in Python, and only there.
    text = {"search": "{}", "match": "^(?:{})", "fullmatch": "^(?:{})$(?!\\n)"}[how].replace("{}", pattern.pattern)
    return {**schema, "pattern": text}


def _length(bound: str) -> Callable[[Schema, Any, str], Schema]:
    def add(schema: Schema, validator: Any, where: str) -> Schema:
        of = _LENGTHS.get(schema.get("type", ""))
        if of is None:
            raise Invalid(f"{where}: what isn't a text, a list or a map has no length")
        return {**schema, f"{bound}{of}": getattr(validator, f"{bound}_length")}

    return add


def _members(schema: Schema, validator: Any, where: str) -> Schema:
    items = _constrained(schema.get("items", {}), validator.member_validator, where)
    return _constrained({**schema, "items": items}, validator.iterable_validator, where)


def _values(schema: Schema, validator: Any, where: str) -> Schema:
    values = _constrained(schema.get("additionalProperties", {}), validator.value_validator, where)
    return _constrained({**schema, "additionalProperties": values}, validator.mapping_validator, where)


# By class name, since attrs keeps its validators' classes to itself; a test holds them against the public names.
_TRANSLATIONS: Mapping[str, Callable[[Schema, Any, str], Schema]] = {
    "_AndValidator": _all,
    "_OptionalValidator": lambda schema, validator, where: _constrained(schema, validator.validator, where),
    "_InValidator": _choice,
    "_NumberValidator": lambda schema, validator, where: {**schema, _BOUNDS[validator.compare_op]: validator.bound},
    "_MatchesReValidator": _pattern,
    "_MinLengthValidator": _length("min"),
    "_MaxLengthValidator": _length("max"),
    "_DeepIterable": _members,
    "_DeepMapping": _values,
}


# From plain data to instances -----------------------------------------------------------------------------------


def _instance(config: type, values: Mapping[str, Any]) -> Any:
    """Return an instance of a class from values that its schema lets pass."""
    hints = _hints(config)
    try:
        arguments = {
            each.alias: _structured(hints[each.name], values[each.alias])
            for each in attrs.fields(config)
            if each.init and each.alias in values
        }
        return config(**arguments)
    except _FROM_VALIDATORS as error:
        raise Invalid(_said(error)) from error


_FROM_VALIDATORS = (TypeError, ValueError, OverflowError)
"""What validators and converters of attrs raise, besides our own errors."""


def _said(error: Exception) -> str:
    return str(error.args[0]) if error.args else str(error)


class _Looked:
    """Values by attribute, as a validator sees them; it remembers at which was looked."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__["values"], self.__dict__["names"] = values, set()

    def __getattr__(self, name: str) -> Any:
        self.__dict__["names"].add(name)
        try:
            return self.__dict__["values"][name]
        except KeyError:
            raise AttributeError(name) from None


def _refusals(config: type, values: Mapping[str, Any]) -> Iterator[Refusal]:
    hints = _hints(config)
    taken: dict[str, Any] = {}
    aliases = {each.name: each.alias for each in attrs.fields(config) if each.init}
    for each in attrs.fields(config):
        try:
            taken[each.name] = (
                _structured(hints[each.name], values[each.alias]) if each.alias in values else _made(each)
            )
        except (MobyError, *_FROM_VALIDATORS) as error:
            yield _refusal(each.alias, error, frozenset((each.alias,)))
    for each in attrs.fields(config):
        if each.validator is None or each.name not in taken:
            continue
        looked = _Looked(taken)
        try:
            each.validator(looked, each, taken[each.name])
        except AttributeError:
            if looked.names <= taken.keys():
                raise
        except (MobyError, *_FROM_VALIDATORS) as error:
            reads = frozenset(aliases[name] for name in (*looked.names, each.name) if name in aliases)
            yield _refusal(each.alias, error, reads)


def _refusal(option: str, error: Exception, reads: frozenset[str]) -> Refusal:
    return Refusal(option, _said(error), error.hint if isinstance(error, MobyError) else "", reads)


def _made(attribute: "attrs.Attribute[Any]") -> Any:
    default: Any = attribute.default
    return default.factory() if isinstance(default, attrs.Factory) else default  # type: ignore[arg-type]


def _structured(annotation: Any, value: Any) -> Any:
    inner = _without_none(annotation)
    if inner is not None:
        return None if value is None else _structured(inner, value)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is tuple:
        return tuple(_structured(arguments[0], each) for each in value)
    if origin is Mapping:
        return {key: _structured(arguments[1], each) for key, each in value.items()}
    if origin is typing.Literal:
        return next(each for each in arguments if _same(each, value))
    if issubclass(annotation, enum.Enum):
        return next(each for each in annotation if _same(each.value, value))
    if attrs.has(annotation):
        return _instance(annotation, value)
    return annotation(value)


# Plain data against a schema ------------------------------------------------------------------------------------

_NAMES = {
    "string": "a text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "array": "a list",
    "object": "a map",
    "null": "null",
}


def _wrong(schema: Mapping[str, Any], value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield path and message of each place where a value isn't as its schema says."""
    if "anyOf" in schema:
        if value is not None:
            yield from _wrong(schema["anyOf"][0], value, path)
        return
    wanted = schema.get("type")
    if wanted is not None and not _is(wanted, value):
        yield path, f"expected {_NAMES[wanted]}, got {_shown(value)}"
        return
    choices = schema.get("enum")
    if choices is not None and not any(_same(each, value) for each in choices):
        listed = ", ".join(str(_yaml(each)) for each in choices)
        yield path, f"expected one of {listed}, got {_shown(value)}{_nearest(value, choices)}"
        return
    for keyword, (holds, message) in _LIMITS.items():
        if keyword in schema and not holds(value, schema[keyword]):
            yield path, f"{message.format(_limit(schema[keyword]))}, got {_shown(value)}"
    if isinstance(value, Mapping):
        yield from _wrong_map(schema, value, path)
    elif isinstance(value, list | tuple) and "items" in schema:
        for index, each in enumerate(value):
            yield from _wrong(schema["items"], each, _below(path, index))


def _wrong_map(schema: Mapping[str, Any], value: Mapping[Any, Any], path: str) -> Iterator[tuple[str, str]]:
    known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for key, each in value.items():
        below = _below(path, key)
        if not isinstance(key, str):
            yield below, f"a name must be a text, got {_shown(key)}"
        elif key in known:
            yield from _wrong(known[key], each, below)
        elif others is False:
            listed = f"options: {', '.join(known)}" if known else "there are no options here"
            yield below, f"no such option; {listed}{_nearest(key, list(known))}"
        elif others is not True:
            yield from _wrong(others, each, below)
    for name in schema.get("required", ()):
        if name not in value:
            yield _below(path, name), "must be given"


def _below(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _is(wanted: str, value: Any) -> bool:
    """Tell whether a value is of a type of JSON Schema."""
    if isinstance(value, bool):
        return wanted == "boolean"
    if isinstance(value, int | float):
        if isinstance(value, float) and not math.isfinite(value):
            return False  # JSON has no such number
        return wanted == "number" or (wanted == "integer" and value == int(value))
    known: Mapping[str, Any] = {"string": str, "array": list | tuple, "object": Mapping, "null": type(None)}
    return wanted in known and isinstance(value, known[wanted])


def _same(left: Any, right: Any) -> bool:
    """Compare as JSON does: true is no 1, and 1.0 is 1."""
    return isinstance(left, bool) is isinstance(right, bool) and bool(left == right)


_LIMITS: Mapping[str, tuple[Callable[[Any, Any], bool], str]] = {
    "minimum": (lambda value, limit: value >= limit, "expected {} or more"),
    "exclusiveMinimum": (lambda value, limit: value > limit, "expected more than {}"),
    "maximum": (lambda value, limit: value <= limit, "expected {} or less"),
    "exclusiveMaximum": (lambda value, limit: value < limit, "expected less than {}"),
    "pattern": (lambda value, limit: re.search(limit, value) is not None, "expected a text that matches {}"),
    "minLength": (lambda value, limit: len(value) >= limit, "expected at least {} characters"),
    "maxLength": (lambda value, limit: len(value) <= limit, "expected at most {} characters"),
    "minItems": (lambda value, limit: len(value) >= limit, "expected at least {} items"),
    "maxItems": (lambda value, limit: len(value) <= limit, "expected at most {} items"),
    "minProperties": (lambda value, limit: len(value) >= limit, "expected at least {} entries"),
    "maxProperties": (lambda value, limit: len(value) <= limit, "expected at most {} entries"),
}


def _limit(limit: Any) -> Any:
    """Return a limit as the class's author wrote it: a pattern without what makes it match the whole."""
    if isinstance(limit, str) and limit.startswith("^(?:") and limit.endswith(")$(?!\\n)"):
        return limit[4 : -len(")$(?!\\n)")]
    return limit


def _yaml(value: Any) -> Any:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else value


def _shown(value: Any) -> str:
    """Say a wrong value as its author sees it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(_yaml(value))
    if isinstance(value, Mapping):
        return "a map"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, str | int | float):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    return f"{value} (a {type(value).__name__}; quote it to make it a text)"


def _nearest(value: Any, known: "Sequence[Any]") -> str:
    if not isinstance(value, str):
        return ""
    from difflib import get_close_matches  # only a mistake pays for it

    close = get_close_matches(value, [str(each) for each in known], n=1)
    return f"; did you mean {close[0]}?" if close else ""
