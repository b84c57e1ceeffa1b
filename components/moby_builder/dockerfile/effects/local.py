"""Folders that sessions lend, kept from one build to the next.

A kept folder is known by whose folder it is and by its name. One build at a time has it, and another at the same time
gets another one. Of several that are free, the one is taken that the same part of the folder was kept in.
"""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from attrs import define, frozen

from moby.contracts.ambient import Clock
from moby.contracts.builder import Session
from moby.contracts.metadata import Metadata
from moby.errors import Conflict
from moby.host.locks import locked
from moby.values import asdict
from moby_builder.dockerfile.effects.kept import Index, Reception
from moby_builder.dockerfile.effects.listings import KeptListing
from moby_builder.dockerfile.operations import LocalSource
from moby_builder.dockerfile.solver.effects import Tree, Watch

__all__ = ["KeptFolder", "KeptFolders", "Lent"]

_ONCE = "once-"
"""Before the names of folders that aren't kept."""


@frozen
class KeptFolder:
    """A folder that is kept, as it is written down."""

    key: str
    description: str
    created_ns: int
    used_ns: int
    uses: int
    size_bytes: int
    selection: str = ""
    """Digest of which part of it was kept last."""


@define
class Lent:
    """A folder as it is now, for the time of a build."""

    tree: Tree
    listing: KeptListing


class KeptFolders:
    """Keeps folders below one. Thread-safe, also against other processes."""

    def __init__(self, folder: Path, metadata: Metadata, clock: Clock) -> None:
        self._folder = folder
        self._metadata = metadata
        self._bucket = metadata.bucket("builder/contexts")
        self._clock = clock

    @contextmanager
    def lend(self, source: LocalSource, session: Session, watch: Watch) -> Iterator[Lent]:
        """Bring a folder up to date with what the session lends, and keep others from changing it meanwhile."""
        selection = _digest(asdict(source.selection))
        with self._held(session.key, source.name, selection) as key:
            folder = self._folder / key
            folder.mkdir(mode=0o700, exist_ok=True)
            listing = _receive(folder, source, session, watch)
            known = self._bucket.get(key) or {}
            is_same = (known.get("selection"), known.get("size_bytes")) == (selection, listing.size_bytes)
            if not is_same:
                self._note(key, source.name, selection, listing)
            try:
                yield Lent(Tree(folder=folder / "files"), listing)
            finally:
                if is_same:  # that it was used once more has time until nobody waits for the build
                    self._note(key, source.name, selection, listing)

    def list(self) -> tuple[KeptFolder, ...]:
        """Return all that are kept, sorted by key."""
        return self._listed("")

    def _listed(self, prefix: str) -> tuple[KeptFolder, ...]:
        return tuple(KeptFolder(key, **document) for key, document in self._bucket.items(prefix))

    def in_use(self, key: str) -> bool:
        """Whether a build has it at the moment."""
        with self._lock(key) as free:
            return not free

    def remove(self, key: str) -> None:
        """Remove one; Conflict where a build has it."""
        with self._lock(key) as free:
            if not free:
                raise Conflict(f"the folder {key} is in use", hint="wait for that build's end")
            shutil.rmtree(self._folder / key, ignore_errors=True)
            self._bucket.delete(key)

    def sweep(self) -> None:
        """Remove what killed builds left of folders that aren't to be kept."""
        with suppress(FileNotFoundError):
            for each in os.scandir(self._folder):
                if each.is_dir(follow_symlinks=False) and each.name.startswith(_ONCE):
                    with self._lock(each.name) as free:
                        if free:
                            self._drop(each.name)

    @contextmanager
    def _held(self, session_key: str, name: str, selection: str) -> Iterator[str]:
        """Take a folder that nobody has; yield its key."""
        if not session_key:
            key = _ONCE + secrets.token_hex(12)
            with self._lock(key):
                try:
                    yield key
                finally:
                    self._drop(key)
            return
        base = _digest([session_key, name])[:32]
        known = {each.key: each for each in self._listed(base)}
        order = sorted(known, key=lambda key: (known[key].selection != selection, -known[key].size_bytes, key))
        count = 0
        while True:
            key = order[count] if count < len(order) else f"{base}-{count}"
            count += 1
            with self._lock(key) as free:
                if free:
                    yield key
                    return

    def _lock(self, key: str) -> AbstractContextManager[bool]:
        """Hold a folder's lock, unless somebody has it."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return locked(self._folder / f"{key}.lock", wait=False)

    def _drop(self, key: str) -> None:
        shutil.rmtree(self._folder / key, ignore_errors=True)
        (self._folder / f"{key}.lock").unlink(missing_ok=True)

    def _note(self, key: str, name: str, selection: str, listing: KeptListing) -> None:
        """Write down that a folder is kept and used."""
        if key.startswith(_ONCE):
            return
        now = self._clock.now_ns()
        with self._metadata.transaction():
            known: dict[str, Any] = self._bucket.get(key) or {
                "description": f"local source for {name}", "created_ns": now, "uses": 0,
            }  # fmt: skip
            self._bucket.put(
                key,
                {
                    **known, "used_ns": now, "uses": known["uses"] + 1, "selection": selection,
                    "size_bytes": listing.size_bytes,
                },
            )  # fmt: skip


def _receive(folder: Path, source: LocalSource, session: Session, watch: Watch) -> KeptListing:
    """Bring a kept folder up to date; what came whole stays where it is given up."""
    name = f"transferring {source.name}:"

    def told(received_bytes: int) -> None:
        watch.cancel.check()
        watch.progress(name, received_bytes)

    reception = Reception(Index.of(folder), told)
    try:
        session.folder(source.name, source.selection, reception)
        watch.cancel.check()
        listing = reception.finish()
    except BaseException:
        reception.give_up()
        raise
    watch.progress(name, reception.received_bytes, done=True)
    return listing


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
