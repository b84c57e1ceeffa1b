"""Blobs of layers that went once they were unpacked: what comes to the same bytes is written anew, the rest is told."""

from collections.abc import Collection, Iterator

from moby.contracts.content import Lease
from moby.contracts.types import Digest
from moby.errors import Corrupt, NotFound
from moby.oci.blobs import writing
from moby_images.store.catalog import Record, chain_ids
from moby_images.store.layers import Layer
from moby_images.store.parts import Shared
from moby_images.store.storing import new_ref

__all__ = ["lacking", "missing"]


def missing(shared: Shared, record: Record, lease: Lease) -> set[Digest]:
    """Have a lease hold an image's blobs, and return those that aren't here and can't be written anew either."""
    gone = {each for each in record.blobs() if not lease.hold(each)}
    if gone:
        with shared.storing():  # which keeps the snapshots
            gone -= set(_rewritten(shared, record, gone, lease))
    return gone


def _rewritten(shared: Shared, record: Record, gone: Collection[Digest], lease: Lease) -> Iterator[Digest]:
    """Write layers anew that were stored uncompressed; yield those of which that gave the same bytes."""
    diff_ids = shared.catalog.config(record).diff_ids
    for blob, diff_id, chain in zip(record.layers, diff_ids, chain_ids(diff_ids), strict=True):
        layer = Layer(blob, diff_id)
        if blob.digest in gone and blob.digest == diff_id and shared.layers.has(str(chain)):
            try:
                _rewrite(shared, layer, str(chain), lease)
            except Corrupt:
                continue  # whoever wrote it wrote it in another way
            yield blob.digest


def _rewrite(shared: Shared, layer: Layer, chain: str, lease: Lease) -> None:
    content, snapshotter = shared.parts.content, shared.parts.snapshotter
    with writing(content, new_ref(), lease, algorithm=layer.diff_id.algorithm) as writer:
        for chunk in snapshotter.diff(chain):
            writer.write(chunk)
        writer.commit(layer.diff_id, size_bytes=layer.blob.size_bytes)


def lacking(shared: Shared, image: Digest, blob: Digest) -> NotFound:
    """Return the error of who needs a blob that isn't here."""
    if shared.parts.drop_blobs:
        return NotFound(
            f"image {image} lacks its blob {blob}, which this engine dropped once it was unpacked (drop_blobs of"
            " images/store): set that to false, and pull or load the image again"
        )
    return NotFound(f"image {image} lacks its blob {blob}: pull or load it again")
