"""Graphs with some nodes taken for others."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from attrs import evolve

from moby_builder.dockerfile.operations import Node

if TYPE_CHECKING:
    from moby.contracts.types import Digest

__all__ = ["replaced"]


def replaced(roots: Iterable[Node], others: Mapping[int, Node]) -> dict[int, Node]:
    """Return what becomes of each node below some roots, by id, where those of `others` stand for something else.

    Of nodes that do the same, the first is taken for all. All of them know their digests afterwards, so that nobody
    has to go down a deep graph for it.
    """
    made: dict[int, Node] = {}
    same: dict[Digest, Node] = {}
    for number, node in others.items():
        made[number] = same.setdefault(node.digest, node)
    stack = [(root, False) for root in [*roots][::-1]]
    while stack:
        node, ready = stack.pop()
        if id(node) in made:
            continue
        if not ready:
            stack.append((node, True))
            stack.extend((each, False) for each in reversed(node.inputs))
            continue
        inputs = tuple(made[id(each)] for each in node.inputs)
        kept = all(new is old for new, old in zip(inputs, node.inputs, strict=True))
        new = node if kept else evolve(node, inputs=inputs)
        made[id(node)] = same.setdefault(new.digest, new)
    return made
