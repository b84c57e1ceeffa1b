"""Results of builds, by references that other builds may begin with (`Request.contexts`, `result:REFERENCE`)."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from moby.contracts.metadata import Metadata
from moby.errors import NotFound
from moby.values import asdict, field, frozen
from moby_builder.dockerfile.portions import portions

__all__ = ["Made", "Results"]


@frozen
class Made:
    """What a build came to."""

    snapshot: str
    """Key of its topmost snapshot; empty for none."""
    identity: str = ""
    """By which it is known again when it was built anew."""
    record: str = ""
    """Id of the cache's record of it; empty where it is just what an image has."""
    config: Mapping[str, Any] = field(factory=dict)
    """Of its image, as `Target.config`."""
    written_ns: int = 0


class Results:
    """Results by reference, which the same one always gets, though its files were made anew. Thread-safe."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._bucket = metadata.bucket("builder/results")

    def add(self, made: Made) -> str:
        """Remember a result, and return its reference."""
        text = json.dumps([made.identity, made.config], sort_keys=True)
        reference = hashlib.sha256(text.encode()).hexdigest()[:25]
        self._bucket.put(reference, asdict(made))
        return reference

    def get(self, reference: str) -> Made:
        """Return a result; NotFound where it isn't remembered."""
        document = self._bucket.get(reference) if reference else None
        if document is None:
            raise NotFound(f"no result of a build is known as {reference!r}", hint="build it again")
        return Made(**document)

    def keep(self, wanted: Callable[[Made], bool]) -> None:
        """Forget the others."""
        for some in portions(self._bucket.keys()):
            with self._metadata.transaction():
                for key in some:
                    document = self._bucket.get(key)
                    if document is not None and not wanted(Made(**document)):
                        self._bucket.delete(key)
