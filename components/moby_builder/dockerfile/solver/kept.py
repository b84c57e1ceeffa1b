"""What effects keep for themselves, besides snapshots that have a record: contexts, checkouts, cache mounts."""

from collections.abc import Sequence
from typing import Protocol

from moby.contracts.builder import CacheEntry

__all__ = ["Kept"]


class Kept(Protocol):
    """Things of one sort that a prune may remove. Thread-safe, also against other processes on the same folders."""

    def entries(self) -> Sequence[CacheEntry]:
        """Return all that is kept; their ids are no other sort's."""
        ...

    def remove(self, entry_id: str) -> None:
        """Remove one; Conflict where a build has it. One that isn't there is fine."""
        ...
