"""Pushing: an image of the store goes to an image registry, with its manifest and its layers as they came."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from typing import BinaryIO

from moby.contracts.content import Lease
from moby.contracts.events import Event
from moby.contracts.image_registry import Credentials, ImageRegistry, Manifest, Pushed
from moby.contracts.images import Image, Progress, Sent
from moby.contracts.types import Digest, ImageReference
from moby.errors import Invalid, NotFound
from moby.oci import digest as digests
from moby.oci import image as formats
from moby.oci import reference as references
from moby.oci.blobs import writing
from moby.oci.digest import CHUNK_BYTES
from moby.oci.gzipping import gzipped
from moby.oci.image import Descriptor
from moby.values import evolve, frozen
from moby_images.store.catalog import Record
from moby_images.store.crew import Crew, Tell
from moby_images.store.dropping import lacking, missing
from moby_images.store.fetching import short
from moby_images.store.layers import Layer
from moby_images.store.parts import Shared
from moby_images.store.storing import layers_of, new_ref

__all__ = ["Pushing"]

_AT_ONCE = 4
_TELL_BYTES = 512 << 10


class _Other(Exception):
    """What was compressed before comes to other bytes now."""

    def __init__(self, blob: Descriptor) -> None:
        super().__init__(str(blob.digest))
        self.blob = blob


@frozen
class _Sending:
    """One image on its way out."""

    reference: ImageReference
    credentials: Credentials | None
    record: Record
    layers: tuple[Layer, ...]
    lease: Lease
    crew: Crew


class Pushing:
    """Pushes images."""

    def __init__(self, shared: Shared, registry: ImageRegistry) -> None:
        self._shared = shared
        self._registry = registry
        self._compressed = shared.compressed

    def push(self, reference: ImageReference, credentials: Credentials | None) -> Iterator[Progress]:
        """Push the image of a tag, or without a tag all of a repository."""
        if reference.digest is not None:
            raise Invalid("cannot push a digest reference", hint="give it a tag, and push that")
        name = references.familiar_name(reference)
        yield Progress(f"The push refers to repository [{evolve(reference, tag='')}]", final=True)
        names = [
            each
            for each in self._shared.catalog.names()
            if each.tag and (each.domain, each.path) == (reference.domain, reference.path)
        ]
        if not names:
            raise NotFound(f"An image does not exist locally with the tag: {name}", hint="docker images shows all")
        if reference.tag and reference not in names:
            raise NotFound(f"tag does not exist: {references.familiar(reference)}", hint="docker images shows all")
        for each in [reference] if reference.tag else names:
            yield from self._push(each, credentials)
        shown = references.familiar(reference) if reference.tag else name
        labels = dict(self._shared.catalog.image(self._shared.catalog.find(str(names[0]))[0]).config.labels)
        self._shared.parts.events.publish(Event("image", "push", shown, {**labels, "name": name}))

    def published(self, image: Image, reference: ImageReference, digest: Digest) -> None:
        """Know what an image registry has of an image."""
        with self._shared.catalog.metadata.transaction():
            self._shared.catalog.record(image.id)
            self._shared.catalog.name(evolve(reference, tag="", digest=digest), image.id)
            self._shared.published.put(str(reference), {"image": str(image.id), "digest": str(digest)})

    def _there(
        self, reference: ImageReference, image: Digest, credentials: Credentials | None
    ) -> tuple[Digest, int] | None:
        """Return digest and size of what somebody else sent of an image, if its tag there still means that."""
        known = self._shared.published.get(str(reference))
        if known is None or known["image"] != str(image):
            return None
        with suppress(NotFound):
            digest, _, size = self._registry.resolve(reference, credentials)
            return (digest, size) if str(digest) == known["digest"] else None
        return None

    def _push(self, reference: ImageReference, credentials: Credentials | None) -> Iterator[Progress]:
        catalog, parts = self._shared.catalog, self._shared.parts
        with parts.content.lease() as lease:
            with catalog.metadata.snapshot():
                record = catalog.meant(str(reference))
                layers = layers_of(record, catalog.config(record).diff_ids)
            gone = missing(self._shared, record, lease)
            if gone and (not parts.drop_blobs or gone & {record.id, record.manifest.digest}):
                raise lacking(self._shared, record.id, min(gone))
            if there := self._there(reference, record.id, credentials):
                for each in reversed(layers):
                    yield Progress("Layer already exists", short(each.diff_id))
                yield from _done(reference, *there)
                return
            sending = _Sending(reference, credentials, record, layers, lease, Crew())
            sent = yield from self._layers(sending)
            manifest = self._manifest(record, sent)
            digest = self._registry.push_manifest(reference, manifest, credentials)
        named = evolve(reference, tag="", digest=digest)
        with catalog.metadata.transaction():
            if catalog.has(record.id):
                catalog.name(named, record.id, str(digest) if digest == record.manifest.digest else "")
        yield from _done(reference, digest, len(manifest.data))

    def _size(self, digest: Digest) -> int:
        return self._shared.parts.content.info(digest).size_bytes

    def _layers(self, sending: _Sending) -> Generator[Progress, None, list[Descriptor]]:
        """Send config and layers, the topmost named first; return what each layer was sent as."""
        sent: dict[Digest, Descriptor] = {}
        wanted = {each.diff_id: each for each in reversed(sending.layers)}
        for diff_id in wanted:
            yield Progress("Preparing", short(diff_id))
        for diff_id in list(wanted)[_AT_ONCE:]:
            yield Progress("Waiting", short(diff_id))

        def send(layer: Layer, tell: Tell) -> None:
            sent[layer.diff_id] = self._layer(sending, layer, tell)

        def send_config(tell: Tell) -> None:
            identity = sending.record.id
            self._send(sending, Descriptor(formats.CONFIG, identity, self._size(identity)), ())

        jobs = [send_config, *(lambda tell, layer=layer: send(layer, tell) for layer in wanted.values())]
        yield from sending.crew.work((_AT_ONCE, jobs))
        return [sent[each.diff_id] for each in sending.layers]

    def _layer(self, sending: _Sending, layer: Layer, tell: Tell) -> Descriptor:
        sources = self._sources(sending.reference, layer.diff_id)
        if layer.blob.digest != layer.diff_id:
            self._told(layer, self._send(sending, layer.blob, sources, layer, tell), sources, tell)
            return layer.blob
        blob = self._known(layer.diff_id) or self._compress(sending, layer)
        while True:
            try:
                result = self._send(sending, blob, sources, layer, tell)
            except _Other as other:
                blob = other.blob
                continue
            self._told(layer, result, sources, tell)
            return blob

    def _told(self, layer: Layer, result: Pushed, sources: Sequence[ImageReference], tell: Tell) -> None:
        words = {
            Pushed.EXISTED: "Layer already exists", Pushed.SENT: "Pushed",
            Pushed.MOUNTED: f"Mounted from {sources[0].path if sources else ''}",
        }  # fmt: skip
        tell(Progress(words[result], short(layer.diff_id)))

    def _send(
        self,
        sending: _Sending,
        blob: Descriptor,
        sources: Sequence[ImageReference],
        layer: Layer | None = None,
        tell: Tell | None = None,
    ) -> Pushed:
        """Send a blob; _Other where it is to be compressed again first, and comes to another one."""
        told = 0

        def progress(done: int) -> None:
            nonlocal told
            sending.crew.check()
            if tell is not None and layer is not None and done - told >= _TELL_BYTES:
                told = done
                tell(Progress("Pushing", short(layer.diff_id), done, blob.size_bytes))

        def content() -> BinaryIO:
            is_here = sending.lease.hold(blob.digest)  # fetched once, compressed just now, or as it came
            if layer is not None and layer.blob.digest == layer.diff_id and not is_here:
                again = self._compress(sending, layer)
                if again.digest != blob.digest:
                    raise _Other(again)
            elif not is_here:  # an image registry that has it never asks
                raise lacking(self._shared, sending.record.id, blob.digest)
            return self._shared.parts.content.open(blob.digest, size_bytes=blob.size_bytes)

        return self._registry.push_blob(
            sending.reference, blob.digest, blob.size_bytes, content, sending.credentials,
            mount_from=sources, progress=progress,
        )  # fmt: skip

    def _sources(self, reference: ImageReference, diff_id: Digest) -> list[ImageReference]:
        """Return another repository of the same service that has a layer, by what was pulled and pushed."""
        catalog, found = self._shared.catalog, dict[str, ImageReference]()
        with catalog.metadata.snapshot():
            having = {each.id for each in catalog.records().values() if diff_id in catalog.config(each).diff_ids}
            for image in having:
                for name in catalog.names(image):
                    if name.digest and name.domain == reference.domain and name.path != reference.path:
                        found[name.path] = evolve(name, digest=None)
        return [found[path] for path in sorted(found)[:1]]  # of one alone it is known whether it was that

    # Layers that came uncompressed

    def _known(self, diff_id: Digest) -> Descriptor | None:
        document = self._compressed.get(str(diff_id))
        if document is None:
            return None
        return Descriptor(formats.LAYER_GZIP, digests.parse(document["digest"]), document["size_bytes"])

    def _compress(self, sending: _Sending, layer: Layer) -> Descriptor:
        """Compress a layer into a blob that the lease keeps: the same bytes each time (RFC 1952, without a time)."""
        if not sending.lease.hold(layer.blob.digest):
            raise lacking(self._shared, sending.record.id, layer.blob.digest)
        with (
            self._shared.layers.open(layer) as source,
            writing(self._shared.parts.content, new_ref(), sending.lease) as writer,
        ):
            for packed in gzipped(iter(lambda: source.read(CHUNK_BYTES), b"")):
                sending.crew.check()
                writer.write(packed)
            blob = writer.commit()
        self._compressed.put(str(layer.diff_id), {"digest": str(blob.digest), "size_bytes": blob.size_bytes})
        return Descriptor(formats.LAYER_GZIP, blob.digest, blob.size_bytes)

    def _manifest(self, record: Record, sent: Sequence[Descriptor]) -> Manifest:
        """Return the manifest as it is stored, or, where layers were compressed, one that names these."""
        with self._shared.parts.content.open(record.manifest.digest, size_bytes=record.manifest.size_bytes) as file:
            data = file.read()
        if [each.digest for each in sent] == [each.digest for each in record.layers]:
            return Manifest(record.manifest.digest, record.manifest.media_type, data)
        data = formats.dump_manifest(evolve(formats.parse_manifest(data), layers=tuple(sent)))
        return Manifest(digests.sha256(data), formats.MANIFEST, data)


def _done(reference: ImageReference, digest: Digest, size_bytes: int) -> Iterator[Progress]:
    yield Progress(f"{reference.tag}: digest: {digest} size: {size_bytes}", final=True)
    yield Progress(sent=Sent(reference.tag, digest, size_bytes))
