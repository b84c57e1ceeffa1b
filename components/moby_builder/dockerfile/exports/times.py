"""When layers were made: of those that came from elsewhere, when they were made there."""

from collections.abc import Sequence

from moby.contracts.metadata import Metadata
from moby.contracts.snapshotter import Snapshotter
from moby_builder.dockerfile.portions import portions

__all__ = ["Times"]


class Times:
    """Times of snapshots. Thread-safe."""

    def __init__(self, snapshotter: Snapshotter, metadata: Metadata) -> None:
        self._snapshotter = snapshotter
        self._metadata = metadata
        self._noted = metadata.bucket("builder/times")

    def chain(self, snapshot: str) -> list[tuple[str, int]]:
        """Return the keys of a snapshot and of those below, the lowest first, and when each was made."""
        found = []
        while snapshot:
            stat = self._snapshotter.stat(snapshot)
            noted = (self._noted.get(each) for each in (snapshot, *stat.aliases))
            found.append((snapshot, next((each for each in noted if each is not None), stat.created_ns)))
            snapshot = stat.parent
        return found[::-1]

    def note(self, snapshot: str, created_ns: Sequence[int]) -> None:
        """Write down when the layers of a snapshot were made, the lowest first; 0 is unknown."""
        keys = [key for key, _ in self.chain(snapshot)]
        there = {each.key for each in self._snapshotter.list()}
        for some in portions(set(self._noted.keys()) - there):
            with self._metadata.transaction():
                for gone in some:
                    self._noted.delete(gone)
        for known in portions((key, made_ns) for key, made_ns in zip(keys, created_ns, strict=True) if made_ns):
            with self._metadata.transaction():
                for key, made_ns in known:
                    self._noted.put(key, made_ns)
