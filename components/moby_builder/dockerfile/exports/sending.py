"""Sending packed images to image registries: blobs first, side by side, then what names them, the top last."""

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

from moby.contracts.image_registry import Credentials, ImageRegistry, Manifest
from moby.contracts.types import ImageReference
from moby.oci import image as formats
from moby.oci import reference as references
from moby.values import evolve
from moby_builder.dockerfile.exports.layers import LayerBlob
from moby_builder.dockerfile.exports.packed import Document, Packed
from moby_builder.dockerfile.solver.effects import Watch

__all__ = ["Sending"]

_AT_ONCE = 4


class Sending:
    """Sends what is packed to one repository."""

    def __init__(
        self,
        registry: ImageRegistry,
        reference: ImageReference,
        credentials: Credentials | None,
        open_layer: Callable[[LayerBlob], BinaryIO],
        watch: Watch,
    ) -> None:
        self._registry = registry
        self._reference = reference
        self._credentials = credentials
        self._open_layer = open_layer
        self._watch = watch

    def send(self, packed: Packed, *, by_digest: bool = False) -> None:
        """Send images with all that they consist of, under the reference's tag or by their digest alone."""
        shown = references.familiar(evolve(self._reference, digest=None))
        manifests = {each.manifest.descriptor.digest for each in packed.images}
        manifests |= {each.attestation[1].descriptor.digest for each in packed.images if each.attestation}
        documents = packed.documents()
        self._watch.progress("pushing layers")
        with ThreadPoolExecutor(_AT_ONCE, "pushing") as pool:
            jobs = [pool.submit(self._layer, each) for each in packed.layers()]
            jobs += [
                pool.submit(self.blob, each)
                for each in documents
                if each.descriptor.digest not in manifests and each is not packed.top
            ]
            for job in jobs:
                job.result()
        self._watch.progress("pushing layers", done=True)
        for each in documents:
            if each.descriptor.digest in manifests and each.descriptor.digest != packed.descriptor.digest:
                self.manifest(each, tagged=False)
        name = f"pushing manifest for {shown}@{packed.descriptor.digest}"
        self._watch.progress(name)
        self.manifest(packed.top, tagged=not by_digest)
        self._watch.progress(name, done=True)

    def blob(self, document: Document) -> None:
        """Send a small blob."""
        self._watch.cancel.check()
        found = document.descriptor
        self._registry.push_blob(
            self._reference, found.digest, found.size_bytes, lambda: io.BytesIO(document.data), self._credentials
        )

    def manifest(self, document: Document, *, tagged: bool) -> None:
        """Send a manifest or an index, whose blobs are there."""
        self._watch.cancel.check()
        found = document.descriptor
        target = self._reference if tagged else evolve(self._reference, tag="", digest=found.digest)
        manifest = Manifest(found.digest, found.media_type or formats.MANIFEST, document.data)
        self._registry.push_manifest(target, manifest, self._credentials)

    def _layer(self, blob: LayerBlob) -> None:
        self._watch.cancel.check()

        def progress(done: int) -> None:
            self._watch.cancel.check()
            self._watch.progress(f"pushing {blob.digest}", done, blob.size_bytes)

        self._registry.push_blob(
            self._reference, blob.digest, blob.size_bytes, lambda: self._open_layer(blob), self._credentials,
            progress=progress,
        )  # fmt: skip
