"""Caches from elsewhere, as the solver asks for them."""

import secrets
import threading
from collections.abc import Sequence
from functools import partial

from moby.contracts.builder import CacheSource, Session
from moby.values import frozen
from moby_builder.dockerfile.exports.caches.reading import Found as Stored
from moby_builder.dockerfile.exports.caches.reading import ImportedCache, Reading
from moby_builder.dockerfile.solver.effects import Tree, Watch
from moby_builder.dockerfile.solver.imported import Errand, Found, Imports, nothing
from moby_builder.dockerfile.solver.pruning import PREFIX

__all__ = ["Importing"]


@frozen
class _Cache:
    """A cache from elsewhere."""

    cache: ImportedCache

    def find(self, key: str) -> Found | None:
        """Find a result."""
        found = self.cache.find(key)
        return None if found is None else Found(key, found.identity, partial(_bring, self.cache, found))


class Importing:
    """Caches from elsewhere for one build, which may ask for the same ones several times. Thread-safe."""

    def __init__(self, reading: Reading, session: Session) -> None:
        self._reading = reading
        self._session = session
        self._lock = threading.Lock()
        self._known: list[tuple[Sequence[CacheSource], Sequence[_Cache]]] = []

    def of(self, sources: Sequence[CacheSource]) -> Imports:
        """Return what reads these caches: the first time that it is called, later ones know them."""
        return partial(self._read, sources) if sources else nothing

    def _read(self, sources: Sequence[CacheSource], errand: Errand) -> Sequence[_Cache]:
        with self._lock:
            found = next((caches for known, caches in self._known if known == sources), None)
            if found is None:
                found = tuple(map(_Cache, self._reading.open(sources, self._session, errand)))
                self._known.append((sources, found))
            return found


def _bring(cache: ImportedCache, found: Stored, watch: Watch) -> Tree:
    snapshot = PREFIX + secrets.token_hex(12)
    cache.fetch(found, snapshot, watch)
    return Tree(snapshot)
