"""Containers that know where each of their values was written."""

from collections.abc import Callable, Iterable
from typing import Any

from moby.errors import Invalid, Origin, Problem

__all__ = ["Items", "Map", "Path", "at", "copied", "matches", "refuse", "shown", "sprint"]

Path = tuple[str, ...]
"""Keys from the top down; a list's items are `[]`."""


class Map(dict[str, Any]):
    """A mapping; `places` says where its keys' values were written, as far as that is known."""

    def __init__(self, given: Any = (), places: dict[str, Origin] | None = None, origin: Origin | None = None) -> None:
        super().__init__(given)
        if places is None and isinstance(given, Map):
            places = dict(given.places)
        self.places: dict[str, Origin] = places or {}
        self.origin: Origin | None = origin or (given.origin if isinstance(given, Map) else None)

    def put(self, key: str, value: Any, place: Origin | None) -> None:
        """Set a value and its place."""
        self[key] = value
        if place is not None:
            self.places[key] = place

    def drop(self, key: str) -> None:
        """Remove a key, if it is there."""
        self.pop(key, None)
        self.places.pop(key, None)


class Items(list[Any]):
    """A list; `places` has as many members, each None where it isn't known."""

    def __init__(self, given: Iterable[Any] = (), places: Iterable[Origin | None] | None = None) -> None:
        items = list(given)
        super().__init__(items)
        if places is None:
            places = given.places if isinstance(given, Items) else [None] * len(items)
        self.places: list[Origin | None] = list(places)

    def add(self, value: Any, place: Origin | None) -> None:
        """Append a value and its place."""
        self.append(value)
        self.places.append(place)

    def pairs(self) -> Iterable[tuple[Any, Origin | None]]:
        """Return the values with their places."""
        return zip(list(self), list(self.places), strict=True)


def at(tree: Any, path: Iterable[str | int]) -> Origin | None:
    """Return where a value below was written, or the nearest one around it of which that is known."""
    found: Origin | None = tree.origin if isinstance(tree, Map) else None
    for key in path:
        if isinstance(tree, Map) and isinstance(key, str):
            found = tree.places.get(key) or found
            tree = tree.get(key)
        elif isinstance(tree, Items) and isinstance(key, int) and key < len(tree):
            found = tree.places[key] or found
            tree = tree[key]
        else:
            break
    return found


def copied(value: Any, leaf: Callable[[Any], Any] = lambda value: value) -> Any:
    """Return a deep copy, with its leaves passed through a function."""
    if isinstance(value, Map):
        return Map({key: copied(each, leaf) for key, each in value.items()}, dict(value.places), value.origin)
    if isinstance(value, Items):
        return Items([copied(each, leaf) for each in value], value.places)
    return leaf(value)


def matches(path: Path, pattern: Path) -> bool:
    """Whether a path is one that a pattern means, in which `*` is any key or item."""
    return len(path) == len(pattern) and all(b in ("*", a) for a, b in zip(path, pattern, strict=True))


def shown(path: Iterable[str | int]) -> str:
    """Return a path as it is told: `services.web.ports[0]`."""
    text = ""
    for key in path:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def refuse(message: str, where: Origin | None = None, fix: str = "") -> Invalid:
    """Return the error of one problem."""
    problem = Problem(message, where, fixes=(fix,) if fix else ())
    return Invalid(message, problems=(problem,))


def sprint(value: Any) -> str:
    """Return a scalar as text, as Go's `%v` has it: what docker compose makes of numbers where it wants words."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        from moby_orchestrator.compose.files.golang import float_text

        return float_text(value, general=True)
    return str(value)
