"""Layers on each other: several are unpacked at a time, and each is committed after the one that it is on."""

import io
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO, Protocol

from attrs import define, field, frozen

from moby.contracts.snapshotter import Snapshotter
from moby.contracts.types import Digest
from moby.errors import Corrupt, Invalid
from moby.oci.compression import ReadAhead
from moby.oci.digest import CHUNK_BYTES
from moby.oci.image import Descriptor

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["EXTRACT", "Layer", "Shelves", "Stacking"]

EXTRACT = "extract/"
"""Before the chain id, the key of a snapshot that is being unpacked."""
_AT_ONCE = min(os.cpu_count() or 1, 3) + 1
_MOST_CHUNKS = 1024


@frozen
class Layer:
    """A blob, and what it must hold."""

    blob: Descriptor
    diff_id: Digest


class Shelves(Protocol):
    """What is known of layers and their snapshots."""

    def has(self, chain: str) -> bool:
        """Whether a chain's snapshot is there."""
        ...

    def drop(self, key: str) -> None:
        """Remove what was half unpacked, by a killed process too; nothing there is fine."""
        ...

    def hold(self, chain: str, held: ExitStack) -> None:
        """Take the lock of what is made into a snapshot of this name."""
        ...

    def open(self, layer: Layer) -> BinaryIO:
        """Open a layer's uncompressed tar, which is verified at its end."""
        ...


class _Behind(Exception):
    """The layer below failed, which says why."""


@define(eq=False)
class _Step:
    """A layer on its way."""

    layer: Layer
    chain: str
    below: "_Step | None"
    key: str = ""
    """Of its snapshot, which changes when that is committed."""
    change: threading.Lock = field(factory=threading.Lock)
    held: ExitStack = field(factory=ExitStack)
    ended: threading.Event = field(factory=threading.Event)
    future: "Future[None] | None" = None
    """None where it was there."""

    def is_committed(self) -> bool:
        return self.key == self.chain


class Stacking:
    """Unpacks layers; `begin` is called before each one's blob is needed, in any thread."""

    def __init__(self, shelves: Shelves, snapshotter: Snapshotter, begin: Callable[[Layer], None]) -> None:
        self._shelves = shelves
        self._snapshotter = snapshotter
        self._begin = begin
        self._most = _AT_ONCE if snapshotter.ahead else 1

    def work(self, layers: Sequence[Layer], chains: Sequence[str]) -> Iterator[Layer]:
        """Yield layers, lowest first, each once its snapshot is there; what failed leaves nothing."""
        from concurrent.futures import ThreadPoolExecutor  # with logging, which a start needn't wait for

        under_way: deque[_Step] = deque()
        step: _Step | None = None
        inflated = any(layer.blob.digest != layer.diff_id for layer in layers)
        most = self._most if inflated else max(min(self._most, 2), self._most - 1)  # no file is waited for
        with ThreadPoolExecutor(most, thread_name_prefix="layer") as pool:
            try:
                for layer, chain in zip(layers, chains, strict=True):
                    if len(under_way) == most:
                        yield self._finished(under_way)
                    step = _Step(layer, chain, step)
                    under_way.append(step)
                    self._start(step, pool)
                while under_way:
                    yield self._finished(under_way)
            finally:
                self._give_up(under_way)

    def _finished(self, under_way: deque[_Step]) -> Layer:
        step = under_way[0]
        if step.future is None:
            self._begin(step.layer)
        else:
            step.future.result()
        under_way.popleft()
        step.below = None
        return step.layer

    def _give_up(self, under_way: deque[_Step]) -> None:
        """Remove what didn't come to its end, the topmost first, which is on the others."""
        for step in reversed(under_way):
            with step.held:
                if step.future is not None and not step.future.cancel():
                    step.future.exception()
                step.ended.set()
                if step.key and not step.is_committed():
                    self._shelves.drop(step.key)

    def _start(self, step: _Step, pool: "ThreadPoolExecutor") -> None:
        if self._shelves.has(step.chain):
            self._is_there(step)
            return
        self._shelves.hold(step.chain, step.held)
        if self._shelves.has(step.chain):
            self._is_there(step)
            return
        key = EXTRACT + step.chain
        self._shelves.drop(key)  # a killed process's
        if step.below is None:
            self._snapshotter.prepare(key)
        else:
            with step.below.change:
                self._snapshotter.prepare(key, step.below.key)
        step.key = key
        step.future = pool.submit(self._unpack, step)

    def _is_there(self, step: _Step) -> None:
        step.key = step.chain
        step.ended.set()
        step.held.close()

    def _unpack(self, step: _Step) -> None:
        below = step.below  # which whoever waits for this one forgets
        try:
            self._begin(step.layer)
            with _ahead(self._shelves.open(step.layer)) as reader:
                self._apply(step, reader, lambda: _wait(below))
            _wait(below)
            with step.change:
                self._snapshotter.commit(step.chain, step.key)
                step.key = step.chain
            step.held.close()
        except (Corrupt, Invalid) as error:
            told = f"layer {step.layer.blob.digest}: {error.message}"
            raise type(error)(told, hint=error.hint) from error
        finally:
            step.ended.set()

    def _apply(self, step: _Step, layer: BinaryIO, below: Callable[[], None]) -> None:
        """Unpack a layer; one that is no tar for being damaged is said to be damaged."""
        try:
            self._snapshotter.apply(step.key, layer, below)
        except Invalid:
            for _ in range(_MOST_CHUNKS):  # to its end, where it is verified, unless that never comes
                if not layer.read(CHUNK_BYTES):
                    break
            raise


def _ahead(layer: BinaryIO) -> BinaryIO:
    """Read a layer ahead; but a plain file, which takes no work to read, is best left to whoever unpacks it."""
    return layer if isinstance(layer, io.FileIO) else ReadAhead(layer)  # type: ignore[return-value]


def _wait(below: _Step | None) -> None:
    if below is not None:
        below.ended.wait()
        if not below.is_committed():
            raise _Behind
