"""Reading objects of which nothing may be passed over: what can't be kept is refused by its field's name."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from moby.errors import Invalid
from moby_frontend.docker.translate.forms import Field, object_of, read

__all__ = ["lowered", "read_all", "refuse", "says_something"]


def lowered(value: Any, where: str) -> dict[str, Any]:
    """Return an object with its names in lower case, as Go's decoder matches them whatever their case."""
    return {key.lower(): each for key, each in object_of(value, where).items()}


def read_all(fields: Iterable[Field], value: Any, where: str, others: Collection[str] = ()) -> dict[str, Any]:
    """Return attributes by name, as `read`; Invalid where a field that is neither of these nor of `others` is set."""
    given, fields = object_of(value, where), tuple(fields)
    known = {each.name.lower() for each in fields} | {each.lower() for each in others}
    refuse({name: each for name, each in given.items() if name.lower() not in known}, where)
    return read(fields, given, where)


def refuse(given: Mapping[str, Any], where: str) -> None:
    """Raise Invalid for the fields of these that say something."""
    names = sorted(name for name, value in given.items() if says_something(value))
    if names:
        raise Invalid(f"{', '.join(f'{where}.{name}' for name in names)}: this engine's swarm has no such setting")


def says_something(value: Any) -> bool:
    """Return whether a JSON value is other than what Go leaves out as empty, all the way down."""
    if isinstance(value, Mapping):
        return any(map(says_something, value.values()))
    if isinstance(value, list):
        return any(map(says_something, value))
    return bool(value)
