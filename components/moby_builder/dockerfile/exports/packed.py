"""Packed images: configs, manifests and an index of what was built, as documents that name each other by digest."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from attrs import frozen

from moby.contracts.types import Digest, Platform
from moby.oci import digest as digests
from moby.oci import image as formats
from moby.oci.image import Descriptor, Index, Manifest
from moby.values import evolve
from moby_builder.dockerfile.exports.layers import LayerBlob
from moby_builder.dockerfile.exports.options import Options, Place

__all__ = ["IN_TOTO", "Document", "Packed", "PackedImage", "Statement", "document", "pack", "packed_image"]

IN_TOTO = "application/vnd.in-toto+json"
_DOCKER = "application/vnd.docker."
_DOCKER_CONFIG = f"{_DOCKER}container.image.v1+json"
_DOCKER_MANIFEST = f"{_DOCKER}distribution.manifest.v2+json"
_DOCKER_LIST = f"{_DOCKER}distribution.manifest.list.v2+json"
_NOWHERE = Platform("unknown", "unknown")


@frozen
class Document:
    """A blob that is small, with all of it."""

    descriptor: Descriptor
    data: bytes


@frozen
class Statement:
    """What is attested of an image: a predicate of a type, about that which has this digest."""

    predicate_type: str
    write: Callable[[Digest], bytes]
    """Returns the whole in-toto statement about a manifest."""


@frozen
class PackedImage:
    """An image for one platform."""

    platform: Platform
    config: Document
    layers: tuple[LayerBlob, ...]
    manifest: Document
    statements: tuple[Document, ...] = ()
    attestation: tuple[Document, ...] = ()
    """Config and manifest of the statements, where there are some."""

    def documents(self) -> Iterable[Document]:
        """Yield all that isn't a layer, what is named before what names it."""
        yield self.config
        yield self.manifest
        yield from self.statements
        yield from self.attestation


@frozen
class Packed:
    """Images that go out together."""

    images: tuple[PackedImage, ...]
    top: Document
    """The manifest of the only image, or an index."""

    @property
    def descriptor(self) -> Descriptor:
        """Of what all the rest is found by."""
        return self.top.descriptor

    def documents(self) -> tuple[Document, ...]:
        """Return all that isn't a layer, each once, what is named before what names it."""
        found = {each.descriptor.digest: each for image in self.images for each in image.documents()}
        return (*found.values(), *(() if self.top.descriptor.digest in found else (self.top,)))

    def layers(self) -> tuple[LayerBlob, ...]:
        """Return all layers, each blob once."""
        return tuple({each.digest: each for image in self.images for each in image.layers}.values())


def document(data: bytes, media_type: str) -> Document:
    """Return bytes with what describes them."""
    return Document(Descriptor(media_type, digests.sha256(data), len(data)), data)


def packed_image(
    platform: Platform, config: bytes, layers: Sequence[LayerBlob], options: Options, statements: Sequence[Statement]
) -> PackedImage:
    """Pack an image for one platform, with what is attested of it."""
    settled = document(config, formats.CONFIG if options.oci else _DOCKER_CONFIG)
    described = tuple(Descriptor(each.media_type, each.digest, each.size_bytes) for each in layers)
    kind = formats.MANIFEST if options.oci else _DOCKER_MANIFEST
    annotations = options.annotated(Place.MANIFEST, platform)
    manifest = document(formats.dump_manifest(Manifest(settled.descriptor, described, kind, annotations)), kind)
    found = [(each, document(each.write(manifest.descriptor.digest), IN_TOTO)) for each in statements]
    return PackedImage(
        platform, settled, tuple(layers), manifest, tuple(each for _, each in found),
        _attestation(found) if found else (),
    )  # fmt: skip


def pack(images: Sequence[PackedImage], options: Options) -> Packed:
    """Put images together: one without attestations is itself, others have an index."""
    if len(images) == 1 and not images[0].attestation:
        return Packed(tuple(images), images[0].manifest)
    listed = []
    for each in images:
        annotations = options.annotated(Place.MANIFEST_DESCRIPTOR, each.platform)
        listed.append(evolve(each.manifest.descriptor, platform=each.platform, annotations=annotations))
    for each in images:
        if each.attestation:
            about = {
                "vnd.docker.reference.type": "attestation-manifest",
                "vnd.docker.reference.digest": str(each.manifest.descriptor.digest),
            }
            listed.append(evolve(each.attestation[1].descriptor, platform=_NOWHERE, annotations=about))
    kind = formats.INDEX if options.oci else _DOCKER_LIST
    return Packed(
        tuple(images), document(formats.dump_index(Index(tuple(listed), kind, options.annotated(Place.INDEX))), kind)
    )


def _attestation(statements: Sequence[tuple[Statement, Document]]) -> tuple[Document, Document]:
    """Return config and manifest of statements, each of which is a layer (buildkit, attestation-storage.md)."""
    diff_ids = [str(each.descriptor.digest) for _, each in statements]
    rootfs = {"type": "layers", "diff_ids": diff_ids}
    config = document(
        _json({"architecture": "unknown", "os": "unknown", "config": {}, "rootfs": rootfs}), formats.CONFIG
    )
    layers = tuple(
        evolve(made.descriptor, annotations={"in-toto.io/predicate-type": each.predicate_type})
        for each, made in statements
    )
    return config, document(formats.dump_manifest(Manifest(config.descriptor, layers)), formats.MANIFEST)


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
