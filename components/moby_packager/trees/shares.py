"""Whose the bytes of something compressed are: each owner's share is what its files take when compressed alone."""

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping

from attrs import field, frozen

from moby.contracts.packager import FORMAT
from moby_packager.trees.nodes import Node

__all__ = ["Weights", "added", "shares", "weights"]

_QUICK = 1
_COMPRESSED = 0.97
"""A file that shrinks less than to this is compressed already, and takes what it takes."""
HEADER_BYTES = 40
"""About what a file's name and attributes take."""


@frozen
class Weights:
    """What files come to, by owner: those that no compression changes, and those that another may make smaller."""

    sure: Counter[str] = field(factory=Counter)
    rest: Counter[str] = field(factory=Counter)


def weights(nodes: Iterable[Node]) -> Weights:
    """Return by owner what files come to compressed, quickly and each alone."""
    found = Weights()
    for node in nodes:
        total = sum(node.owners.values())
        size = len(zlib.compress(node.data, _QUICK))
        sure = size >= len(node.data) * _COMPRESSED
        counts, size = (found.sure, len(node.data)) if sure else (found.rest, size + HEADER_BYTES)
        for owner, count in node.owners.items():
            counts[owner] += size * count // total if total else size
    return found


def shares(total_bytes: int, weighed: Weights, *, fixed_bytes: int = 0) -> dict[str, int]:
    """Divide a total by weights; what the format takes of it in any case, and what remains of dividing, is its own."""
    left = max(total_bytes - fixed_bytes, 0)
    sure, rest = weighed.sure, weighed.rest
    if sure.total() > left or not rest:  # what was compressed became smaller still
        sure, rest = Counter(), sure + rest
    divided, whole = left - sure.total(), rest.total()
    found = Counter(sure)
    found.update({owner: divided * count // whole for owner, count in rest.items() if whole})
    found[FORMAT] += total_bytes - found.total()
    return dict(sorted(found.items()))


def added(*counts: Mapping[str, int]) -> dict[str, int]:
    """Add bytes by owner."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items()))
