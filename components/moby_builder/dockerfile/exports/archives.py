"""Archives of packed images: OCI layouts, and with Docker's manifest.json beside them what `docker load` reads."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from moby.contracts.types import Digest, ImageReference
from moby.oci import image as formats
from moby.oci import layer
from moby.oci import reference as references
from moby.oci.digest import CHUNK_BYTES
from moby.oci.image import Descriptor, Index
from moby.oci.layer import EntryType, LayerEntry
from moby.values import evolve
from moby_builder.dockerfile.exports.layers import LayerBlob
from moby_builder.dockerfile.exports.packed import Packed

__all__ = ["archive"]

_NAME = "io.containerd.image.name"
_TAG = "org.opencontainers.image.ref.name"
_CREATED = "org.opencontainers.image.created"
_VERSION = b'{"imageLayoutVersion":"1.0.0"}'

Open = Callable[[LayerBlob], BinaryIO]


def archive(
    packed: Packed,
    names: Sequence[ImageReference],
    open_layer: Open,
    *,
    docker: bool = False,
    created: str = "",
    annotations: Mapping[str, str] | None = None,
    time_ns: int = 0,
) -> BinaryIO:
    """Return a reader of the archive; the same images give the same bytes."""
    found = _entries(packed, open_layer)
    top = _described(packed.descriptor, names, created, annotations or {})
    documents = {"index.json": formats.dump_index(Index(tuple(top))), "oci-layout": _VERSION}
    if docker:
        documents["manifest.json"] = _json([_item(packed, names)])
    return layer.write(_timed(_archived(found, documents), time_ns))


def _archived(
    blobs: Iterator[tuple[LayerEntry, Iterable[bytes]]], documents: Mapping[str, bytes]
) -> Iterator[tuple[LayerEntry, Iterable[bytes]]]:
    for path in ("blobs", "blobs/sha256"):
        yield LayerEntry(path, EntryType.DIRECTORY, 0o755), ()
    yield from blobs
    for path in sorted(documents):
        yield LayerEntry(path, size_bytes=len(documents[path])), [documents[path]]


def _timed(
    entries: Iterator[tuple[LayerEntry, Iterable[bytes]]], time_ns: int
) -> Iterator[tuple[LayerEntry, Iterable[bytes]]]:
    for entry, content in entries:
        yield evolve(entry, mtime_ns=time_ns), content


def _entries(packed: Packed, open_layer: Open) -> Iterator[tuple[LayerEntry, Iterable[bytes]]]:
    documents = {each.descriptor.digest: each for each in packed.documents()}
    layers = {each.digest: each for each in packed.layers()}
    for digest in sorted({*documents, *layers}):
        if digest in documents:
            data = documents[digest].data
            yield LayerEntry(_path(digest), size_bytes=len(data)), [data]
        else:
            blob = layers[digest]
            yield LayerEntry(_path(digest), size_bytes=blob.size_bytes), _chunks(blob, open_layer)


def _chunks(blob: LayerBlob, open_layer: Open) -> Iterator[bytes]:
    with open_layer(blob) as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _described(
    top: Descriptor, names: Sequence[ImageReference], created: str, annotations: Mapping[str, str]
) -> Iterator[Descriptor]:
    base = {**({_CREATED: created} if created else {}), **annotations}
    for each in names:
        yield evolve(top, annotations={**base, _NAME: str(each), **({_TAG: each.tag} if each.tag else {})})
    if not names:
        yield evolve(top, annotations=base)


def _item(packed: Packed, names: Sequence[ImageReference]) -> dict[str, Any]:
    [image] = packed.images
    return {
        "Config": _path(image.config.descriptor.digest),
        "RepoTags": [references.familiar(each) for each in names if each.tag] or None,
        "Layers": [_path(each.digest) for each in image.layers],
    }


def _path(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
