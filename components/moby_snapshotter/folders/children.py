"""Which snapshots are on which, written down beside their records, so that nobody has to go through all of those."""

import hashlib
from collections.abc import Iterable

from moby.contracts.metadata import Metadata

__all__ = ["Children"]

_COMPLETE = "complete"


class Children:
    """Keys of snapshots by that of the one they are on. Every change is made in a transaction of the caller's."""

    def __init__(self, metadata: Metadata, bucket: str) -> None:
        self._bucket = metadata.bucket(f"{bucket}/on")

    def is_complete(self) -> bool:
        """Whether it has all; it hasn't where snapshots were made by an engine that didn't write this."""
        return self._bucket.text(_COMPLETE) is not None

    def complete(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Know of all snapshots that there are, as key and parent."""
        for key, parent in pairs:
            self.add(key, parent)
        self._bucket.put(_COMPLETE, True)

    def add(self, key: str, parent: str) -> None:
        """Know that one is on another."""
        if parent:
            self._bucket.put(_name(parent) + _name(key), key)

    def discard(self, key: str, parent: str) -> None:
        """Forget that one is on another."""
        if parent:
            self._bucket.delete(_name(parent) + _name(key))

    def of(self, parent: str) -> list[str]:
        """Return what is on one, sorted."""
        return sorted(key for _, key in self._bucket.items(_name(parent)))


def _name(key: str) -> str:
    """Return a name of always the same length for a key, two of which a bucket's key can hold."""
    return hashlib.sha256(key.encode()).hexdigest() + "/"
