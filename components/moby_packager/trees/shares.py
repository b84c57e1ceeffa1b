"""Whose the bytes of something compressed are: each owner's share is what its files take when compressed alone."""

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping

from moby.contracts.packager import FORMAT
from moby_packager.trees.nodes import Node

__all__ = ["added", "shares", "weights"]

_QUICK = 1
HEADER_BYTES = 40
"""About what a file's name and attributes take."""


def weights(nodes: Iterable[Node]) -> Counter[str]:
    """Return by owner what its files come to compressed, quickly and each alone."""
    found: Counter[str] = Counter()
    for node in nodes:
        total = sum(node.owners.values())
        size = HEADER_BYTES + len(zlib.compress(node.data, _QUICK))
        for owner, count in node.owners.items():
            found[owner] += size * count // total if total else size
    return found


def shares(total_bytes: int, weighed: Mapping[str, int], *, fixed_bytes: int = 0) -> dict[str, int]:
    """Divide a total by weights; what the format takes of it in any case, and what remains of dividing, is its own."""
    whole = sum(weighed.values())
    divided = max(total_bytes - fixed_bytes, 0)
    found = {owner: divided * count // whole for owner, count in sorted(weighed.items())} if whole else {}
    rest = total_bytes - sum(found.values())
    return {**found, FORMAT: found.get(FORMAT, 0) + rest}


def added(*counts: Mapping[str, int]) -> dict[str, int]:
    """Add bytes by owner."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items()))
