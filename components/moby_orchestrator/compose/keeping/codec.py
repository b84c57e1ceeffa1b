"""Frozen values as JSON and back: only what differs from a field's default is written, and unknown keys are let be."""

import types
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import attrs

__all__ = ["decode", "encode"]

T = TypeVar("T")


def encode(value: Any) -> Any:
    """Return a value as what JSON knows."""
    if attrs.has(type(value)):
        named = ((each, getattr(value, each.name)) for each in attrs.fields(type(value)))
        return {each.name: encode(found) for each, found in named if found != _default(each)}
    if isinstance(value, Mapping):
        return {str(name): encode(each) for name, each in value.items()}
    if isinstance(value, (tuple, list)):
        return [encode(each) for each in value]
    return value.value if isinstance(value, Enum) else value


def _default(each: Any) -> Any:
    return each.default.factory() if isinstance(each.default, attrs.Factory) else each.default  # type: ignore[arg-type]


def decode(kind: type[T], data: Any) -> T:
    """Return the value that `encode` wrote; KeyError, TypeError or ValueError where it can't have."""
    found: T = _decoder(kind)(data)  # type: ignore[arg-type]
    return found


@cache
def _decoder(hint: Any) -> Callable[[Any], Any]:
    origin, given = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        (inner,) = (each for each in given if each is not type(None))
        some = _decoder(inner)
        return lambda data: None if data is None else some(data)
    if origin is tuple:
        item = _decoder(given[0])
        return lambda data: tuple(item(each) for each in data)
    if origin is not None and issubclass(origin, Mapping):
        value = _decoder(given[1])
        return lambda data: {name: value(each) for name, each in data.items()}
    if isinstance(hint, type) and attrs.has(hint):
        hints = get_type_hints(hint)
        known = {each.name: _decoder(hints[each.name]) for each in attrs.fields(hint)}
        return lambda data: hint(**{name: known[name](each) for name, each in data.items() if name in known})
    return hint if isinstance(hint, type) and issubclass(hint, Enum) else lambda data: data
