"""How each value of a service is read from a tree: what sorts there are, and how each is written again.

docker compose makes a service's hash of JSON that Go writes: in the order of its struct's fields, without those that
are empty. A `Shape` is such a struct, its `Field`s in that order; a `Record` is a value of one.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from moby_orchestrator.compose.files.golang import (
    Single,
    duration_ns,
    duration_text,
    json_text,
    natural,
    single,
    size_bytes,
)
from moby_orchestrator.compose.files.interpolation import boolean
from moby_orchestrator.compose.files.places import sprint
from moby_orchestrator.compose.files.words import split

__all__ = [
    "Field", "Hosts", "Keys", "Record", "Shape", "Size", "Span", "Spoken", "command", "count", "each", "environment",
    "fixed", "hosts", "integer", "keys", "labels", "many", "number", "one_or_many", "optional", "record", "records",
    "size", "span", "spoken", "test", "text", "truth", "written",
]  # fmt: skip

Read = Callable[[Any], Any]


class Size(int):
    """Bytes."""


class Span(int):
    """Nanoseconds."""


class Spoken(dict[str, Any]):
    """A mapping of the user's own keys, which are written in an order of their own."""


class Keys(dict[str, Any]):
    """Paths of SSH keys by their ids; without one it is the agent's."""

    def lines(self) -> list[str]:
        """Return each as it is shown."""
        return [f"{name}: {path}" if path else name for name, path in self.items()]


class Hosts(dict[str, list[str]]):
    """Addresses by host name."""

    def lines(self, between: str) -> list[str]:
        """Return `HOST=ADDRESS` for each, sorted."""
        return sorted(f"{host}{between}{address}" for host, addresses in self.items() for address in addresses)


@frozen
class Field:
    """A field of a struct."""

    key: str
    read: Read
    empty: bool = False
    """Whether it is written also where it is empty: a pointer's value."""
    always: bool = False
    """Whether it is written also where it isn't there at all."""
    nested: "Shape | None" = None
    """Of a struct in its struct: JSON has it also where it is empty."""
    null: bool = False
    """Whether JSON has null for it where it isn't there."""
    json: str = ""
    """Its name in JSON, where that is another."""


@frozen
class Shape:
    """A struct's fields, in order."""

    fields: tuple[Field, ...]

    def read(self, tree: Any) -> "Record":
        """Return the record that a tree in long forms says."""
        found = Record(self)
        for field in self.fields:
            if tree is None or field.key not in tree:
                continue
            if (value := field.read(tree[field.key])) is not None and (field.empty or value or field.always):
                found[field.key] = value
        for key in tree or ():
            if key.startswith("x-"):
                found.extensions[key] = tree[key]
        return found


class Record(dict[str, Any]):
    """What is said of a struct's fields: none is there that is empty, unless that says something."""

    def __init__(self, shape: Shape, given: Mapping[str, Any] | None = None) -> None:
        super().__init__(given or {})
        self.shape = shape
        self.extensions: dict[str, Any] = dict(given.extensions) if isinstance(given, Record) else {}

    def without(self, *keys: str) -> "Record":
        """Return a copy without some fields."""
        found = Record(self.shape, self)
        for key in keys:
            found.pop(key, None)
        return found

    def having(self, **more: Any) -> "Record":
        """Return a copy with some fields changed."""
        found = Record(self.shape, self)
        found.update(more)
        return found


def written(value: Any, *, yaml: bool = False) -> Any:
    """Return plain values of a record, as they are written to JSON, or to YAML."""
    match value:
        case Record():
            return _struct(value, yaml)
        case Hosts():
            return value.lines("=")
        case Keys():
            return value.lines()
        case Size():
            return str(int(value))
        case Span():
            return duration_text(value)
        case dict():
            keys = sorted(value, key=natural if yaml else lambda key: key.encode())
            return {key: written(value[key], yaml=yaml) for key in keys}
        case list() | tuple():
            return [written(one, yaml=yaml) for one in value]
    return value


def _struct(record: Record, yaml: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in record.shape.fields:
        name = field.key if yaml else field.json or field.key
        value = record.get(field.key)
        if value is not None:
            plain = written(value, yaml=yaml)
            if not (yaml and field.nested and not plain):
                found[name] = plain
        elif field.always:
            found[name] = False
        elif field.nested and not yaml:
            found[name] = written(Record(field.nested))
        elif field.null and not yaml:
            found[name] = None
    if yaml:
        found |= {key: written(record.extensions[key], yaml=True) for key in sorted(record.extensions, key=natural)}
    return found


def fixed(record: Record) -> str:
    """Return a record's JSON, to make a hash of."""
    return json_text(written(record))


# Sorts of values


def text(value: Any) -> str:
    """Return a text; numbers are taken as they stand."""
    return sprint(value)


def integer(value: Any) -> int:
    """Return a whole number."""
    try:
        return int(value, 10) if isinstance(value, str) else int(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{value!r} is no whole number") from None


def number(value: Any) -> float:
    """Return a number of 32 bits."""
    try:
        found = Single(single(float(value)))
    except ValueError:
        found = Single("nan")
    if not math.isfinite(found):
        raise ValueError(f"{value!r} is no number of 32 bits")
    return found


def truth(value: Any) -> bool:
    """Return a truth."""
    return boolean(value) if isinstance(value, str) else bool(value)


def size(value: Any) -> Size:
    """Return bytes, of `50M` or a number."""
    return Size(size_bytes(value) if isinstance(value, str) else int(value))


def span(value: Any) -> Span:
    """Return nanoseconds, of `1m30s`."""
    return Span(duration_ns(sprint(value)))


def many(value: Any) -> list[str]:
    """Return texts."""
    return [sprint(each) for each in value or ()]


def one_or_many(value: Any) -> list[str]:
    """Return texts, of one or several."""
    return [value] if isinstance(value, str) else many(value)


def command(value: Any) -> list[str] | None:
    """Return a command's words; none are another command than no command."""
    if value is None:
        return None
    return split(value) if isinstance(value, str) else many(value)


def test(value: Any) -> list[str]:
    """Return a check of health."""
    return ["CMD-SHELL", value] if isinstance(value, str) else many(value)


def count(value: Any) -> int:
    """Return how many of a device: -1 is all."""
    return -1 if isinstance(value, str) and value.lower() == "all" else integer(value)


def labels(value: Any) -> Spoken:
    """Return texts by name."""
    if isinstance(value, list):
        value = {key: rest for key, _, rest in (sprint(one).partition("=") for one in value)}
    return Spoken({key: sprint(each) for key, each in (value or {}).items()})


def environment(value: Any) -> Spoken:
    """Return variables; None is one whose value comes from elsewhere, or nowhere."""
    if isinstance(value, list):
        parts = [sprint(one).partition("=") for one in value]
        return Spoken({key: rest if equals else None for key, equals, rest in parts})
    return Spoken({key: None if each is None else sprint(each) for key, each in (value or {}).items()})


def hosts(value: Any) -> Hosts:
    """Return addresses by host name; ValueError where one is missing."""
    found = Hosts()
    if isinstance(value, dict):
        pairs = [(key, each if isinstance(each, list) else [each]) for key, each in value.items()]
    else:
        pairs = []
        for one in map(sprint, value or ()):
            between = "=" if "=" in one else ":"
            host, separator, rest = one.partition(between)
            if not separator:
                raise ValueError(f"{one!r} has no address")
            pairs.append((host, rest.split(",")))
    for host, addresses in pairs:
        if not host or set(host) & set(":="):
            raise ValueError(f"{host!r} is no host name")
        bare = [
            one[1:-1] if one[:1] == "[" and one[-1:] == "]" and len(one) > 2 else one for one in map(sprint, addresses)
        ]
        found.setdefault(host, []).extend(bare)
    return found


def spoken(value: Any) -> Spoken:
    """Return texts by name, as an option is given on."""
    return Spoken({key: sprint(each) for key, each in (value or {}).items()})


def keys(value: Any) -> Keys:
    """Return SSH keys."""
    return Keys(spoken(value))


def record(shape: Shape) -> Read:
    """Read a struct."""
    return shape.read


def optional(shape: Shape) -> Read:
    """Read a struct that may be missing."""
    return lambda value: None if value is None else shape.read(value)


def records(shape: Shape) -> Read:
    """Read a list of structs."""
    return lambda value: [shape.read(one) for one in value or ()]


def each(read: Read) -> Read:
    """Read a mapping of the user's names to something each."""
    return lambda value: Spoken({key: read(one) for key, one in (value or {}).items()})
