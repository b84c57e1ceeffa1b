"""Cache mounts (`RUN --mount=type=cache`): folders that outlive a step, as snapshots that stay active.

Which one a step gets is told by its id and by what it begins with. `locked` waits until nobody else has it, `private`
takes another one then, `shared` doesn't mind.
"""

import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from attrs import frozen

from moby.contracts.ambient import Clock
from moby.contracts.metadata import Metadata
from moby.contracts.snapshotter import Snapshotter
from moby.errors import Conflict, NotFound
from moby_builder.dockerfile.effects.workspace import PREFIX, Workspace
from moby_builder.dockerfile.solver.effects import Cancel, Tree

__all__ = ["CacheMount", "CacheMounts"]

_KEYS = f"{PREFIX}cache/"
_PAUSE_S = 0.05


@frozen
class CacheMount:
    """A cache mount that is kept."""

    key: str
    """Of its snapshot."""
    id: str
    """By which Dockerfiles ask for it."""
    description: str
    created_ns: int
    used_ns: int
    uses: int
    parent: str = ""
    """Key of the snapshot that it began with."""


class CacheMounts:
    """Lends cache mounts to steps. Thread-safe, also against other processes on the same folders."""

    def __init__(
        self, snapshotter: Snapshotter, workspace: Workspace, metadata: Metadata, locks: Path, clock: Clock
    ) -> None:
        self._snapshotter = snapshotter
        self._workspace = workspace
        self._bucket = metadata.bucket("builder/cache-mounts")
        self._metadata = metadata
        self._locks = locks
        self._clock = clock
        self._lock = threading.Lock()
        self._mounted: dict[str, tuple[ExitStack, Path, int]] = {}
        self._sizes: dict[str, tuple[Any, int]] = {}

    @contextmanager
    def lend(self, mount_id: str, sharing: str, begin: Tree, description: str, cancel: Cancel) -> Iterator[Path]:
        """Lend the folder of an id, which is made of another tree where it isn't there yet."""
        base = _key_of(mount_id, begin.snapshot)
        with self._held(base, sharing, cancel) as key:
            self._note(key, mount_id, begin.snapshot, description)
            path = self._enter(key)
            try:
                yield path
            finally:
                self._leave(key)

    def list(self) -> tuple[CacheMount, ...]:
        """Return all that are kept, sorted by key."""
        return tuple(CacheMount(key, **document) for key, document in self._bucket.items())

    def in_use(self, key: str) -> bool:
        """Whether a step has it at the moment."""
        with ExitStack() as stack:
            return not self._try(stack, key, fcntl.LOCK_EX)

    @contextmanager
    def read(self, mount_id: str) -> Iterator[CacheMount | None]:
        """Lend one that began empty, while nobody has it alone; None where it isn't there, or somebody has."""
        key = _key_of(mount_id, "")
        with ExitStack() as stack:
            document = self._bucket.get(key)
            got = document is not None and self._try(stack, key, fcntl.LOCK_SH)
            yield CacheMount(key, **document) if got else None

    def has(self, mount_id: str) -> bool:
        """Whether there is one of this id that began empty."""
        return self._bucket.get(_key_of(mount_id, "")) is not None

    def bring(self, mount_id: str, description: str, layer: BinaryIO) -> bool:
        """Make one of a layer, where none of this id is there yet; whether it was made."""
        key = _key_of(mount_id, "")
        with ExitStack() as stack:
            if not self._try(stack, key, fcntl.LOCK_EX):
                return False
            if self._bucket.get(key) is not None:
                return False
            with suppress(NotFound):
                self._snapshotter.remove(key)
            self._snapshotter.prepare(key)
            try:
                self._snapshotter.apply(key, layer)
            except BaseException:
                self._snapshotter.remove(key)
                raise
            self._record(key, mount_id, "", description)
        return True

    def size_bytes(self, key: str) -> int:
        """Return what it takes, which is walked where it was used since the last time; 0 where it has gone."""
        document = self._bucket.get(key)
        known = self._sizes.get(key)
        if known is not None and known[0] == document:
            return known[1]
        idle = not self.in_use(key)  # who begins now writes it down first, so that the next look is at another document
        with suppress(NotFound):
            size = self._snapshotter.usage(key).size_bytes
            if idle and document is not None:
                self._sizes[key] = document, size
            return size
        return 0

    def remove(self, key: str) -> None:
        """Remove one; Conflict where a step has it."""
        with ExitStack() as stack:
            if not self._try(stack, key, fcntl.LOCK_EX):
                raise Conflict(f"the cache mount {key.removeprefix(_KEYS)} is in use", hint="wait for that build's end")
            with suppress(NotFound):
                self._snapshotter.remove(key)
            self._bucket.delete(key)
            self._sizes.pop(key, None)

    # Who has which

    @contextmanager
    def _held(self, base: str, sharing: str, cancel: Cancel) -> Iterator[str]:
        """Take a cache mount as its sharing mode has it; yield its key."""
        with ExitStack() as stack:
            key, number = base, 0
            while not self._try(stack, key, fcntl.LOCK_SH if sharing == "shared" else fcntl.LOCK_EX):
                cancel.check()
                if sharing == "private":
                    number += 1
                    key = f"{base}/{number}"
                else:
                    time.sleep(_PAUSE_S)
            yield key

    def _try(self, stack: ExitStack, key: str, how: int) -> bool:
        self._locks.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._locks / key.removeprefix(_KEYS).replace("/", "-")
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, how | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        stack.callback(os.close, fd)
        return True

    def _note(self, key: str, mount_id: str, parent: str, description: str) -> None:
        """See to it that it is there, and write down that it is used."""
        with self._lock:
            if self._bucket.get(key) is None:
                with suppress(NotFound):
                    self._snapshotter.remove(key)  # a killed process was filling it
            try:
                self._snapshotter.stat(key)
            except NotFound:
                self._snapshotter.prepare(key, parent)
                self._bucket.delete(key)
            self._record(key, mount_id, parent, description)

    def _record(self, key: str, mount_id: str, parent: str, description: str) -> None:
        now = self._clock.now_ns()
        with self._metadata.transaction():
            known: dict[str, Any] = self._bucket.get(key) or {
                "id": mount_id, "description": description, "created_ns": now, "uses": 0, "parent": parent,
            }  # fmt: skip
            self._bucket.put(key, {**known, "used_ns": now, "uses": known["uses"] + 1})

    def _enter(self, key: str) -> Path:
        """Mount it, once however many have it."""
        with self._lock:
            if key in self._mounted:
                stack, path, count = self._mounted[key]
            else:
                stack, count = ExitStack(), 0
                path = stack.enter_context(self._workspace.mounted(self._snapshotter.mounts(key)))
            self._mounted[key] = stack, path, count + 1
            return path

    def _leave(self, key: str) -> None:
        with self._lock:
            stack, path, count = self._mounted.pop(key)
            if count > 1:
                self._mounted[key] = stack, path, count - 1
                return
        stack.close()


def _key_of(mount_id: str, begin: str) -> str:
    return _KEYS + hashlib.sha256(f"{mount_id}\0{begin}".encode()).hexdigest()[:32]
