"""Images of OCI layouts that the client keeps: fetched blob by blob, and stored without a name."""

from collections.abc import Iterator
from contextlib import suppress

from moby.contracts.builder import Blobs, Session
from moby.contracts.images import Image, Images
from moby.contracts.types import Digest, Platform
from moby.errors import Invalid, NotFound
from moby.oci import image as formats
from moby.oci import layer
from moby.oci.digest import CHUNK_BYTES, Verified
from moby.oci.image import Descriptor, Index
from moby.oci.layer import EntryType, LayerEntry
from moby_builder.dockerfile.effects.images import fits
from moby_builder.dockerfile.operations import LayoutSource
from moby_builder.dockerfile.solver.effects import Watch

__all__ = ["find_in_layout"]

_MOST_BYTES = 4 << 20
_DEEPEST = 4


def find_in_layout(images: Images, source: LayoutSource, session: Session, watch: Watch) -> Image:
    """Return an image of a client's layout; NotFound where that has none for the platform."""
    blobs = session.blobs(source.store)
    found, data = _manifest(blobs, source.digest, source.platform)
    manifest = formats.parse_manifest(data)
    with suppress(NotFound):
        return images.get(str(manifest.config.digest))
    image: Image | None = None
    wanted = [manifest.config, *manifest.layers]
    archive = layer.write(_archive(blobs, Descriptor(formats.MANIFEST, found, len(data)), data, wanted, watch))
    for told in images.load(archive, platform=source.platform):
        image = told.image or image
    assert image is not None
    return image


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


def _archive(
    blobs: Blobs, manifest: Descriptor, data: bytes, wanted: list[Descriptor], watch: Watch
) -> Iterator[tuple[LayerEntry, Iterator[bytes]]]:
    """Yield the entries of a layout with one image."""
    index = formats.dump_index(Index((manifest,)))
    yield _entry("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    yield _entry("index.json", index)
    yield LayerEntry("blobs", EntryType.DIRECTORY, 0o755), iter(())
    yield LayerEntry("blobs/sha256", EntryType.DIRECTORY, 0o755), iter(())
    yield _entry(_place(manifest.digest), data)
    seen = set()
    for each in wanted:
        if each.digest not in seen:
            seen.add(each.digest)
            yield LayerEntry(_place(each.digest), size_bytes=each.size_bytes), _chunks(blobs, each, watch)


def _entry(path: str, data: bytes) -> tuple[LayerEntry, Iterator[bytes]]:
    return LayerEntry(path, size_bytes=len(data)), iter((data,))


def _place(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.hex}"


def _chunks(blobs: Blobs, blob: Descriptor, watch: Watch) -> Iterator[bytes]:
    done = 0
    with blobs.read(blob.digest) as reader:
        while chunk := reader.read(CHUNK_BYTES):
            watch.cancel.check()
            done += len(chunk)
            watch.progress(f"downloading {blob.digest.hex[:12]}", done, blob.size_bytes)
            yield chunk
    watch.progress(f"downloading {blob.digest.hex[:12]}", done, blob.size_bytes, done=True)
