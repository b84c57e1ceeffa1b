"""The cluster's store: documents in the metadata, sealed, which several managers may read and change."""

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from moby.contracts.metadata import Metadata
from moby.errors import Corrupt, Denied, Unsupported
from moby.values import evolve
from moby_orchestrator.swarm.codec import decode, encode
from moby_orchestrator.swarm.membership import Membership
from moby_orchestrator.swarm.sealing import opened, sealed
from moby_orchestrator.swarm.world import KINDS, World

__all__ = ["Draft", "Store"]

_REVISION = "revision"
_PORTION = 1000
"""Documents that are forgotten at once: some metadata take no more than a few thousand changes."""
Changed = Callable[[World, World], None]


class Draft:
    """A world that is being changed: its tables are dictionaries of the caller's."""

    def __init__(self, world: World) -> None:
        self.revision = world.revision + 1
        self.clusters = dict(world.clusters)
        self.services = dict(world.services)
        self.tasks = dict(world.tasks)
        self.nodes = dict(world.nodes)
        self.secrets = dict(world.secrets)
        self.configs = dict(world.configs)
        self.credentials = dict(world.credentials)
        self.leftovers = dict(world.leftovers)


class Store:
    """What it answered for is on disk, or wherever the metadata keeps it. Thread-safe, and against other managers.

    A world that was read stays as it was; it is read anew only where its revision isn't the store's any more.
    """

    def __init__(self, metadata: Metadata, membership: Membership, changed: Changed) -> None:
        self._metadata = metadata
        self._bucket = metadata.bucket("swarm")
        self._membership = membership
        self._changed = changed
        self._lock = threading.RLock()
        self._world = World()

    def world(self) -> World:
        """Return what there is now; Unavailable where this machine is no manager, or is locked."""
        self._membership.key()
        with self._lock:
            if (self._bucket.get(_REVISION) or 0) != self._world.revision:
                with self._metadata.snapshot():
                    self._refresh()
            return self._world

    def _refresh(self) -> None:
        revision = self._bucket.get(_REVISION) or 0
        if revision == self._world.revision:
            return
        key = self._membership.key()
        tables: dict[str, dict[str, Any]] = {name: {} for name in KINDS}
        for path, text in self._bucket.texts():
            name, slash, id = path.partition("/")  # noqa: A001
            if slash and name in KINDS:
                tables[name][id] = self._read(key, path, text, KINDS[name])
        self._world = World(revision, **tables)

    @staticmethod
    def _read(key: bytes, path: str, text: str, kind: type[Any]) -> Any:
        try:
            return decode(kind, json.loads(opened(key, base64.b64decode(json.loads(text)))))
        except (ValueError, KeyError, TypeError, Denied) as error:
            hint = "it was written with another key: leave the cluster by force, and begin another"
            raise Corrupt(f"the document {path} of the cluster's store can't be read: {error}", hint=hint) from error

    @contextmanager
    def change(self) -> Iterator[Draft]:
        """Lend a draft that is written at the end, all of it or, with an error, nothing; nobody else writes meanwhile.

        What changed has the new revision as its version. Unsupported for more than the metadata take at once.
        """
        key = self._membership.key()
        with self._lock:
            with self._metadata.transaction():
                self._refresh()
                before = self._world
                draft = Draft(before)
                yield draft
                after = self._write(key, before, draft)
            self._world = after
            if after is not before:
                self._changed(before, after)

    def _write(self, key: bytes, before: World, draft: Draft) -> World:
        different = False
        for name in KINDS:
            old: Mapping[str, Any] = getattr(before, name)
            new: dict[str, Any] = getattr(draft, name)
            for id in old.keys() - new.keys():  # noqa: A001
                different = True
                self._bucket.delete(f"{name}/{id}")
            for id, value in new.items():  # noqa: A001
                if value is not old.get(id):
                    different = True
                    new[id] = made = _versioned(value, draft.revision)
                    text = base64.b64encode(sealed(key, json.dumps(encode(made)).encode())).decode()
                    self._bucket.put_text(f"{name}/{id}", f'"{text}"')
        if not different:
            return before
        self._bucket.put(_REVISION, draft.revision)
        return World(draft.revision, **{name: getattr(draft, name) for name in KINDS})

    def clear(self) -> None:
        """Forget all of it, whoever wrote it; what is left where this fails, or is killed, has no cluster any more."""
        most = _PORTION
        with self._lock:
            self._world = World()  # what is left is read anew
            while True:
                count = 0
                try:
                    with self._metadata.transaction():
                        portion = self._bucket.texts(limit=most)
                        count = len(portion)
                        for each, _ in portion:
                            self._bucket.delete(each)
                except Unsupported:  # that is more than the metadata take at once
                    if count <= 1:
                        raise
                    most = count // 2
                    continue
                if count < most:
                    return

    def used(self) -> bool:
        """Return whether somebody has written anything."""
        return self._bucket.count() > 0


def _versioned(value: Any, revision: int) -> Any:
    return evolve(value, version=revision) if hasattr(value, "version") else value
