"""Making images: of tars that are given, of a file system, of a container."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from moby.contracts.content import Blob, Lease
from moby.contracts.images import Image, ImageConfig
from moby.contracts.types import Digest, ImageReference, Platform
from moby.errors import Invalid
from moby.oci import compression
from moby.oci import digest as digests
from moby.oci import image as formats
from moby.oci import reference as references
from moby.oci.blobs import written
from moby.oci.digest import CHUNK_BYTES
from moby.oci.image import Descriptor, Manifest
from moby.oci.times import nano
from moby_images.store.archive import begun
from moby_images.store.catalog import Record
from moby_images.store.changes import changed
from moby_images.store.layers import Layer
from moby_images.store.loading import Found
from moby_images.store.parts import Shared
from moby_images.store.storing import Storing, layers_of, new_ref

__all__ = ["Making"]


class Making:
    """Makes images."""

    def __init__(self, shared: Shared, storing: Storing) -> None:
        self._shared = shared
        self._storing = storing

    def add(self, reference: ImageReference, layers: Sequence[BinaryIO], config: ImageConfig, created: str) -> Image:
        """Store an image of uncompressed layer tars."""
        with self._shared.storing(), self._shared.parts.content.lease() as lease:
            blobs = tuple(self._layer(lease, _read(each)) for each in layers)
            diff_ids = [each.diff_id for each in blobs]
            text = formats.dump_config(config, Platform.host(), diff_ids, created=created)
            return self.finish(lease, text, blobs, (reference,))

    def import_(
        self,
        stream: BinaryIO,
        reference: ImageReference | None,
        changes: Sequence[str],
        message: str,
        platform: Platform,
    ) -> Image:
        """Make an image with one layer of a tar; Invalid for another operating system's."""
        if platform.os != "linux":
            raise Invalid("operating system is not supported", hint="name a platform whose first word is linux")
        config = changed(ImageConfig(), changes)
        with self._shared.storing(), self._shared.parts.content.lease() as lease:
            with compression.plain(stream) as tar:
                layer = self._layer(lease, _read(begun(tar)))
            created = self._now()
            text = _config_text(
                {}, config, platform, [layer.diff_id], created, [{"created": created, "comment": message}],
                comment=message,
            )  # fmt: skip
            image = self.finish(lease, text, (layer,), (reference,) if reference else ())
        self._shared.tell("import", image, references.familiar(reference) if reference else "")
        return image

    def commit(
        self,
        container_id: str,
        reference: ImageReference | None,
        config: ImageConfig | None,
        changes: Sequence[str],
        author: str,
        message: str,
        created_by: str,
    ) -> Image:
        """Make an image of a container's."""
        shared = self._shared
        hold = shared.catalog.held(container_id)
        record = shared.catalog.record(hold.image)
        stored = shared.catalog.config(record)
        wanted = changed(stored.config if config is None else config, changes)
        with shared.storing(), shared.parts.content.lease() as lease:
            layer = self._layer(lease, shared.parts.snapshotter.diff(hold.snapshot))
            created = self._now()
            step = {"author": author, "comment": message, "created": created, "created_by": created_by}
            old = stored.raw.get("history") or []
            text = _config_text(
                {key: value for key, value in stored.raw.items() if key.startswith("os.")},
                wanted, stored.platform, [*stored.diff_ids, layer.diff_id], created,
                [*old, {key: value for key, value in step.items() if value}], author=author, comment=message,
            )  # fmt: skip
            layers = (*layers_of(record, stored.diff_ids), layer)
            image = self.finish(lease, text, layers, (reference,) if reference else (), parent=record)
        shared.tell("create", image, references.familiar(reference) if reference else "")
        if reference:
            shared.tell("tag", image, references.familiar(reference))
        return image

    def _now(self) -> str:
        return nano(self._shared.parts.clock.now_ns())

    def _layer(self, lease: Lease, chunks: Iterable[bytes]) -> Layer:
        blob = self.write(lease, chunks)
        return Layer(Descriptor(formats.LAYER, blob.digest, blob.size_bytes), blob.digest)

    def finish(
        self,
        lease: Lease,
        text: bytes,
        layers: Sequence[Layer],
        names: Sequence[ImageReference],
        parent: Record | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> Image:
        """Write config and manifest, unpack what isn't, and write the image down."""
        stored = formats.parse_config(text)  # what couldn't be read back isn't stored
        config = self._kept(lease, text)
        described = Descriptor(formats.CONFIG, config.digest, config.size_bytes)
        data = formats.dump_manifest(
            Manifest(described, tuple(each.blob for each in layers), annotations=annotations or {})
        )
        formats.parse_manifest(data)
        manifest = self._kept(lease, data)
        found = Found(
            Descriptor(formats.MANIFEST, manifest.digest, manifest.size_bytes), described, text.decode(), stored,
            tuple(layers), tuple(names),
        )  # fmt: skip
        return self._storing.store(found, parent.id if parent else None, anew=bool(annotations))

    def _kept(self, lease: Lease, data: bytes) -> Blob:
        """Write a small blob down, unless it is there."""
        digest = digests.sha256(data)
        return Blob(digest, len(data)) if lease.hold(digest) else self.write(lease, [data])

    def write(self, lease: Lease, chunks: Iterable[bytes]) -> Blob:
        """Write a blob down."""
        return written(self._shared.parts.content, new_ref(), lease, chunks)


def _read(source: BinaryIO) -> Iterator[bytes]:
    while chunk := source.read(CHUNK_BYTES):
        yield chunk


def _config_text(
    kept: dict[str, Any],
    config: ImageConfig,
    platform: Platform,
    diff_ids: Sequence[Digest],
    created: str,
    history: Sequence[Any],
    *,
    author: str = "",
    comment: str = "",
) -> bytes:
    values = {
        **kept,
        "architecture": platform.architecture, "author": author, "comment": comment,
        "config": {key: value for key, value in formats.dump_run_config(config).items() if value},
        "created": created, "history": [{key: value for key, value in each.items() if value} for each in history],
        "os": platform.os, "rootfs": {"type": "layers", "diff_ids": [str(each) for each in diff_ids]},
        "variant": platform.variant,
    }  # fmt: skip
    filled = {key: value for key, value in values.items() if value not in ("", None)}
    return json.dumps(filled, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
