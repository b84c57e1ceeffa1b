"""Pulling: an image of an image registry becomes one of the store, its layers fetched and unpacked side by side."""

import threading
import time
from collections.abc import Generator, Iterator, Sequence

from moby.contracts.events import Event
from moby.contracts.image_registry import Credentials, ImageRegistry
from moby.contracts.images import Image, Progress
from moby.contracts.types import Digest, ImageReference, Platform
from moby.errors import HostUnfit, Invalid, NotFound
from moby.oci import image as formats
from moby.oci import reference as references
from moby.oci.image import Descriptor
from moby.values import evolve
from moby_images.store.catalog import chain_ids
from moby_images.store.choice import rank
from moby_images.store.crew import Crew, Tell
from moby_images.store.fetching import TELL_S, Fetching, short
from moby_images.store.layers import Layer
from moby_images.store.loading import Found, checked
from moby_images.store.offers import Asked, chosen, missed, parse_image
from moby_images.store.parts import Shared
from moby_images.store.storing import Storing, new_ref

__all__ = ["Pulling"]

_AT_ONCE = 3
"""Layers that are downloaded at a time, as docker does."""


class Pulling:
    """Pulls images."""

    def __init__(self, shared: Shared, storing: Storing, registry: ImageRegistry) -> None:
        self._shared = shared
        self._storing = storing
        self._registry = registry

    def pull(
        self, reference: ImageReference, credentials: Credentials | None, platform: Platform | None
    ) -> Iterator[Progress]:
        """Pull an image, or with neither tag nor digest all of a repository."""
        if reference.tag or reference.digest:
            wanted = [reference]
        else:
            wanted = [evolve(reference, tag=tag) for tag in self._registry.tags(reference, credentials)]
            if not wanted:
                raise NotFound(f"{references.familiar_name(reference)} has no tags", hint="name a digest")
        newer, missed = False, ""
        for each in wanted:
            asked = Asked.of(each, credentials, platform)
            changed, missed = yield from self._pull(asked)
            newer = newer or changed
        one = bool(reference.tag or reference.digest)
        familiar = references.familiar(wanted[0]) if one else references.familiar_name(reference)
        told = "Downloaded newer image for" if newer else "Image is up to date for"
        yield Progress(f"Status: {told} {familiar}", final=True)
        self._tell(reference, wanted)
        if missed:
            raise NotFound(missed, hint="the image is stored nevertheless; use it without --platform")

    def _tell(self, reference: ImageReference, wanted: Sequence[ImageReference]) -> None:
        name = references.familiar_name(reference)
        labels = dict(self._shared.catalog.image(self._shared.catalog.find(str(wanted[0]))[0]).config.labels)
        shown = references.familiar(wanted[0]) if reference.tag or reference.digest else name
        self._shared.parts.events.publish(Event("image", "pull", shown, {**labels, "name": name}))

    def _pull(self, asked: Asked) -> Generator[Progress, None, tuple[bool, str]]:
        """Pull one image; return whether anything changed by it, and why it isn't what was asked for, if so."""
        reference = asked.reference
        known = self._known(asked)
        top = None if known else self._registry.manifest(reference, asked.credentials)
        yield Progress(f"Pulling from {reference.path}", _label(reference), final=True)
        if top is None:
            assert known is not None
            yield Progress(f"Digest: {known[1]}", final=True, image=known[0])
            return False, missed(asked, known[0].platform)
        with self._shared.storing(), self._shared.parts.content.lease() as lease:
            crew = Crew()
            fetching = Fetching(self._shared, self._registry, reference, asked.credentials, lease, crew)
            manifest, descriptor = chosen(self._registry, asked, top)
            found = self._found(fetching, manifest, descriptor)
            yield from self._work(fetching, found)
            former = self._former(reference)
            named = evolve(reference, tag="", digest=top.digest)
            names = (named,) if reference.digest else (reference, named)
            # Others of its names mean their own manifests; what has none is known by the one that came last.
            image, _ = self._storing.publish(evolve(found, names=names), anew=True)
            self._note(found)
        yield Progress(f"Digest: {top.digest}", final=True, image=image)
        return former != image.id, missed(asked, image.platform)

    def _note(self, found: Found) -> None:
        """Remember under which digests image registries have layers, for when others send the same ones."""
        bucket = self._shared.compressed
        for layer in found.layers:
            if formats.is_gzip(layer.blob.media_type) and bucket.text(str(layer.diff_id)) is None:
                bucket.put(str(layer.diff_id), {"digest": str(layer.blob.digest), "size_bytes": layer.blob.size_bytes})

    def _known(self, asked: Asked) -> tuple[Image, Digest] | None:
        """Return the image of a name, and its digest there, if it still is what the image registry has."""
        catalog, reference = self._shared.catalog, asked.reference
        former = self._former(reference)
        if former is None:
            return None
        image = catalog.image_meant(str(reference))
        if not rank(image.platform, asked.platform) or not self._is_whole(image):
            return None  # of an index there may be another one
        known = {
            each.digest for each in image.digests if (each.domain, each.path) == (reference.domain, reference.path)
        }
        if not known:
            return None
        digest = reference.digest or self._registry.resolve(reference, asked.credentials)[0]
        if digest not in known:
            return None
        # The same image may have come by that digest under another manifest than by this tag.
        there = catalog.meant(str(evolve(reference, tag="", digest=digest)))
        return (image, digest) if there.manifest == catalog.meant(str(reference)).manifest else None

    def _is_whole(self, image: Image) -> bool:
        """Whether all blobs and layers of an image are here; one that a full disk or a hand took is fetched again."""
        shared = self._shared
        with shared.parts.content.lease() as lease:
            record = shared.catalog.record(image.id).under(str(image.digest))
            wanted = (record.id, record.manifest.digest) if shared.parts.drop_blobs else tuple(record.blobs())
            blobs = all(lease.hold(each) for each in wanted)
        return blobs and all(shared.layers.has(str(each)) for each in chain_ids(image.layers))

    def _former(self, reference: ImageReference) -> Digest | None:
        """Return the image that just this name means now."""
        try:
            found, name = self._shared.catalog.find(str(reference))
        except NotFound:
            return None
        return found if name is not None else None

    def _found(self, fetching: Fetching, data: bytes, descriptor: Descriptor) -> Found:
        """Fetch an image's config, and store its manifest."""
        manifest = parse_image(fetching.reference, data)
        limits, total = self._shared.parts.limits, sum(each.size_bytes for each in manifest.layers)
        if total > limits.bytes:
            raise Invalid(f"the image has {total} bytes compressed; it may unpack to {limits.bytes} at most")
        config = fetching.document(manifest.config)
        with self._shared.parts.content.writer(new_ref(), fetching.lease, algorithm=descriptor.digest.algorithm) as out:
            out.write(data)
            out.commit(descriptor.digest, size_bytes=len(data))
        media_type = descriptor.media_type if descriptor.media_type == manifest.media_type else manifest.media_type
        return checked(evolve(descriptor, media_type=media_type), manifest, config, ())

    def _work(self, fetching: Fetching, found: Found) -> Iterator[Progress]:
        """Fetch and unpack the layers that aren't here."""
        layers, shared = found.layers, self._shared
        chains = chain_ids(each.diff_id for each in layers)
        pairs = tuple(zip(layers, chains, strict=True))
        here = {
            layer.blob.digest
            for layer, chain in pairs
            if (shared.parts.drop_blobs or fetching.has(layer.blob)) and shared.layers.has(str(chain))
        }
        if not (shared.catalog.has(found.config.digest) and len(here) == len({each.blob.digest for each in layers})):
            for layer in layers:
                said = "Already exists" if layer.blob.digest in here else "Pulling fs layer"
                yield Progress(said, short(layer.blob.digest))
        wanted = list({each.blob.digest: each.blob for each in layers if each.blob.digest not in here}.values())
        for blob in wanted[_AT_ONCE:]:
            yield Progress("Waiting", short(blob.digest))
        ready = {each.digest: threading.Event() for each in wanted}

        def download(blob: Descriptor, tell: Tell) -> None:
            fetching.fetch(blob, tell)
            ready[blob.digest].set()

        def unpack(tell: Tell) -> None:
            self._unpack(fetching.crew, layers, ready, tell)

        jobs = [lambda tell, blob=blob: download(blob, tell) for blob in wanted]
        try:
            yield from fetching.crew.work((_AT_ONCE, jobs), (1, [unpack]))
        except HostUnfit:  # a full disk, which has no room for what could be gone on with
            for blob in wanted:
                fetching.forget(blob)
            raise

    def _unpack(self, crew: Crew, layers: Sequence[Layer], ready: dict[Digest, threading.Event], tell: Tell) -> None:
        """Unpack layers in order, each once it has come."""

        def begin(layer: Layer) -> None:
            event = ready.get(layer.blob.digest)
            while event is not None and not event.wait(0.1):
                crew.check()

        last = 0.0

        def told(layer: Layer, done: int) -> None:
            nonlocal last
            crew.check()
            now = time.monotonic()
            if now - last >= TELL_S:
                last = now
                tell(Progress("Extracting", short(layer.blob.digest), done, layer.blob.size_bytes))

        for layer in self._shared.layers.ensure(layers, begin, told):
            if layer.blob.digest in ready:
                tell(Progress("Pull complete", short(layer.blob.digest)))


def _label(reference: ImageReference) -> str:
    return references.familiar(reference) if reference.digest else reference.tag
