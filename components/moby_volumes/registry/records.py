"""What is kept of volumes, and of who has them."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import Any

from attrs import field, frozen

from moby.contracts.metadata import Metadata

__all__ = ["Record", "Records", "Stage"]


class Stage(StrEnum):
    """How far a volume is: what is being made or removed is nobody's, and is cleared up after a kill."""

    MAKING = "making"
    READY = "ready"
    REMOVING = "removing"


@frozen
class Record:
    """What is kept of a volume."""

    driver: str
    created: str
    options: Mapping[str, str] = field(factory=dict)
    labels: Mapping[str, str] = field(factory=dict)
    anonymous: bool = False
    stage: Stage = field(default=Stage.MAKING, converter=Stage)

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "driver": self.driver, "created": self.created, "options": dict(self.options),
            "labels": dict(self.labels), "anonymous": self.anonymous, "stage": self.stage.value,
        }  # fmt: skip


class Records:
    """Volumes by name, and the ids of who has each, in two buckets."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._volumes = metadata.bucket("volumes")
        self._users = metadata.bucket("volume-users")

    def transaction(self) -> AbstractContextManager[None]:
        """Make what follows one change."""
        return self._metadata.transaction()

    def snapshot(self) -> AbstractContextManager[None]:
        """See one moment in all that follows."""
        return self._metadata.snapshot()

    def get(self, name: str) -> Record | None:
        """Return a volume at any stage."""
        found = self._volumes.get(name)
        return None if found is None else Record(**found)

    def all(self) -> Iterator[tuple[str, Record]]:
        """Yield all volumes at any stage, sorted by name."""
        for name, found in self._volumes.items():
            yield name, Record(**found)

    def put(self, name: str, record: Record) -> None:
        """Store a volume."""
        self._volumes.put(name, record.document())

    def delete(self, name: str) -> None:
        """Forget a volume and who had it."""
        with self.transaction():
            self._volumes.delete(name)
            for each in self._users.keys(f"{name}/"):
                self._users.delete(each)

    def users(self, name: str) -> tuple[str, ...]:
        """Return who has a volume, sorted."""
        return tuple(each.partition("/")[2] for each in self._users.keys(f"{name}/"))

    def all_users(self) -> Mapping[str, tuple[str, ...]]:
        """Return the same of all volumes."""
        found: dict[str, list[str]] = {}
        for each in self._users.keys(""):
            name, _, user = each.partition("/")
            found.setdefault(name, []).append(user)
        return {name: tuple(users) for name, users in found.items()}

    def add_user(self, name: str, user: str) -> None:
        """Note who has it."""
        self._users.put(f"{name}/{user}", True)

    def drop_user(self, name: str, user: str) -> None:
        """Forget that."""
        self._users.delete(f"{name}/{user}")
