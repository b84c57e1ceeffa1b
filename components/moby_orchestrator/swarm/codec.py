"""Values of contracts as JSON and back: fields as by default are left out, keys that nobody knows passed over."""

import base64
import types
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import attrs

__all__ = ["decode", "encode"]

T = TypeVar("T")
_NOTHING = object()
_PLAIN = frozenset({str, int, bool, float, type(None)})
_Read = Callable[[Any], Any]


@cache
def _fields(kind: type) -> tuple[tuple[str, Any], ...]:
    """Return names and defaults."""
    return tuple((each.name, _made(each.default)) for each in attrs.fields(kind))


def _made(default: Any) -> Any:
    if default is attrs.NOTHING:
        return _NOTHING
    return default.factory() if hasattr(default, "factory") else default


def encode(value: Any) -> Any:
    """Return a value as what JSON knows."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, Enum):
        return value.value
    if attrs.has(kind):
        given = ((name, getattr(value, name), default) for name, default in _fields(kind))
        return {name: encode(found) for name, found, default in given if found != default}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Mapping):
        return {str(name): encode(each) for name, each in value.items()}
    if isinstance(value, frozenset):
        return sorted(map(encode, value))
    return [encode(each) for each in value]


def decode(kind: type[T], data: Any) -> T:
    """Return the value that `encode` wrote; KeyError, TypeError or ValueError where it can't have."""
    found: T = _reader(kind)(data)  # type: ignore[arg-type]
    return found


@cache
def _reader(hint: Any) -> _Read:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _optional(_reader(next(each for each in inner if each is not type(None))))
    if origin is tuple:
        return _tuple(inner)
    if origin is frozenset:
        item = _reader(inner[0])
        return lambda data: frozenset(map(item, data))
    if origin is not None and issubclass(origin, Mapping):
        value = _reader(inner[1])
        return lambda data: {name: value(each) for name, each in data.items()}
    if isinstance(hint, type) and attrs.has(hint):
        return _value(hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint
    return base64.b64decode if hint is bytes else lambda data: data


def _optional(read: _Read) -> _Read:
    return lambda data: None if data is None else read(data)


def _tuple(inner: tuple[Any, ...]) -> _Read:
    if inner[-1] is Ellipsis:
        item = _reader(inner[0])
        return lambda data: tuple(map(item, data))
    items = tuple(map(_reader, inner))
    return lambda data: tuple(read(each) for read, each in zip(items, data, strict=True))


def _value(kind: type) -> _Read:
    hints = get_type_hints(kind)
    readers: dict[str, _Read] = {}

    def read(data: Any) -> Any:
        if not readers:  # once, and only when it is needed: values may hold values of their own kind
            readers.update({name: _reader(hints[name]) for name, _ in _fields(kind)})
        return kind(**{name: reader(data[name]) for name, reader in readers.items() if name in data})

    return read
