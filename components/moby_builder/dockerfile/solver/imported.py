"""What the solver asks of a cache that is somewhere else: results by key, fetched only where they are needed."""

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from moby_builder.dockerfile.solver.effects import Tree, Watch

__all__ = ["Elsewhere", "Found", "Imported"]


@frozen
class Found:
    """A result in a cache elsewhere."""

    identity: str
    """What keys of steps on it are made of."""
    keys: tuple[str, ...]
    """All by which it is found."""
    reference: str = ""
    """By which that cache knows it; empty where it knows its keys alone, and not what was made."""
    description: str = ""
    created_ns: int = 0


class Imported(Protocol):
    """A cache that is somewhere else, for one build. Thread-safe."""

    name: str
    """As progress shows it: `importing cache manifest from example.com/app:cache`."""

    def load(self, watch: Watch) -> None:
        """Fetch what `find` needs, once, before it is asked; an error is told, and the build does without."""
        ...

    def find(self, key: str) -> Found | None:
        """Find a result by one of its keys; quick."""
        ...

    def fetch(self, found: Found, watch: Watch) -> Tree:
        """Bring what was found here, as a committed snapshot whose key begins with `builder/`."""
        ...


class Elsewhere:
    """Several caches, asked in order; one that can't be read holds nothing."""

    def __init__(self, caches: Sequence[Imported]) -> None:
        self._caches = list(caches)

    def drop(self, cache: Imported) -> None:
        """Do without one."""
        self._caches.remove(cache)

    def find(self, key: str) -> tuple[Imported, Found] | None:
        """Find a result by key, with the cache that has it; those that can be fetched first."""
        known = [(cache, found) for cache in self._caches if (found := cache.find(key)) is not None]
        return min(known, key=lambda each: not each[1].reference, default=None)
