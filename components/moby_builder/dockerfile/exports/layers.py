"""Layers on their way out: as they are stored, or compressed, or with other times; each such blob is made once."""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from os import cpu_count
from typing import BinaryIO

from attrs import frozen

from moby.contracts.content import Blob, Content, Lease
from moby.contracts.images import Images, StoredLayer
from moby.contracts.metadata import Bucket
from moby.contracts.snapshotter import Snapshotter
from moby.contracts.types import Digest
from moby.oci import blobs, compression, layer
from moby.oci import digest as digests
from moby.oci import image as formats
from moby.oci.digest import CHUNK_BYTES, Verified
from moby.values import evolve
from moby_builder.dockerfile.exports.compressing import compressed, method_of
from moby_builder.dockerfile.exports.options import Compression, Options
from moby_builder.dockerfile.exports.times import Times
from moby_builder.dockerfile.solver.effects import Cancel

__all__ = ["LayerBlob", "Layers", "chunks", "written"]

_DOCKER = "application/vnd.docker.image.rootfs.diff.tar"
_TYPES = {
    (Compression.UNCOMPRESSED, True): formats.LAYER, (Compression.GZIP, True): formats.LAYER_GZIP,
    (Compression.ZSTD, True): formats.LAYER_ZSTD, (Compression.UNCOMPRESSED, False): _DOCKER,
    (Compression.GZIP, False): f"{_DOCKER}.gzip", (Compression.ZSTD, False): f"{_DOCKER}.zstd",
}  # fmt: skip
_AT_ONCE = 4
_MOST_NOTED = 4096
"""Then what has gone is forgotten."""


@frozen
class LayerBlob:
    """A layer as it goes out."""

    diff_id: Digest
    digest: Digest
    size_bytes: int
    media_type: str
    created_ns: int = 0
    own: bool = True
    """Whether the build made it; of the image that it is built on, it isn't."""


class Layers:
    """Makes blobs of snapshots."""

    def __init__(self, images: Images, content: Content, snapshotter: Snapshotter, times: Times, made: Bucket) -> None:
        self._images = images
        self._content = content
        self._snapshotter = snapshotter
        self._times = times
        self._made = made
        """By diff id and way, which blob a layer came to."""

    def blobs(self, snapshot: str, base: str, options: Options, lease: Lease, cancel: Cancel) -> tuple[LayerBlob, ...]:
        """Return the layers of a snapshot, lowest first, with blobs that the lease keeps, as options want them."""
        stored = self._images.layers(snapshot, lease)
        created_ns = self.created_ns(snapshot)
        below = self._below(self.keys(snapshot), base)

        def make(number: int) -> LayerBlob:
            cancel.check()
            return self._blob(stored[number], created_ns[number], number >= below, options, lease, cancel)

        with ThreadPoolExecutor(min(_AT_ONCE, cpu_count() or 1), "layers") as pool:
            return tuple(pool.map(make, range(len(stored))))

    def keys(self, snapshot: str) -> list[str]:
        """Return the keys of a snapshot and of those below, the lowest first."""
        return [key for key, _ in self._times.chain(snapshot)]

    def names(self, key: str) -> tuple[str, ...]:
        """Return all keys of a snapshot."""
        return (key, *self._snapshotter.stat(key).aliases)

    def created_ns(self, snapshot: str) -> list[int]:
        """Return when each layer of a snapshot was made, the lowest first."""
        return [made_ns for _, made_ns in self._times.chain(snapshot)]

    def open(self, blob: LayerBlob | StoredLayer) -> BinaryIO:
        """Open a layer's blob, which is proven at its end."""
        return self._content.open(blob.digest, size_bytes=blob.size_bytes)

    def _below(self, keys: Sequence[str], base: str) -> int:
        """Return how many of the snapshots are of the image that it is built on."""
        if not base:
            return 0
        same = self.names(base)
        return next((number for number, key in enumerate(keys, 1) if key in same), 0)

    def _blob(
        self, stored: StoredLayer, created_ns: int, own: bool, options: Options, lease: Lease, cancel: Cancel
    ) -> LayerBlob:
        wanted = options.compression
        if own and options.rewrite and options.epoch_s is not None:
            stored = self._rewritten(stored, options.epoch_s, lease, cancel)
        kind = _kind(stored.media_type)
        plain = stored.digest == stored.diff_id
        if kind is not wanted and (options.force or plain):
            stored, kind = self._converted(stored, wanted, options.level, lease, cancel), wanted
        return LayerBlob(stored.diff_id, stored.digest, stored.size_bytes, _TYPES[kind, options.oci], created_ns, own)

    def _converted(
        self, stored: StoredLayer, kind: Compression, level: int | None, lease: Lease, cancel: Cancel
    ) -> StoredLayer:
        """Compress a layer in another way."""
        key = f"{stored.diff_id}/{method_of(kind, level)}"
        if (known := self._known(key, lease)) is not None:
            return known
        with self._open_plain(stored) as source:
            blob = written(self._content, lease, compressed(_read(source, cancel), kind, level))
        return self._note(key, StoredLayer(stored.diff_id, blob.digest, blob.size_bytes, _TYPES[kind, True]))

    def _rewritten(self, stored: StoredLayer, epoch_s: int, lease: Lease, cancel: Cancel) -> StoredLayer:
        """Give all that is newer than the epoch in a layer the epoch's time."""
        key = f"{stored.diff_id}/epoch-{epoch_s}"
        if (known := self._known(key, lease)) is not None:
            return known
        latest = epoch_s * 1_000_000_000

        def entries(source: BinaryIO) -> Iterator[tuple[layer.LayerEntry, Iterable[bytes | memoryview]]]:
            for entry, content in layer.read(source):
                yield evolve(entry, mtime_ns=min(entry.mtime_ns, latest)), content

        with self._open_plain(stored) as source, layer.write(entries(source)) as reader:
            blob = written(self._content, lease, _read(reader, cancel))
        return self._note(key, StoredLayer(blob.digest, blob.digest, blob.size_bytes, formats.LAYER))

    @contextmanager
    def _open_plain(self, stored: StoredLayer) -> Iterator[BinaryIO]:
        """Lend what a layer holds, which is proven at its end."""
        with self.open(stored) as blob:
            if stored.digest == stored.diff_id:
                yield blob
                return
            with Verified(compression.plain(blob), stored.diff_id, what=f"layer {stored.diff_id}") as plain:
                yield plain  # type: ignore[misc]

    def _known(self, key: str, lease: Lease) -> StoredLayer | None:
        found = self._made.get(key)
        if found is None or not lease.hold(digests.parse(found["digest"])):
            return None
        diff_id, digest = digests.parse(found["diff_id"]), digests.parse(found["digest"])
        return StoredLayer(diff_id, digest, found["size_bytes"], found["media_type"])

    def _note(self, key: str, made: StoredLayer) -> StoredLayer:
        if self._made.count() >= _MOST_NOTED:
            here = {str(each.digest) for each in self._content.list()}
            for other, document in self._made.items():
                if document["digest"] not in here:
                    self._made.delete(other)
        self._made.put(key, {
            "diff_id": str(made.diff_id), "digest": str(made.digest), "size_bytes": made.size_bytes,
            "media_type": made.media_type,
        })  # fmt: skip
        return made


def written(content: Content, lease: Lease, chunks: Iterable[bytes]) -> Blob:
    """Write a blob down under a name of its own, which the lease keeps."""
    return blobs.written(content, f"builder-{secrets.token_hex(8)}", lease, chunks)


def chunks(source: BinaryIO) -> Iterator[bytes]:
    """Yield what a source holds."""
    while chunk := source.read(CHUNK_BYTES):
        yield chunk


def _kind(media_type: str) -> Compression:
    if media_type.endswith(("+gzip", ".gzip")):
        return Compression.GZIP
    return Compression.ZSTD if media_type.endswith(("+zstd", ".zstd")) else Compression.UNCOMPRESSED


def _read(source: BinaryIO, cancel: Cancel) -> Iterator[bytes]:
    while chunk := source.read(CHUNK_BYTES):
        cancel.check()
        yield chunk
