"""Kinds of JSON values: each reads a value as Go's decoder does, and shows it as Go's encoder does."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from moby.errors import Invalid
from moby.values import frozen

__all__ = [
    "FLAG", "MAYBE_FLAG", "MAYBE_NUMBER", "NUMBER", "SET", "SOME_TEXTS", "TEXT", "TEXTS", "TEXT_MAP", "WORDS", "Field",
    "Form", "items", "object_of", "read", "show",
]  # fmt: skip


@frozen
class Form:
    """One kind of value."""

    read: Callable[[Any, str], Any]
    """From JSON and the field's name; Invalid where it is of another kind. Called for what is there and isn't null."""
    show: Callable[[Any], Any] = lambda value: value


@frozen
class Field:
    """A field of a JSON object and the attribute that holds it."""

    name: str
    attribute: str
    form: Form
    omit: bool = False
    """Whether it is left out where it says nothing, as Go's `omitempty`."""


def read(fields: Iterable[Field], value: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return attributes by name, of what an object has; names are matched whatever their case, as Go does."""
    lower = {key.lower(): each for key, each in value.items()}
    found = {}
    for each in fields:
        given = lower.get(each.name.lower())
        if given is not None:
            found[each.attribute] = each.form.read(given, f"{where}.{each.name}")
    return found


def show(fields: Iterable[Field], value: object) -> dict[str, Any]:
    """Return a JSON object of attributes."""
    shown = ((each, each.form.show(getattr(value, each.attribute))) for each in fields)
    return {each.name: text for each, text in shown if text or not each.omit}


def object_of(value: Any, where: str) -> dict[str, Any]:
    """Return an object, an empty one for null; Invalid for anything else."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _wrong(value, where, "object")
    return value


def items(value: Any, where: str) -> list[Any]:
    """Return a list, an empty one for null; Invalid for anything else."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise _wrong(value, where, "array")
    return value


def _wrong(value: Any, where: str, wanted: str) -> Invalid:
    kinds = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    kind = kinds.get(type(value), "null")
    return Invalid(f"invalid JSON: json: cannot unmarshal {kind} into Go struct field {where} of type {wanted}")


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _wrong(value, where, "string")
    if "\0" in value:
        raise Invalid(f"{where}: NUL can't be in a text")
    return value


def _number(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise _wrong(value, where, "int64")
    return value


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(value, where, "bool")
    return value


def _texts(value: Any, where: str) -> tuple[str, ...]:
    return tuple(_text("" if each is None else each, where) for each in items(value, where))


def _words(value: Any, where: str) -> tuple[str, ...]:
    """Read words, which may be one text (Docker's strslice)."""
    return (_text(value, where),) if isinstance(value, str) else _texts(value, where)


def _text_map(value: Any, where: str) -> dict[str, str]:
    return {_text(key, where): _text("" if each is None else each, where) for key, each in _pairs(value, where)}


def _set(value: Any, where: str) -> tuple[str, ...]:
    return tuple(_text(key, where) for key, _ in _pairs(value, where))


def _pairs(value: Any, where: str) -> Iterable[tuple[Any, Any]]:
    return object_of(value, where).items()


def _list_or_null(value: tuple[str, ...] | None) -> list[str] | None:
    return list(value) if value else None


TEXT = Form(_text)
NUMBER = Form(_number)
FLAG = Form(_flag)
MAYBE_NUMBER = Form(_number)
MAYBE_FLAG = Form(_flag)
TEXTS = Form(_texts, _list_or_null)
SOME_TEXTS = Form(_texts, lambda value: None if value is None else list(value))
"""Texts of which none at all is other than an empty list."""
WORDS = Form(_words, lambda value: None if value is None else list(value))
TEXT_MAP = Form(_text_map, dict)
SET = Form(_set, lambda value: {each: {} for each in value} or None)
"""An object whose names count, as of ports."""
