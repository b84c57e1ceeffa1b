"""Frozen values as JSON and back: only what differs from a field's default is written, and unknown keys are let be."""

import types
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import attrs

__all__ = ["decode", "encode"]

T = TypeVar("T")
_PLAIN = frozenset({str, int, bool, float, type(None)})
_MISSING = object()


@cache
def _fields(kind: type) -> tuple[tuple[str, Any], ...]:
    """Return names and defaults."""
    found = []
    for each in attrs.fields(kind):
        default = each.default
        if default is attrs.NOTHING:
            default = _MISSING
        elif hasattr(default, "factory"):
            default = default.factory()
        found.append((each.name, default))
    return tuple(found)


def encode(value: Any) -> Any:
    """Return a value as what JSON knows."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if attrs.has(kind):
        return {
            name: encode(found) for name, default in _fields(kind) if (found := getattr(value, name)) != default
        }  # fmt: skip
    if kind in (tuple, list):
        return [encode(each) for each in value]
    if isinstance(value, Mapping):
        return {str(name): encode(each) for name, each in value.items()}
    if isinstance(value, Enum):
        return value.value
    return str(value)


def decode(kind: type[T], data: Any) -> T:
    """Return the value that `encode` wrote; KeyError, TypeError or ValueError where it can't have."""
    found: T = _decoder(kind)(data)  # type: ignore[arg-type]
    return found


@cache
def _decoder(hint: Any) -> Callable[[Any], Any]:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        (inner,) = (each for each in get_args(hint) if each is not type(None))
        some = _decoder(inner)
        return lambda data: None if data is None else some(data)
    if origin is tuple:
        item = _decoder(get_args(hint)[0])
        return lambda data: tuple(item(each) for each in data)
    if origin is not None and issubclass(origin, Mapping):
        value = _decoder(get_args(hint)[1])
        return lambda data: {name: value(each) for name, each in data.items()}
    if isinstance(hint, type) and attrs.has(hint):
        return _value_decoder(hint)
    if isinstance(hint, type) and issubclass(hint, Enum | Path):
        return hint
    return lambda data: data


def _value_decoder(kind: type) -> Callable[[Any], Any]:
    hints = get_type_hints(kind)
    names = [name for name, _ in _fields(kind)]

    def read(data: Any) -> Any:
        return kind(**{name: _decoder(hints[name])(data[name]) for name in names if name in data})

    return read
