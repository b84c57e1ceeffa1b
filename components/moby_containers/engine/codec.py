"""Frozen values as JSON and back: only what differs from a field's default is written, and unknown keys are let be."""

import types
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from moby.values import defaults

__all__ = ["decode", "encode"]

T = TypeVar("T")
_PLAIN = frozenset({str, int, bool, float, type(None)})


_fields: Callable[[type], dict[str, Any] | None] = cache(defaults)


def encode(value: Any) -> Any:
    """Return a value as what JSON knows."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    fields = _fields(kind)
    if fields is not None:
        written = {}
        for name, default in fields.items():
            found = getattr(value, name)
            if found is not default and found != default:
                written[name] = found if type(found) in _PLAIN else encode(found)
        return written
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
    if isinstance(hint, type) and (fields := _fields(hint)) is not None:
        return _value_decoder(hint, tuple(fields))
    if isinstance(hint, type) and issubclass(hint, Enum | Path):
        return hint
    return lambda data: data


def _value_decoder(kind: type, names: tuple[str, ...]) -> Callable[[Any], Any]:
    hints = get_type_hints(kind)

    def read(data: Any) -> Any:
        return kind(**{name: _decoder(hints[name])(data[name]) for name in names if name in data})

    return read
