"""containerd's service of snapshots, of one snapshotter and namespace."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from moby.contracts.types import Mount
from moby.errors import Conflict, HostUnfit, MobyError, NotFound, Unavailable
from moby.grpc.client import Client, Code, Failed
from moby_snapshotter.containerd import protocol

__all__ = ["Service"]

M = TypeVar("M")
_SERVICE = "snapshots.v1.Snapshots"
_KEPT = {"containerd.io/gc.root": "moby"}
"""What containerd's own collection leaves alone: an engine collects itself."""
_WORDS = {"Mounts": "say what to mount"}
_ERRORS: dict[int, type[MobyError]] = {
    Code.NOT_FOUND: NotFound,
    Code.ALREADY_EXISTS: Conflict,
    Code.FAILED_PRECONDITION: Conflict,
    Code.UNAVAILABLE: Unavailable,
}


class Service:
    """Calls; thread-safe. Unavailable where containerd doesn't answer, HostUnfit in its words for what it can't."""

    def __init__(self, client: Client, snapshotter: str) -> None:
        self._client = client
        self._snapshotter = snapshotter
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            self._client.close()

    def prepare(self, key: str, parent: str) -> tuple[Mount, ...]:
        """Begin one that can be written."""
        request = protocol.Begin(self._snapshotter, key, parent, _KEPT)
        return _mounts(self._ask("Prepare", request, protocol.Mounts))

    def view(self, key: str, parent: str) -> tuple[Mount, ...]:
        """Begin one that can't."""
        request = protocol.Begin(self._snapshotter, key, parent, _KEPT)
        return _mounts(self._ask("View", request, protocol.Mounts))

    def mounts(self, key: str) -> tuple[Mount, ...]:
        """Return what to mount."""
        return _mounts(self._ask("Mounts", protocol.Key(self._snapshotter, key), protocol.Mounts))

    def commit(self, name: str, key: str) -> None:
        """Commit one under a name."""
        self._ask("Commit", protocol.Commit(self._snapshotter, name, key, _KEPT), protocol.Empty)

    def remove(self, key: str) -> None:
        """Remove one; nothing where there is none."""
        with suppress(NotFound):
            self._ask("Remove", protocol.Key(self._snapshotter, key), protocol.Empty)

    def on(self, name: str) -> tuple[str, ...]:
        """Return the keys of all that are on a committed one."""
        wanted = protocol.Wanted(self._snapshotter, [f'parent=="{name}"'])
        with self._told("List"):
            found = tuple(self._client.stream(f"{_SERVICE}/List", [wanted], protocol.Listed))
        return tuple(each.name for part in found for each in part.info)

    def _ask(self, method: str, request: object, kind: type[M]) -> M:
        with self._told(method), self._lock:
            return self._client.ask(f"{_SERVICE}/{method}", request, kind)

    @contextmanager
    def _told(self, method: str) -> Iterator[None]:
        try:
            yield
        except Failed as error:
            known = _ERRORS.get(error.code, HostUnfit)
            text = f"containerd's snapshotter {self._snapshotter} can't {_WORDS.get(method, method.lower())}: {error}"
            raise known(text) from error


def _mounts(found: protocol.Mounts) -> tuple[Mount, ...]:
    return tuple(Mount("/", each.source, each.type, tuple(each.options)) for each in found.mounts)
