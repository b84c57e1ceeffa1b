"""What lasts: services, removals and this machine's id in the metadata, secrets' and configs' data in files."""

import hashlib
import secrets
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from moby.contracts.metadata import Metadata
from moby.errors import Corrupt, HostUnfit, NotFound
from moby_orchestrator.compose.keeping.codec import decode, encode
from moby_orchestrator.compose.keeping.values import Kept, Removal

__all__ = ["Shelf"]

_SERVICE, _REMOVAL, _LEAVING, _NODE = "service/", "removal/", "leaving/", "node"


class Shelf:
    """Reads all when it is made; each change is on disk when it returns. Callers take turns."""

    def __init__(self, metadata: Metadata, folder: Path) -> None:
        self._bucket = metadata.bucket("orchestrator/compose")
        self._metadata = metadata
        self._folder = folder
        self.services: dict[str, Kept] = {}
        self.removals: dict[str, Removal] = {}
        self.leaving: dict[str, bool] = {}
        """Applications that are removed, and whether their volumes are too."""

    def load(self) -> None:
        """Read what is kept; Corrupt names a document that can't be read."""
        self.services = {key.removeprefix(_SERVICE): self._read(Kept, key, each) for key, each in self._all(_SERVICE)}
        self.removals = {
            key.removeprefix(_REMOVAL): self._read(Removal, key, each) for key, each in self._all(_REMOVAL)
        }

        self.leaving = {key.removeprefix(_LEAVING): each is True for key, each in self._all(_LEAVING)}

    def _all(self, prefix: str) -> Iterable[tuple[str, Any]]:
        return self._bucket.items(prefix)

    def _read(self, kind: type[Any], key: str, document: Any) -> Any:
        try:
            return decode(kind, document)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Corrupt(
                f"orchestrator/compose: the document {key} can't be read: {error}", hint="remove the service by hand"
            ) from error

    def node_id(self) -> str:
        """Return this machine's id, the same for ever."""
        found = self._bucket.get(_NODE)
        if not isinstance(found, str):
            found = secrets.token_hex(16)[:25]
            self._bucket.put(_NODE, found)
        return found

    def keep(self, *services: Kept) -> None:
        """Keep services."""
        with self._metadata.transaction():
            for each in services:
                self._bucket.put(_SERVICE + each.id, encode(each))
        self.services.update({each.id: each for each in services})

    def forget(self, *ids: str) -> None:
        """Keep services no more, whose containers are somebody else's."""
        with self._metadata.transaction():
            for each in ids:
                self._bucket.delete(_SERVICE + each)
        for each in ids:
            self.services.pop(each, None)

    def remove(self, *removals: Removal) -> None:
        """Keep services no more, and know that their containers are to go."""
        with self._metadata.transaction():
            for each in removals:
                self._bucket.delete(_SERVICE + each.id)
                self._bucket.put(_REMOVAL + each.id, encode(each))
        for each in removals:
            self.services.pop(each.id, None)
            self.removals[each.id] = each

    def removed(self, id: str) -> None:
        """Know that a removed service's containers are gone."""
        self._bucket.delete(_REMOVAL + id)
        self.removals.pop(id, None)

    def leave(self, application: str, *, volumes: bool) -> None:
        """Know that an application's networks, and perhaps volumes, are to go after its services."""
        self.leaving[application] = volumes or self.leaving.get(application, False)
        self._bucket.put(_LEAVING + application, self.leaving[application])

    def stay(self, application: str) -> None:
        """Know that nothing of an application is to go any more, since it is gone, or is there again."""
        if self.leaving.pop(application, None) is not None:
            self._bucket.delete(_LEAVING + application)

    def store(self, application: str, kind: str, files: Mapping[str, bytes]) -> None:
        """Keep the data of an application's secrets or configs, for root's eyes alone; HostUnfit for a full disk."""
        folder = self._folder / application / kind
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name, data in files.items():
                temporary = folder / f".{name}.new"
                temporary.touch(mode=0o600)
                temporary.write_bytes(data)
                temporary.rename(folder / name)
        except OSError as error:
            text = f"the {kind} of {application} can't be written to {folder}: {error.strerror}"
            raise HostUnfit(text, hint="make room there, and apply it again") from error

    def data(self, application: str, kind: str, name: str) -> bytes:
        """Return that data; NotFound."""
        try:
            return (self._folder / application / kind / name).read_bytes()
        except OSError as error:
            raise NotFound(f"{kind.removesuffix('s')} {name} not found", hint="apply the application again") from error

    def digest(self, application: str, kind: str, name: str) -> str:
        """Return what tells one data from another; empty where there is none."""
        with suppress(NotFound):
            return hashlib.sha256(self.data(application, kind, name)).hexdigest()
        return ""

    def discard(self, application: str) -> None:
        """Remove an application's data."""
        shutil.rmtree(self._folder / application, ignore_errors=True)
