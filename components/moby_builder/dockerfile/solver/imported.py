"""What the solver asks of caches that are somewhere else: results by key, brought here only where they are needed."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from moby.values import frozen
from moby_builder.dockerfile.solver.effects import Tree, Watch

__all__ = ["Errand", "Found", "Imported", "Imports", "nothing"]


@frozen
class Found:
    """A result that is elsewhere."""

    key: str
    """By which it was found."""
    identity: str
    """What keys of steps on it are made of."""
    bring: Callable[[Watch], Tree]
    """Bring it here, as a committed snapshot whose key begins with `builder/`."""


class Imported(Protocol):
    """A cache that is elsewhere, for one build. Thread-safe."""

    def find(self, key: str) -> Found | None:
        """Find a result by one of its keys; quick."""
        ...


Errand = Callable[[str], AbstractContextManager[Watch]]
"""Tells that something of this name begins, lends what hears of it, and tells that it ended."""

Imports = Callable[[Errand], Sequence[Imported]]
"""Reads what caches hold; one that can't be read is told, and left out."""


def nothing(errand: Errand) -> Sequence[Imported]:
    """Read no cache."""
    return ()
