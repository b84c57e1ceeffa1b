"""Messages of protocol buffers (proto3, encoding): classes of annotated fields, from and to the wire.

A field's number stands beside its type: `path: Annotated[str, 1] = ""`. Fields that a class doesn't have are passed
over, so that a class has just those that somebody reads.
"""

from collections.abc import Callable, Mapping
from functools import cache
from types import UnionType
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin, get_type_hints

from attrs import frozen

from moby.errors import Invalid

__all__ = ["decode", "encode"]

M = TypeVar("M")
_VARINT, _LONG, _BYTES, _SHORT = 0, 1, 2, 5
_NEGATIVE = 1 << 63
_WRAP = 1 << 64


@frozen
class _Field:
    """A field of a message."""

    name: str
    number: int
    kind: Any
    """`str`, `bytes`, `int`, `bool`, or a message's class."""
    many: bool = False
    key: Any = None
    """Kind of the keys, where it is a map."""

    @property
    def wire(self) -> int:
        return _VARINT if self.kind in {int, bool} and self.key is None else _BYTES


@cache
def _fields(kind: type) -> tuple[_Field, ...]:
    hints = get_type_hints(kind, include_extras=True)
    return tuple(_field(name, hint) for name, hint in hints.items() if get_origin(hint) is Annotated)


def _field(name: str, hint: Any) -> _Field:
    inner, number = get_args(hint)
    origin, parts = get_origin(inner), get_args(inner)
    if origin is list:
        return _Field(name, number, parts[0], many=True)
    if origin is dict:
        return _Field(name, number, parts[1], many=True, key=parts[0])
    if origin is UnionType:  # a message that may be absent
        return _Field(name, number, parts[0])
    return _Field(name, number, inner)


# Reading ------------------------------------------------------------------------------------------------------------


def decode(kind: type[M], data: bytes) -> M:
    """Read a message; Invalid for what is none. Text may hold any bytes, as file names do (surrogateescape)."""
    try:
        return _decode(kind, data)
    except IndexError:
        raise Invalid(f"a message {kind.__name__} is cut short") from None


def _decode(kind: type[M], data: bytes) -> M:
    takers = _takers(cast(Any, kind))
    found = kind()
    at, end = 0, len(data)
    value: Any
    while at < end:
        key = data[at]
        at += 1
        if key >= 0x80:
            key, at = _varint(data, at - 1)
        wire = key & 7
        if wire == _BYTES:
            size = data[at]
            at += 1
            if size >= 0x80:
                size, at = _varint(data, at - 1)
            if size > end - at:
                raise IndexError
            value = data[at : at + size]
            at += size
        elif wire == _VARINT:
            value = data[at]
            at += 1
            if value >= 0x80:
                value, at = _varint(data, at - 1)
        elif wire in {_LONG, _SHORT}:
            value, at = None, at + (8 if wire == _LONG else 4)
            if at > end:
                raise IndexError
        else:
            raise Invalid(f"a message {kind.__name__} has a field of the unknown sort {wire}")
        take = takers.get(key)
        if take is not None:
            take(found, value)
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (_WRAP - 1), at
        shift += 7
        if shift > 63:
            raise Invalid("a number in a message has more than ten bytes")


Taker = Callable[[Any, Any], None]


@cache
def _takers(kind: type) -> Mapping[int, Taker]:
    """Return what sets each field, by its number and sort on the wire."""
    return {each.number << 3 | each.wire: _taker(each) for each in _fields(kind)}


def _taker(field: _Field) -> Taker:
    name, read = field.name, _reader(field.kind)
    if field.key is not None:
        entry = _entry(field)

        def put(found: Any, value: Any) -> None:
            each = _decode(entry, value)
            getattr(found, name)[each.key] = each.value

        return put
    if field.many:
        return lambda found, value: getattr(found, name).append(read(value))
    return lambda found, value: setattr(found, name, read(value))


def _reader(kind: Any) -> Callable[[Any], Any]:
    if kind is str:
        return lambda value: value.decode("utf-8", "surrogateescape")
    if kind is bytes:
        return lambda value: value
    if kind is bool:
        return bool
    if kind is int:
        return lambda value: value - _WRAP if value >= _NEGATIVE else value
    return lambda value: _decode(kind, value)


@cache
def _entry(field: _Field) -> Any:
    """Return the message that one entry of a map is."""
    from attrs import Factory, make_class
    from attrs import field as attribute

    empty = field.kind() if field.kind in {str, bytes, int, bool} else Factory(field.kind)
    made = make_class("Entry", {"key": attribute(default=field.key()), "value": attribute(default=empty)})
    made.__annotations__ = {"key": Annotated[field.key, 1], "value": Annotated[field.kind, 2]}
    return made


# Writing ------------------------------------------------------------------------------------------------------------


def encode(message: Any) -> bytes:
    """Return a message as it goes over the wire; what is empty or 0 isn't there."""
    out: list[bytes] = []
    for field in _fields(cast(Any, type(message))):
        value = getattr(message, field.name)
        if field.key is not None:
            entry = _entry(field)
            for key, each in value.items():
                _write(out, field.number, encode(entry(key, each)))
        elif field.many:
            for each in value:
                _write(out, field.number, each)
        elif value not in (None, 0, "", b""):
            _write(out, field.number, value)
    return b"".join(out)


def _write(out: list[bytes], number: int, value: Any) -> None:
    if isinstance(value, int):
        out.append(_number(number << 3 | _VARINT) + _number(value))
        return
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    elif not isinstance(value, bytes):
        value = encode(value)
    out += (_number(number << 3 | _BYTES), _number(len(value)), value)


def _number(value: int) -> bytes:
    """Return a number as a varint; a negative one as its complement of 64 bits."""
    if 0 <= value < 0x80:
        return bytes((value,))
    value &= _WRAP - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
