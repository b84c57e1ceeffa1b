"""Storing: blobs that are there become an image, once its layers are unpacked and proven."""

import secrets
from collections.abc import Iterator
from typing import BinaryIO

from moby.contracts.images import Image, Progress
from moby.contracts.types import Digest, ImageReference, Platform
from moby.oci import reference as references
from moby_images.store.archive import Archive
from moby_images.store.catalog import Record
from moby_images.store.layers import Layer
from moby_images.store.loading import Found, found_in
from moby_images.store.parts import INGEST, Shared

__all__ = ["Storing", "new_ref"]


def new_ref() -> str:
    """Return a name for an ingest that nobody else has."""
    return f"{INGEST}{secrets.token_hex(8)}"


class Storing:
    """Stores images whose blobs a lease keeps."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def load(self, stream: BinaryIO, platform: Platform) -> Iterator[Progress]:
        """Store the images of an archive; each is whole when its Progress comes."""
        shared, parts = self._shared, self._shared.parts
        with shared.storing(), parts.content.lease() as lease:
            used: set[Digest] = set()
            archive = Archive(parts.content, lease, new_ref(), parts.limits)
            try:
                for path, current, total in archive.read(stream):
                    yield Progress("Loading layer", _short(path), current, total)
                for found in found_in(archive, platform):
                    yield from self._progress(found)
                    image, moved = self.publish(found)
                    used |= {found.manifest.digest, found.config.digest, *(each.blob.digest for each in found.layers)}
                    for name, former in moved:
                        yield Progress(text=_renaming(name, former))
                    shared.tell("load", image, references.familiar(found.names[0]) if found.names else "")
                    yield from _told(image, found.names)
            finally:
                lease.close()
                if {each.digest for each in archive.blobs.values()} - used:
                    parts.content.collect(shared.roots)

    def _progress(self, found: Found) -> Iterator[Progress]:
        for layer in self._shared.layers.ensure(found.layers):
            size = layer.blob.size_bytes
            yield Progress("Loading layer", layer.diff_id.hex[:12], size, size)

    def publish(
        self, found: Found, parent: Digest | None = None, *, anew: bool = False
    ) -> tuple[Image, list[tuple[ImageReference, Digest]]]:
        """Write an image down, with its names; return it, and which image had each name that moved.

        One that is here already keeps its manifest, unless `anew`; a name means the manifest that it came with. Its
        layers are unpacked, the caller is `storing`, and a lease keeps the blobs.
        """
        catalog = self._shared.catalog
        record = Record(
            found.config.digest,
            found.manifest,
            tuple(each.blob for each in found.layers),
            found.config_text,
            self._shared.layers.size_bytes([each.diff_id for each in found.layers]),
            parent,
        )
        moved = []
        with catalog.metadata.transaction():
            catalog.put(record, anew=anew, add=found.whole and bool(found.names))
            for name in found.names:
                former = catalog.name(name, record.id, str(found.manifest.digest) if found.whole else "")
                if former is not None and former != record.id:
                    moved.append((name, former))
        if self._shared.parts.drop_blobs:
            self._shared.want_collection()
        return catalog.image_meant(str(found.names[0] if found.names else record.id)), moved

    def store(self, found: Found, parent: Digest | None = None, *, anew: bool = False) -> Image:
        """Unpack and publish an image; as `publish`."""
        for _ in self._shared.layers.ensure(found.layers):
            pass
        return self.publish(found, parent, anew=anew)[0]


def _short(path: str) -> str:
    name = path.removesuffix("/layer.tar").rpartition("/")[2]
    return name[:12]


def _renaming(name: ImageReference, former: Digest) -> str:
    shown = references.familiar(name)
    return f"The image {shown} already exists, renaming the old one with ID {former} to empty string"


def _told(image: Image, names: tuple[ImageReference, ...]) -> Iterator[Progress]:
    for name in names:
        yield Progress(text=f"Loaded image: {references.familiar(name)}", image=image)
    if not names:
        yield Progress(text=f"Loaded image ID: {image.id}", image=image)


def layers_of(record: Record, diff_ids: tuple[Digest, ...]) -> tuple[Layer, ...]:
    """Return the layers of an image."""
    return tuple(Layer(*pair) for pair in zip(record.layers, diff_ids, strict=True))
