"""Records of what steps made, and by which keys they are found; all in the engine's metadata.

A record is written once, in one transaction with its keys; how often it was used is kept beside it. What it says of a
snapshot may be outdated: whoever wants that looks whether it is there.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from moby.contracts.metadata import Metadata
from moby.values import asdict, field, frozen
from moby_builder.dockerfile.portions import portions

__all__ = ["Made", "Record", "Records", "Uses", "new_id"]


_FIRST_KEYS = 3
"""As many as a record may have when it is written."""
_MOST_FURTHER_KEYS = 16
_MOST_CHANGES = _FIRST_KEYS + _MOST_FURTHER_KEYS + 4
"""Where a record goes: it, its keys, and what is beside it."""


@frozen
class Record:
    """What a step made."""

    id: str
    snapshot: str
    """Its key; empty is an empty root."""
    identity: str
    """What keys of steps on it are made of: the key that it was made by, unless the cache was ignored."""
    keys: tuple[str, ...]
    type: str = "regular"
    description: str = ""
    parents: tuple[str, ...] = ()
    """Ids of the records whose snapshots it stands on."""
    size_bytes: int = 0
    created_ns: int = 0


@frozen
class Made:
    """What a step was made of, so that it can be told why another one differs."""

    name: str
    facts: Mapping[str, Any]
    inputs: tuple[str, ...] = ()
    """Identities."""
    sources: tuple[str, ...] = ()
    """What the inputs are called."""
    contents: Mapping[str, str] = field(factory=dict)
    """By the number of an input, the digest of what was read of it."""
    files: Mapping[str, str] = field(factory=dict)
    """Of what was read, short digests by name, where there aren't many."""


@frozen
class Uses:
    """How often a record was found again, and when last."""

    count: int = 0
    last_ns: int = 0


def new_id() -> str:
    """Return an id for a record, as long as BuildKit's."""
    number = int.from_bytes(secrets.token_bytes(17), "big")
    return "".join(_DIGITS[number // 36**place % 36] for place in range(25))


_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Records:
    """Records by id and by key. Thread-safe, also against other processes."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._records = metadata.bucket("builder/records")
        self._keys = metadata.bucket("builder/keys")
        self._uses = metadata.bucket("builder/uses")
        self._made = metadata.bucket("builder/made")
        self._snapshots = metadata.bucket("builder/snapshots")
        self._places = metadata.bucket("builder/places")

    def find(self, key: str) -> Record | None:
        """Find the record of a key."""
        found = self._keys.get(key)
        return None if found is None else self.get(found)

    def get(self, record_id: str) -> Record | None:
        """Return a record."""
        document = self._records.get(record_id)
        return None if document is None else _record(document)

    def __bool__(self) -> bool:
        return bool(self._records.count())

    def list(self) -> tuple[Record, ...]:
        """Return all records, sorted by id."""
        return tuple(_record(document) for _, document in self._records.items())

    def has_snapshot(self, snapshot: str) -> bool:
        """Whether a record has this snapshot."""
        return bool(self._snapshots.count(f"{snapshot}/"))

    def uses(self) -> Mapping[str, Uses]:
        """Return how often records were found again, by id; those that never were are left out."""
        return {key: Uses(*document) for key, document in self._uses.items()}

    def add(self, record: Record, made: Made | None = None, places: Sequence[str] = ()) -> None:
        """Write a record, which is found by its keys from here on; the last one of each place is remembered."""
        with self._metadata.transaction():
            self._records.put(record.id, asdict(record))
            self._snapshots.put(f"{record.snapshot}/{record.id}", record.id)
            for each in record.keys:
                self._keys.put(each, record.id)
            if made is not None:
                self._made.put(record.id, asdict(made))
            for each in places:
                self._places.put(each, record.id)

    def note(self, found: Mapping[str, Iterable[str]], now_ns: int) -> None:
        """Write down that records were found again, by their ids, with the further keys that they have now."""
        for some in portions(found.items(), _MOST_CHANGES):
            with self._metadata.transaction():
                for each, keys in some:
                    count, _ = self._uses.get(each) or (0, 0)
                    self._uses.put(each, [count + 1, now_ns])
                    self._extend(each, tuple(keys))

    def last(self, place: str) -> Made | None:
        """Return what the last record of a place was made of."""
        found = self._places.get(place)
        document = None if found is None else self._made.get(found)
        if document is None:
            return None
        return Made(**{**document, "inputs": tuple(document["inputs"]), "sources": tuple(document["sources"])})

    def remove(self, record_ids: Iterable[str]) -> None:
        """Forget records; one that isn't there is fine."""
        for some in portions(record_ids, _MOST_CHANGES):
            with self._metadata.transaction():
                for each in some:
                    self._remove(each)

    def _remove(self, record_id: str) -> None:
        record = self.get(record_id)
        if record is not None:
            self._snapshots.delete(f"{record.snapshot}/{record_id}")
        for key in record.keys if record else ():
            if self._keys.get(key) == record_id:
                self._keys.delete(key)
        for bucket in (self._records, self._uses, self._made):
            bucket.delete(record_id)

    def tidy(self) -> None:
        """Forget which records were the last of their places where those have gone."""
        for some in portions(self._places.keys()):
            with self._metadata.transaction():
                for place in some:
                    record_id = self._places.get(place)
                    if record_id is not None and self._made.text(record_id) is None:
                        self._places.delete(place)

    def _extend(self, record_id: str, keys: tuple[str, ...]) -> None:
        """Have a record found by further keys; of those that came so, only the last ones stay."""
        record = self.get(record_id) if keys else None
        if record is None:
            return
        for each in keys:
            self._keys.put(each, record_id)
        every = tuple(dict.fromkeys((*record.keys, *keys)))
        left = every[:_FIRST_KEYS] + every[_FIRST_KEYS:][-_MOST_FURTHER_KEYS:]
        for each in {*every} - {*left}:
            if self._keys.get(each) == record_id:
                self._keys.delete(each)
        self._records.put(record_id, {**asdict(record), "keys": left})


def _record(document: Mapping[str, Any]) -> Record:
    return Record(**{**document, "keys": tuple(document["keys"]), "parents": tuple(document["parents"])})
