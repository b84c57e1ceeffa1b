"""What a manifest says, before it means anything: maps, lists and scalars, each with the place it was written."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from attrs import frozen

from moby.errors import Origin

__all__ = ["Entry", "Map", "Node", "Scalar", "Sequence", "is_null", "plain", "written"]


@frozen
class Scalar:
    """One value as JSON carries it; `text` is how it was written, `quoted` whether in quotes or as a block."""

    value: str | int | float | bool | None
    origin: Origin
    text: str = ""
    quoted: bool = False


@frozen
class Sequence:
    """A list."""

    items: "tuple[Node, ...]"
    origin: Origin


@frozen
class Entry:
    """One item of a map; `origin` is where its key was written."""

    key: str
    origin: Origin
    node: "Node"


@frozen
class Map:
    """A map, in the order in which it was written."""

    entries: Mapping[str, Entry]
    origin: Origin


Node: TypeAlias = Scalar | Sequence | Map


def is_null(node: Node) -> bool:
    """Tell whether a node is null, which removes."""
    return isinstance(node, Scalar) and node.value is None


def plain(node: Node) -> Any:
    """Return a node's value as JSON carries it."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return {key: plain(entry.node) for key, entry in node.entries.items()}


def written(node: Node) -> str:
    """Return how a scalar was written, where that isn't how its value reads."""
    if not isinstance(node, Scalar) or node.value is None:
        return ""
    return "" if node.text in {node.value, str(node.value), str(node.value).lower()} else node.text
