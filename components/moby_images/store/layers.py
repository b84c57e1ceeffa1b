"""Layers: blobs turned into committed snapshots by chain id, once each, whoever asks at the same time."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

from moby.contracts.content import Content
from moby.contracts.snapshotter import SnapshotKind, Snapshotter
from moby.contracts.types import Digest
from moby.errors import Conflict, NotFound
from moby.host.locks import locked
from moby.oci import compression
from moby.oci.digest import CHUNK_BYTES, Verified
from moby.values import frozen
from moby_images.store.catalog import chain_ids
from moby_images.store.stacking import EXTRACT, Layer, Stacking

__all__ = ["EXTRACT", "Layer", "Layers"]


class Layers:
    """Snapshots of layers; `run` is where their locks are."""

    def __init__(self, content: Content, snapshotter: Snapshotter, run: Path) -> None:
        self._content = content
        self._snapshotter = snapshotter
        self._locks = run / "layers"

    def ensure(
        self,
        layers: Sequence[Layer],
        begin: Callable[[Layer], None] = lambda layer: None,
        told: Callable[[Layer, int], None] | None = None,
    ) -> Iterator[Layer]:
        """Unpack layers that aren't yet, several at a time; yield each, lowest first, once its snapshot is there.

        `begin` is called before each one's blob is needed, `told` of how much of it was read, both in any thread.
        Corrupt for a wrong digest, Invalid for a hostile layer; both name it.
        """
        chains = [str(each) for each in chain_ids(each.diff_id for each in layers)]
        yield from Stacking(_Shelves(self, told), self._snapshotter, begin).work(layers, chains)

    def has(self, chain: str) -> bool:
        """Whether a chain's snapshot is there."""
        with suppress(NotFound):
            return self._snapshotter.stat(chain).kind is SnapshotKind.COMMITTED
        return False

    def size_bytes(self, diff_ids: Sequence[Digest]) -> int:
        """Return what layers unpack to, together."""
        return sum(self.sizes(diff_ids))

    def sizes(self, diff_ids: Sequence[Digest]) -> list[int]:
        """Return what each layer unpacks to."""
        return [self._snapshotter.usage(str(chain)).size_bytes for chain in chain_ids(diff_ids)]

    def open(self, layer: Layer, told: Callable[[Layer, int], None] | None = None) -> BinaryIO:
        """Open a layer's uncompressed tar; both the blob and what it holds are verified at their ends."""
        blob = self._content.open(layer.blob.digest, size_bytes=layer.blob.size_bytes)
        if told is not None:
            blob = _Told(blob, lambda done: told(layer, done))  # type: ignore[assignment]
        if layer.blob.digest == layer.diff_id:
            return blob
        try:
            return _Opened(compression.plain(blob), blob, layer.diff_id)  # type: ignore[return-value]
        except BaseException:
            blob.close()
            raise

    def drop(self, key: str) -> None:
        """Remove a snapshot; none there is fine. Conflict where something is on it."""
        with suppress(NotFound):
            self._snapshotter.remove(key)

    def drop_half(self, key: str) -> None:
        """Remove what was only half unpacked, with what is on it; the caller has the lock of the chain."""
        try:
            self.drop(key)
        except Conflict:
            for each in self._snapshotter.list():
                if each.parent == key:
                    self.drop_half(each.key)
            self.drop(key)

    def sweep(self) -> None:
        """Remove what killed processes left half unpacked."""
        for each in self._snapshotter.list():
            if each.key.startswith(EXTRACT):
                with self.lock(each.key.removeprefix(EXTRACT), wait=False) as got:
                    if got:
                        self.drop_half(each.key)

    def lock(self, chain: str, *, wait: bool = True) -> AbstractContextManager[bool]:
        """Hold the lock of what is made into a snapshot of this name."""
        self._locks.mkdir(mode=0o700, parents=True, exist_ok=True)
        return locked(self._locks / chain.replace(":", "-").replace("/", "-"), wait=wait)


@frozen
class _Shelves:
    """What unpacking asks, for a caller who is told how much of a layer was read."""

    layers: Layers
    told: Callable[[Layer, int], None] | None

    def has(self, chain: str) -> bool:
        return self.layers.has(chain)

    def drop(self, key: str) -> None:
        self.layers.drop_half(key)

    def hold(self, chain: str, held: ExitStack) -> None:
        held.enter_context(self.layers.lock(chain))

    def open(self, layer: Layer) -> BinaryIO:
        return self.layers.open(layer, self.told)


class _Opened(Verified):
    """What a compressed blob holds, verified; its end is also the blob's, which is verified too."""

    def __init__(self, plain: BinaryIO, blob: BinaryIO, diff_id: Digest) -> None:
        super().__init__(plain, diff_id, what=f"layer {diff_id}")
        self._blob = blob

    def read(self, size: int = -1) -> bytes:
        data = super().read(size)
        if not data:
            while self._blob.read(CHUNK_BYTES):
                pass
        return data

    def close(self) -> None:
        super().close()
        self._blob.close()


class _Told(io.RawIOBase):
    """A reader that tells how far it has come, now and then."""

    def __init__(self, source: BinaryIO, told: Callable[[int], None]) -> None:
        super().__init__()
        self._source = source
        self._told = told
        self._done = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self._done += len(data)
        self._told(self._done)
        return data

    def close(self) -> None:
        self._source.close()
        super().close()
