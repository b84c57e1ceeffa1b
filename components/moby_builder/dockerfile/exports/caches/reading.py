"""Reading caches from elsewhere: what is in them is known at once, layers are fetched once a step wants them."""

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from attrs import frozen

from moby.contracts.builder import Blobs, CacheSource, Session
from moby.contracts.content import Content, Lease
from moby.contracts.image_registry import Credentials, ImageRegistry
from moby.contracts.images import Images, StoredLayer
from moby.contracts.types import Digest, ImageReference
from moby.errors import Corrupt, Invalid, MobyError, NotFound, Unsupported
from moby.oci import digest as digests
from moby.oci import image as formats
from moby.oci import reference as references
from moby.oci.blobs import writing
from moby.oci.digest import CHUNK_BYTES
from moby.oci.image import Descriptor
from moby.values import evolve
from moby_builder.dockerfile.exports.caches.format import (
    CONFIG,
    INLINE,
    CacheChain,
    CacheRecord,
    chains,
    parse,
    parse_records,
)
from moby_builder.dockerfile.exports.caches.mounts import CarriedMount, CarriedMounts, mounts_in
from moby_builder.dockerfile.exports.configs import nanoseconds
from moby_builder.dockerfile.exports.layers import LayerBlob
from moby_builder.dockerfile.exports.solution import Begin
from moby_builder.dockerfile.exports.times import Times
from moby_builder.dockerfile.solver.effects import Cancel, Watch

__all__ = ["Found", "ImportedCache", "Reading"]

_MOST_BYTES = 64 << 20
"""Of a cache's config."""
_STORE = "local:"
_NOTHING = b"{}"
"""The config of a cache in an image, which says nothing else."""


class _Place(Protocol):
    """Where blobs of a cache are."""

    def manifest(self, digest: Digest | None = None, size_bytes: int = 0) -> bytes:
        """Return a manifest; what the cache is found by where none is named."""
        ...

    def blob(self, digest: Digest, size_bytes: int) -> Iterator[bytes]:
        """Yield a blob, which is the caller's to prove."""
        ...


@frozen
class Found:
    """What a cache has under a key."""

    identity: str
    layers: CacheChain
    created_ns: int = 0


class ImportedCache:
    """A cache from elsewhere. Thread-safe."""

    def __init__(self, name: str, place: _Place, images: Images, content: Content, times: Times) -> None:
        self.name = name
        self._place = place
        self._images = images
        self._content = content
        self._times = times
        self._found: dict[str, Found] = {}

    def __len__(self) -> int:
        return len(self._found)

    def add(self, records: Sequence[CacheRecord], layers: Sequence[CacheChain]) -> None:
        """Know of what is in it."""
        for each in records:
            self._found.setdefault(each.key, Found(each.identity, layers[each.layer], each.created_ns))

    def find(self, key: str) -> Found | None:
        """Return what it has under a key of a step."""
        return self._found.get(key)

    def fetch(self, found: Found, snapshot: str, watch: Watch) -> None:
        """Make a committed snapshot of this key of what was found; only blobs that aren't here are fetched."""
        with self._content.lease() as lease:
            for each in found.layers:
                watch.cancel.check()
                if not lease.hold(each.digest):
                    self._fetch(each, lease, watch)
            stored = [StoredLayer(each.diff_id, each.digest, each.size_bytes, each.media_type) for each in found.layers]
            self._images.unpack(stored, snapshot)
            self._times.note(snapshot, [each.created_ns for each in found.layers])

    def bring(self, mounts: Sequence[CarriedMount], carried: CarriedMounts, watch: Watch) -> None:
        """Make cache mounts of what came along, where there are none yet."""
        with self._content.lease() as lease:
            for each in mounts:
                if not carried.has(each.id):
                    if not lease.hold(each.blob.digest):
                        self._fetch(each.blob, lease, watch)
                    carried.unpack(each)

    def _fetch(self, layer: LayerBlob, lease: Lease, watch: Watch) -> None:
        name, done = str(layer.digest), 0
        watch.progress(name, 0, layer.size_bytes)
        with writing(self._content, f"builder-cache-{layer.digest}-{id(lease)}", lease) as writer:
            for chunk in self._place.blob(layer.digest, layer.size_bytes):
                watch.cancel.check()
                writer.write(chunk)
                done += len(chunk)
                watch.progress(name, done, layer.size_bytes)
            writer.commit(layer.digest, size_bytes=layer.size_bytes)
        watch.progress(name, layer.size_bytes, layer.size_bytes, done=True)


class Reading:
    """Reads caches."""

    def __init__(
        self, images: Images, content: Content, registry: ImageRegistry, times: Times, mounts: CarriedMounts
    ) -> None:
        self._images = images
        self._content = content
        self._times = times
        self._mounts = mounts
        self._registry = registry

    def open(self, sources: Sequence[CacheSource], session: Session, begin: Begin) -> tuple[ImportedCache, ...]:
        """Return the caches that can be read; why another one can't is told, and no error."""
        found = []
        for source in sources:
            name, place = self._place(source, session)
            with begin(f"importing cache manifest from {name}") as watch:
                try:
                    cache = ImportedCache(name, place, self._images, self._content, self._times)
                    config = self._read(cache, place, place.manifest(), watch.cancel)
                    if source.attributes.get("cache-mounts", "").lower() in ("true", "1"):
                        cache.bring(mounts_in(config), self._mounts, watch)
                    found.append(cache)
                except MobyError as error:
                    watch.cancel.check()
                    watch.log(2, f"the cache {name} can't be used: {error.message}\n".encode())
        return tuple(found)

    def _place(self, source: CacheSource, session: Session) -> tuple[str, _Place]:
        given = {key: value for key, value in source.attributes.items() if key != "cache-mounts"}
        if source.type == "registry":
            reference = references.parse(_needed(source, given.pop("ref", "")))
            given.pop("registry.insecure", None)
            place: _Place = _Remote(self._registry, reference, session.credentials(reference.domain))
            name = str(reference)
        elif source.type == "local":
            folder = _needed(source, given.pop("src", ""))
            digest = digests.parse(_needed(source, given.pop("digest", "")))
            given.pop("tag", None)
            place, name = _Stored(session.blobs(_STORE + folder), digest), folder
        else:
            raise Unsupported(f"caches of type {source.type[:40]!r} aren't read here", hint="registry and local are")
        if given:
            raise Unsupported(f"a cache of type {source.type} has no attribute {next(iter(given))[:100]!r}")
        return name, place

    def _read(self, cache: ImportedCache, place: _Place, data: bytes, cancel: Cancel) -> bytes:
        """Read a cache's manifest, an index, or an image that has a cache in its config; return the cache's config."""
        cancel.check()
        try:
            document = json.loads(data) if data[:1] == b"{" else {}
        except (ValueError, RecursionError) as error:
            raise Invalid("the cache's manifest isn't JSON") from error
        if "manifests" not in document:
            manifest = formats.parse_manifest(data)
            return self._read_image(cache, place, manifest)
        index = formats.parse_index(data)
        config = next((each for each in index.manifests if each.media_type == CONFIG), None)
        if config is not None:
            return self._read_config(cache, place, config)
        for each in index.manifests:
            if each.platform is not None and each.platform.os == "unknown":
                continue  # attestations
            with suppress(NotFound):
                self._read_image(cache, place, formats.parse_manifest(place.manifest(each.digest, each.size_bytes)))
        if not len(cache):
            raise NotFound("no image of it has a cache")
        return _NOTHING

    def _read_config(self, cache: ImportedCache, place: _Place, config: Descriptor) -> bytes:
        data = _small(place, config)
        layers, records = parse(data)
        cache.add(records, chains(layers))
        return data

    def _read_image(self, cache: ImportedCache, place: _Place, manifest: formats.Manifest) -> bytes:
        if manifest.config.media_type == CONFIG:
            return self._read_config(cache, place, manifest.config)
        stored = formats.parse_config(_small(place, manifest.config))
        text = stored.raw.get(INLINE)
        if not isinstance(text, str):
            raise NotFound("the image has no cache in its config")
        if len(stored.diff_ids) != len(manifest.layers):
            raise Invalid("the image has another number of layers than its config")
        times = [nanoseconds(each.created) for each in stored.history if not each.empty_layer]
        times += [0] * (len(stored.diff_ids) - len(times))
        layers = [
            (below, LayerBlob(diff_id, blob.digest, blob.size_bytes, blob.media_type, made_ns))
            for below, (blob, diff_id, made_ns) in enumerate(zip(manifest.layers, stored.diff_ids, times), -1)  # noqa: B905  # times may be more
        ]
        try:
            data = base64.b64decode(text, validate=True)
        except ValueError:
            raise Invalid("the cache in the image's config isn't base64") from None
        cache.add(parse_records(data, len(layers)), chains(layers))
        return _NOTHING


def _needed(source: CacheSource, value: str) -> str:
    if not value:
        raise Invalid(
            f"{source.type} cache importer requires {'ref' if source.type == 'registry' else 'src and digest'}"
        )
    return value


def _small(place: _Place, described: Descriptor) -> bytes:
    """Return a blob that is small, proven."""
    if described.size_bytes > _MOST_BYTES:
        raise Invalid(f"the cache's config has {described.size_bytes} bytes; at most {_MOST_BYTES} are allowed")
    data = b"".join(place.blob(described.digest, described.size_bytes))
    return _proven(data, described.digest)


def _proven(data: bytes, digest: Digest) -> bytes:
    if digests.sha256(data) != digest:
        raise Corrupt(f"blob {digest} of the cache is damaged: it is another one")
    return data


@frozen
class _Remote:
    """A repository of an image registry."""

    registry: ImageRegistry
    reference: ImageReference
    credentials: Credentials | None

    def manifest(self, digest: Digest | None = None, size_bytes: int = 0) -> bytes:
        reference = self.reference if digest is None else evolve(self.reference, tag="", digest=digest)
        return self.registry.manifest(reference, self.credentials).data

    def blob(self, digest: Digest, size_bytes: int) -> Iterator[bytes]:
        return self.registry.blob(self.reference, digest, size_bytes, self.credentials)


@frozen
class _Stored:
    """A folder that the client keeps."""

    blobs: Blobs
    top: Digest

    def manifest(self, digest: Digest | None = None, size_bytes: int = 0) -> bytes:
        wanted = digest or self.top
        with self.blobs.read(wanted) as file:
            return _proven(file.read(_MOST_BYTES), wanted)

    def blob(self, digest: Digest, size_bytes: int) -> Iterator[bytes]:
        with self.blobs.read(digest) as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
