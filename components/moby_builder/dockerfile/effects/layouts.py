"""Images of OCI layouts that the client keeps: known by their documents, their layers fetched once they are wanted.

The engine has their layers then, but no image: nobody gave it one.
"""

import secrets

from attrs import frozen

from moby.contracts.builder import Blobs, Session
from moby.contracts.content import Content, Lease
from moby.contracts.images import Image, Images, StoredLayer
from moby.contracts.types import Digest, Platform
from moby.errors import Invalid, NotFound
from moby.oci import image as formats
from moby.oci.blobs import writing
from moby.oci.digest import CHUNK_BYTES, Verified
from moby.oci.image import Descriptor, Manifest
from moby_builder.dockerfile.effects.images import fits
from moby_builder.dockerfile.effects.workspace import PREFIX
from moby_builder.dockerfile.operations import LayoutSource
from moby_builder.dockerfile.solver.effects import Watch

__all__ = ["InLayout", "find_in_layout", "unpack"]

_MOST_BYTES = 4 << 20
_DEEPEST = 4


@frozen
class InLayout:
    """An image of a client's layout."""

    image: Image
    layers: tuple[StoredLayer, ...]
    blobs: Blobs


def find_in_layout(source: LayoutSource, session: Session) -> InLayout:
    """Return an image of a client's layout; NotFound where that has none for the platform."""
    blobs = session.blobs(source.store)
    digest, data = _manifest(blobs, source.digest, source.platform)
    manifest = formats.parse_manifest(data)
    config = formats.parse_config(_read(blobs, manifest.config.digest))
    if len(manifest.layers) != len(config.diff_ids):
        raise Invalid(f"image {digest} has {len(manifest.layers)} layers, but its config names {len(config.diff_ids)}")
    image = Image(
        id=manifest.config.digest, digest=digest, references=(), config=config.config, platform=config.platform,
        layers=config.diff_ids, size_bytes=sum(each.size_bytes for each in manifest.layers), created=config.created,
        raw_config=config.raw,
    )  # fmt: skip
    return InLayout(image, _stored(manifest, config.diff_ids), blobs)


def unpack(images: Images, content: Content, found: InLayout, watch: Watch) -> str:
    """Return the key, the caller's own, of a snapshot of an image's layers; empty where it has none."""
    if not found.layers:
        return ""
    key = PREFIX + secrets.token_hex(12)
    with content.lease() as lease:
        for each in found.layers:
            if not lease.hold(each.digest):
                _fetch(found.blobs, each, content, lease, watch)
        images.unpack(found.layers, key)
    return key


def _stored(manifest: Manifest, diff_ids: tuple[Digest, ...]) -> tuple[StoredLayer, ...]:
    pairs: zip[tuple[Descriptor, Digest]] = zip(manifest.layers, diff_ids, strict=True)
    return tuple(StoredLayer(diff_id, each.digest, each.size_bytes, each.media_type) for each, diff_id in pairs)


def _manifest(blobs: Blobs, digest: Digest, platform: Platform) -> tuple[Digest, bytes]:
    """Return the manifest that a digest means for a platform."""
    for _ in range(_DEEPEST):
        data = _read(blobs, digest)
        try:
            index = formats.parse_index(data)
        except Invalid:
            return digest, data
        fitting = [
            each for each in index.manifests if each.platform is None or fits(each.platform, platform)
        ]  # fmt: skip
        if not fitting:
            raise NotFound(f"no match for platform in manifest {digest}: not found")
        digest = fitting[0].digest
    raise Invalid(f"{digest} is nested deeper than {_DEEPEST} indexes")


def _read(blobs: Blobs, digest: Digest) -> bytes:
    with Verified(blobs.read(digest), digest) as reader:
        data = b""
        while chunk := reader.read(CHUNK_BYTES):
            data += chunk
            if len(data) > _MOST_BYTES:
                raise Invalid(f"{digest} is bigger than {_MOST_BYTES} bytes")
    return data


def _fetch(blobs: Blobs, layer: StoredLayer, content: Content, lease: Lease, watch: Watch) -> None:
    """Bring a layer's blob, which the lease keeps; Corrupt where it is another than its digest says."""
    name, done = f"downloading {layer.digest.hex[:12]}", 0
    ref = f"builder-layout-{secrets.token_hex(8)}"
    with blobs.read(layer.digest) as reader, writing(content, ref, lease, algorithm=layer.digest.algorithm) as writer:
        while chunk := reader.read(CHUNK_BYTES):
            watch.cancel.check()
            writer.write(chunk)
            done += len(chunk)
            watch.progress(name, done, layer.size_bytes)
        writer.commit(layer.digest, size_bytes=layer.size_bytes)
    watch.progress(name, done, layer.size_bytes, done=True)
