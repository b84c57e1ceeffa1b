"""Values of contracts as JSON carries them, by their type hints; descriptors go beside.

What comes from a peer is believed only as far as its hint goes: anything else is Invalid. Fields that a newer peer
has added are passed over; those that an older one lacks get their defaults.
"""

import binascii
import os
import stat
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from enum import Enum
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from moby.contracts.kind import kind_of
from moby.contracts.types import FD
from moby.errors import Invalid, Unsupported
from moby.served import streams, wire
from moby.served.outgoing import Outgoing

__all__ = ["Codec", "Decoder", "Encoder", "codec_of", "lives", "stream_codec"]

Encoder = Callable[[Any, Outgoing], Any]
"""Turns a value into what JSON carries, and adds the descriptors in it to the list."""
Decoder = Callable[[Any, list[int]], Any]
"""Turns it back; Invalid where it is no value of its type."""
Codec = tuple[Encoder, Decoder]

_UNIONS = (typing.Union, types.UnionType)
_TUPLES = (tuple,)
_LISTS = (list, Sequence, Collection, Iterable)
_SETS = (frozenset, set, Set)
_MAPS = (dict, Mapping)
LARGE = 1 << 17
"""Bytes from this number on come beside the message, which has a limit, and JSON would carry them slowly."""
MOST = 1 << 28
"""Bytes that are read beside a message, whatever is there."""
_CHUNK = 1 << 20
_made: dict[Any, Codec] = {}


def codec_of(hint: Any) -> Codec:
    """Return how values of a type are carried; Unsupported for a type that can't be called in another process."""
    try:
        found = _made.get(hint)
    except TypeError:  # a hint that can't be hashed
        return _make(hint)
    if found is None:
        found = _made[hint] = _make(hint)
    return found


def _make(hint: Any) -> Codec:
    if hint is Any or hint is object:
        return _same, _as_it_is
    if hint is None or hint is type(None):
        return lambda _, __: None, _nothing
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        inner, *marks = typing.get_args(hint)
        return (_encode_fd, _decode_fd) if FD in marks else codec_of(inner)
    if origin in _UNIONS:
        return _union(typing.get_args(hint))
    if origin in (Callable, AbstractContextManager):
        from moby.served import objects

        return (objects.function_codec if origin is Callable else objects.managed_codec)(hint)
    if origin is typing.Literal:
        return _plain(lambda value: value in typing.get_args(hint), f"one of {typing.get_args(hint)}")
    if origin is not None or hint in (tuple, list, dict, frozenset, set):
        return _container(hint, origin or hint)
    if hint is BinaryIO:
        return _encode_file, _decode_file
    if isinstance(hint, type):
        return _scalar(hint)
    raise _unsupported(hint)


def lives(hint: Any) -> bool:
    """Return whether values of a type go on after the message: files, objects with methods, functions."""
    if typing.get_origin(hint) in _UNIONS:
        return any(lives(each) for each in typing.get_args(hint))
    origin = typing.get_origin(hint)
    return hint is BinaryIO or origin in (Callable, AbstractContextManager) or _is_object(hint)


def _is_object(hint: Any) -> bool:
    return isinstance(hint, type) and getattr(hint, "_is_protocol", False) and kind_of(hint) is None


def stream_codec(item: Any) -> Codec:
    """Return how what an iterator yields is carried, one after the other."""
    if item is bytes:
        return _streamed(lambda value, _: value, lambda data, _: data)
    if lives(item):
        raise Unsupported(f"an iterator of {item.__name__} can't be passed to another process")
    encode, decode = codec_of(item)
    return _streamed(
        lambda value, out: wire.body(encode(value, out), out), lambda data, fds: decode(wire.unpack(data), fds)
    )


def _streamed(encode: Encoder, decode: Decoder) -> Codec:
    def encode_all(value: Any, out: Outgoing) -> int:
        alone = Outgoing(None, results=False)
        return out.add(lambda sock: streams.pump((encode(each, alone) for each in value), sock), lambda: _close(value))

    def decode_all(data: Any, fds: list[int]) -> Any:
        return streams.Received(wire.take(data, fds), lambda chunk: decode(chunk, []))

    return encode_all, decode_all


def _close(iterator: Any) -> None:
    close = getattr(iterator, "close", None)
    if close is not None:
        close()


def _encode_file(value: Any, out: Outgoing) -> int:
    note = out.crew.note if out.crew is not None else None
    after = value.close if out.results else lambda: None
    return out.add(lambda sock: streams.pump(streams.chunks_of(value), sock, note), after)


def _decode_file(data: Any, fds: list[int]) -> BinaryIO:
    return streams.opened(wire.take(data, fds))


def _scalar(hint: type) -> Codec:
    if hint in _SCALARS:
        return _SCALARS[hint]
    if _is_object(hint):
        from moby.served import objects

        return objects.object_codec(hint)
    if issubclass(hint, Enum):
        return _enum(hint)
    if issubclass(hint, PurePath):
        return lambda value, _: str(value), lambda data, _: hint(_text(data))
    if fields := _fields(hint):
        return _record(hint, fields)
    raise _unsupported(hint)


def _unsupported(hint: Any) -> Unsupported:
    name = getattr(hint, "__qualname__", "") or str(hint)
    return Unsupported(f"{name} can't be passed to another process", hint="take `served` away from this part")


def _wrong(data: Any, wanted: str) -> Invalid:
    return Invalid(f"a message of another process: expected {wanted}, got {type(data).__name__} {str(data)[:40]!r}")


def _same(value: Any, _: Outgoing) -> Any:
    return value


def _as_it_is(data: Any, _: list[int]) -> Any:
    return data


def _nothing(data: Any, _: list[int]) -> None:
    if data is not None:
        raise _wrong(data, "nothing")


def _plain(fits: Callable[[Any], bool], name: str) -> Codec:
    def decode(data: Any, _: list[int]) -> Any:
        if not fits(data):
            raise _wrong(data, name)
        return data

    return _same, decode


def _text(data: Any) -> str:
    if not isinstance(data, str) or "\0" in data:
        raise _wrong(data, "a path")
    return data


def _number(data: Any, _: list[int]) -> float:
    if type(data) not in (int, float):
        raise _wrong(data, "a number")
    return float(data)


def _encode_bytes(value: Any, out: Outgoing) -> Any:
    if len(value) > LARGE and out.crew is not None:
        return out.beside(value)
    return binascii.b2a_base64(value, newline=False).decode("ascii")


def _decode_bytes(data: Any, fds: list[int]) -> bytes:
    if type(data) is int:
        return _beside(wire.take(data, fds))
    if isinstance(data, str):
        try:
            return binascii.a2b_base64(data, strict_mode=True)
        except ValueError:
            pass
    raise _wrong(data, "bytes")


def _beside(fd: int) -> bytes:
    """Read a descriptor to its end, and close it; a file whole, which an earlier process may have read already."""
    found = bytearray()
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            os.lseek(fd, 0, os.SEEK_SET)
        while chunk := os.read(fd, _CHUNK):
            found += chunk
            if len(found) > MOST:
                raise Invalid(f"another process sent more than {MOST} bytes beside a message")
    finally:
        os.close(fd)
    return bytes(found)


def _encode_fd(value: int, fds: Outgoing) -> int:
    if value < 0:
        return -1
    fds.append(value)
    return len(fds) - 1


def _decode_fd(data: Any, fds: list[int]) -> int:
    if type(data) is not int or not -1 <= data < len(fds):
        raise _wrong(data, "a descriptor")
    if data >= 0 and isinstance(fds, wire.Given):
        fds.held.append(wire.take(data, fds))
        return fds.held[-1]
    return fds[data] if data >= 0 else -1


def _int(value: Any, _: Outgoing) -> int:
    return int(value)


_SCALARS: Mapping[type, Codec] = {
    str: _plain(lambda data: isinstance(data, str), "a text"),
    bool: _plain(lambda data: isinstance(data, bool), "true or false"),
    int: (_int, _plain(lambda data: type(data) is int, "a whole number")[1]),
    float: (_same, _number),
    bytes: (_encode_bytes, _decode_bytes),
    memoryview: (_encode_bytes, _decode_bytes),
    Path: (lambda value, _: str(value), lambda data, _: Path(_text(data))),
}


def _enum(hint: type[Enum]) -> Codec:
    values = {each.value: each for each in hint}

    def decode(data: Any, _: list[int]) -> Any:
        if type(data) not in (str, int) or data not in values:
            raise _wrong(data, hint.__name__)
        return values[data]

    return lambda value, _: value.value, decode


def _union(options: tuple[Any, ...]) -> Codec:
    """Carry `X | None` as null or X; other unions have the place of their type before the value."""
    rest = [each for each in options if each is not type(None)]
    if len(rest) == 1:
        encode, decode = codec_of(rest[0])
        return (
            lambda value, fds: None if value is None else encode(value, fds),
            lambda data, fds: None if data is None else decode(data, fds),
        )
    classes = [typing.get_origin(each) or each for each in options]
    if not all(isinstance(each, type) for each in classes):
        raise _unsupported(typing.Union[options])  # noqa: UP007 - made of what was found
    codecs = [codec_of(each) for each in options]

    def encode_any(value: Any, fds: Outgoing) -> Any:
        place = next(place for place, each in enumerate(classes) if isinstance(value, each))
        return [place, codecs[place][0](value, fds)]

    def decode_any(data: Any, fds: list[int]) -> Any:
        if not isinstance(data, list) or len(data) != 2 or type(data[0]) is not int or not 0 <= data[0] < len(codecs):
            raise _wrong(data, "one of several types")
        return codecs[data[0]][1](data[1], fds)

    return encode_any, decode_any


def _container(hint: Any, origin: Any) -> Codec:
    arguments = typing.get_args(hint)
    if origin in _MAPS:
        return _map(*(arguments or (Any, Any)))
    if origin in _TUPLES and arguments[1:] != (...,) and arguments:
        return _row(arguments)
    if origin in (*_TUPLES, *_LISTS, *_SETS):
        return _row_of(arguments[0] if arguments else Any, frozenset if origin in _SETS else tuple)
    raise _unsupported(hint)


def _row_of(item: Any, make: type) -> Codec:
    encode, decode = codec_of(item)

    def decode_all(data: Any, fds: list[int]) -> Any:
        if not isinstance(data, list):
            raise _wrong(data, "a list")
        try:
            return make([decode(each, fds) for each in data])
        except TypeError as error:  # what a set can't hold
            raise _wrong(data, "a set") from error

    if encode is _same and make is tuple:
        return lambda value, _: list(value), decode_all
    return lambda value, fds: [encode(each, fds) for each in value], decode_all


def _row(items: tuple[Any, ...]) -> Codec:
    codecs = [codec_of(each) for each in items]

    def decode_row(data: Any, fds: list[int]) -> Any:
        if not isinstance(data, list) or len(data) != len(codecs):
            raise _wrong(data, f"a list of {len(codecs)}")
        return tuple(decode(each, fds) for (_, decode), each in zip(codecs, data, strict=True))

    return lambda value, fds: [encode(each, fds) for (encode, _), each in zip(codecs, value, strict=True)], decode_row


def _map(key: Any, item: Any) -> Codec:
    """Carry maps by text as maps, others as lists of pairs."""
    encode, decode = codec_of(item)
    if key is str or key is Any:

        def decode_map(data: Any, fds: list[int]) -> Any:
            if not isinstance(data, dict):
                raise _wrong(data, "a map")
            return {name: decode(each, fds) for name, each in data.items()}

        return lambda value, fds: {name: encode(each, fds) for name, each in value.items()}, decode_map
    encode_pairs, decode_pairs = _row_of(tuple[key, item], tuple)
    return lambda value, fds: encode_pairs(value.items(), fds), lambda data, fds: dict(decode_pairs(data, fds))


def _fields(hint: type) -> tuple[str, ...]:
    """Return the names of a frozen class's fields, of attrs' or ours; empty for another class."""
    ours = hint.__dict__.get("__moby_fields__")
    if ours is not None:
        return tuple(ours)
    return tuple(each.name for each in hint.__dict__.get("__attrs_attrs__", ()))


def _record(hint: type, names: tuple[str, ...]) -> Codec:
    codecs: list[tuple[str, Encoder, Decoder]] = []

    def ready() -> list[tuple[str, Encoder, Decoder]]:
        if not codecs:  # at first use, since a class may hold its own kind
            hints = typing.get_type_hints(hint, include_extras=True)
            codecs.extend((name, *codec_of(hints[name])) for name in names)
        return codecs

    def encode(value: Any, fds: Outgoing) -> Any:
        return {name: encode(getattr(value, name), fds) for name, encode, _ in codecs or ready()}

    def decode(data: Any, fds: list[int]) -> Any:
        if not isinstance(data, dict):
            raise _wrong(data, hint.__name__)
        values = {name: decode(data[name], fds) for name, _, decode in codecs or ready() if name in data}
        try:
            return hint(**values)
        except (TypeError, ValueError) as error:
            raise Invalid(f"a message of another process: no {hint.__name__}: {error}") from error

    return encode, decode
