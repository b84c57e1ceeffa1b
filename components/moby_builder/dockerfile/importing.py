"""Caches from elsewhere, as the solver asks for them."""

import secrets
from collections.abc import Sequence
from functools import partial

from moby.contracts.builder import CacheSource, Session
from moby.values import frozen
from moby_builder.dockerfile.exports.caches.reading import Found as Stored
from moby_builder.dockerfile.exports.caches.reading import ImportedCache, Reading
from moby_builder.dockerfile.solver.effects import Tree, Watch
from moby_builder.dockerfile.solver.imported import Errand, Found, Imports
from moby_builder.dockerfile.solver.pruning import PREFIX

__all__ = ["imports_of"]


@frozen
class _Cache:
    """A cache from elsewhere."""

    cache: ImportedCache

    def find(self, key: str) -> Found | None:
        """Find a result."""
        found = self.cache.find(key)
        return None if found is None else Found(key, found.identity, partial(_bring, self.cache, found))


def imports_of(reading: Reading, sources: Sequence[CacheSource], session: Session) -> Imports:
    """Return what reads these caches."""

    def read(errand: Errand) -> Sequence[_Cache]:
        return tuple(map(_Cache, reading.open(sources, session, errand)))

    return read


def _bring(cache: ImportedCache, found: Stored, watch: Watch) -> Tree:
    snapshot = PREFIX + secrets.token_hex(12)
    cache.fetch(found, snapshot, watch)
    return Tree(snapshot)
