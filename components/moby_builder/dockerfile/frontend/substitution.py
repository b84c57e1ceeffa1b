"""Graphs with some nodes taken for others."""

from collections.abc import Iterable, Mapping

from attrs import evolve

from moby_builder.dockerfile.operations import Node

__all__ = ["replaced"]


def replaced(roots: Iterable[Node], others: Mapping[int, Node]) -> dict[int, Node]:
    """Return what becomes of each node below some roots, by id, where those of `others` stand for something else.

    All of them know their digests afterwards, so that nobody has to go down a deep graph for it.
    """
    made: dict[int, Node] = dict(others)
    for node in others.values():
        _ = node.digest
    stack = [(root, False) for root in roots]
    while stack:
        node, ready = stack.pop()
        if id(node) in made:
            continue
        if not ready:
            stack.append((node, True))
            stack.extend((each, False) for each in node.inputs)
            continue
        inputs = tuple(made[id(each)] for each in node.inputs)
        same = all(new is old for new, old in zip(inputs, node.inputs, strict=True))
        made[id(node)] = node if same else evolve(node, inputs=inputs)
        _ = made[id(node)].digest
    return made
