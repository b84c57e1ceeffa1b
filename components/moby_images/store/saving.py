"""Archives of images as they are written: an OCI layout, with Docker's manifest.json and repositories beside it."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from moby.contracts.content import Content
from moby.contracts.types import Digest, ImageReference
from moby.oci import image as formats
from moby.oci import layer
from moby.oci import reference as references
from moby.oci.digest import CHUNK_BYTES
from moby.oci.image import Descriptor, Index
from moby.oci.layer import EntryType, LayerEntry
from moby.values import evolve, frozen
from moby_images.store.catalog import Record
from moby_images.store.dropping import lacking, missing
from moby_images.store.parts import Shared

__all__ = ["Saved", "archive"]

_NAME = "io.containerd.image.name"
_TAG = "org.opencontainers.image.ref.name"
_VERSION = b'{"imageLayoutVersion":"1.0.0"}'


@frozen
class Saved:
    """An image to be saved, and the names that go with it."""

    record: Record
    names: tuple[ImageReference, ...] = ()


def archive(shared: Shared, images: Sequence[Saved]) -> Iterator[bytes]:
    """Yield the archive, whose blobs are as they are stored, each proven while it is read."""
    content = shared.parts.content
    with content.lease() as lease:
        for each in images:
            if gone := missing(shared, each.record, lease):
                raise lacking(shared, each.record.id, min(gone))
        sizes = {digest: content.info(digest).size_bytes for each in images for digest in each.record.blobs()}
        with layer.write(_entries(content, images, sizes)) as reader:
            while chunk := reader.read(CHUNK_BYTES):
                yield chunk


def _entries(
    content: Content, images: Sequence[Saved], sizes: dict[Digest, int]
) -> Iterator[tuple[LayerEntry, Iterable[bytes]]]:
    folders = sorted({"blobs"} | {f"blobs/{each.algorithm}" for each in sizes})
    for path in folders:
        yield LayerEntry(path, EntryType.DIRECTORY, 0o755), ()
    for digest in sorted(sizes):
        path = f"blobs/{digest.algorithm}/{digest.hex}"
        yield LayerEntry(path, size_bytes=sizes[digest]), _chunks(content, digest, sizes[digest])
    documents = {
        "index.json": formats.dump_index(Index(tuple(_described(images)))),
        "manifest.json": _bytes([_item(each) for each in images]),
        "oci-layout": _VERSION,
        "repositories": _bytes(_repositories(images)),
    }
    for path, data in documents.items():
        yield LayerEntry(path, size_bytes=len(data)), [data]


def _chunks(content: Content, digest: Digest, size_bytes: int) -> Iterator[bytes]:
    with content.open(digest, size_bytes=size_bytes) as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _described(images: Iterable[Saved]) -> Iterator[Descriptor]:
    for each in images:
        for name in each.names:
            yield evolve(each.record.manifest, annotations={_NAME: str(name), _TAG: name.tag})
        if not each.names:
            yield each.record.manifest


def _item(image: Saved) -> dict[str, Any]:
    return {
        "Config": _path(image.record.id),
        "RepoTags": [references.familiar(each) for each in image.names] or None,
        "Layers": [_path(each.digest) for each in image.record.layers],
    }


def _path(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"


def _repositories(images: Iterable[Saved]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for each in images:
        top = each.record.layers[-1].digest.hex if each.record.layers else each.record.id.hex
        for name in each.names:
            found.setdefault(references.familiar_name(name), {})[name.tag] = top
    return found


def _bytes(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
