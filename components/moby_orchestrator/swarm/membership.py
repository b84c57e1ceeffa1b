"""What this machine itself knows of its cluster: which node it is, and the key of what the cluster's store has."""

import base64
import json
import os
from pathlib import Path

from moby.errors import Conflict, Corrupt, Denied, Unavailable
from moby.values import frozen
from moby_orchestrator.swarm.sealing import opened, sealed

__all__ = ["LOCKED", "NO_MANAGER", "Membership"]

NO_MANAGER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again."
)
LOCKED = (
    'Swarm is encrypted and needs to be unlocked before it can be used. Please use "docker swarm unlock" to unlock it.'
)
_FORMAT = 1


@frozen
class _Known:
    node_id: str
    key: bytes
    """Empty while it is locked."""
    wrapped: bytes = b""
    """The key, sealed with the one that unlocks it; empty where it lies open."""


class Membership:
    """A file that only the engine's user reads. Its callers order their calls."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "node.json"
        self._known = self._read()

    def _read(self) -> _Known | None:
        try:
            data = json.loads(self._file.read_bytes())
            key, wrapped = (base64.b64decode(data[name]) for name in ("key", "wrapped"))
            return _Known(data["node"], key, wrapped)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            hint = "leave the cluster with --force, or put the file back from a copy"
            raise Corrupt(f"{self._file} can't be read: {error}", hint=hint) from error

    @property
    def node_id(self) -> str:
        """This machine's id as a node; empty where it is part of no cluster."""
        return self._known.node_id if self._known else ""

    @property
    def locked(self) -> bool:
        """Whether the store's key is still sealed."""
        return self._known is not None and not self._known.key

    def key(self) -> bytes:
        """Return the store's key; Unavailable, in docker's words, where there is none here, or it is locked."""
        if self._known is None:
            raise Unavailable(NO_MANAGER)
        if not self._known.key:
            raise Unavailable(LOCKED)
        return self._known.key

    def begin(self, node_id: str, key: bytes, lock: bytes = b"") -> None:
        """Be this node from now on; with a lock the key is in the file only as that one seals it."""
        wrapped = sealed(lock, key) if lock else b""
        self._write({"node": node_id, "key": _text(b"" if lock else key), "wrapped": _text(wrapped)})
        self._known = _Known(node_id, key, wrapped)

    def lock(self, lock: bytes) -> None:
        """Have the key be in the file only as a lock seals it, or openly where that is empty."""
        if self._known is not None and not self._lies_as(lock):
            self.begin(self._known.node_id, self.key(), lock)

    def _lies_as(self, lock: bytes) -> bool:
        wrapped = self._known.wrapped if self._known else b""
        if not lock or not wrapped:
            return bool(lock) == bool(wrapped)
        try:
            opened(lock, wrapped)
        except Denied:
            return False
        return True

    def unlock(self, lock: bytes) -> None:
        """Have the store's key; Denied for another lock, Conflict where nothing is locked."""
        if self._known is None or self._known.key:
            raise Conflict("swarm is not locked")
        self._known = _Known(self._known.node_id, opened(lock, self._known.wrapped), self._known.wrapped)

    def end(self) -> None:
        """Be no node any more; repeating does nothing."""
        self._file.unlink(missing_ok=True)
        self._known = None

    def _write(self, data: dict[str, object]) -> None:
        new = self._file.with_suffix(".new")
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump({"format": _FORMAT, **data}, file)
            file.flush()
            os.fsync(fd)
        new.replace(self._file)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
