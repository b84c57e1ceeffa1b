"""Adopting: snapshots that somebody else made become an image, without being unpacked again."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from moby.contracts.content import Lease
from moby.contracts.images import Image, StoredLayer
from moby.contracts.snapshotter import Snapshot
from moby.contracts.types import Digest, ImageReference
from moby.errors import Conflict, Invalid
from moby.oci import digest as digests
from moby.oci import image as formats
from moby.oci import reference as references
from moby.oci.image import Descriptor
from moby_images.store.catalog import chain_ids
from moby_images.store.layers import Layer
from moby_images.store.making import Making
from moby_images.store.parts import Shared
from moby_images.store.storing import layers_of

__all__ = ["Adopting"]


class Adopting:
    """Gives snapshots to images, and images' snapshots to others."""

    def __init__(self, shared: Shared, making: Making) -> None:
        self._shared = shared
        self._making = making
        self._snapshotter = shared.parts.snapshotter

    def snapshot(self, image: Image, key: str) -> str:
        """Return the key of what all layers of an image show."""
        with self._shared.storing():
            record = self._shared.catalog.record(image.id)
            diff_ids = self._shared.catalog.config(record).diff_ids
            return self._lend(layers_of(record, diff_ids), key) if diff_ids else ""

    def unpack(self, layers: Sequence[StoredLayer], key: str) -> None:
        """Make a snapshot of layers."""
        if not layers:
            raise Invalid("there is no layer to be unpacked")
        with self._shared.storing():
            self._lend([Layer(_blob(each), each.diff_id) for each in layers], key)

    def _lend(self, layers: Sequence[Layer], key: str) -> str:
        """Unpack layers, and keep their blobs for as long as their snapshots."""
        for _ in self._shared.layers.ensure(layers):
            pass
        chains = [str(each) for each in chain_ids(each.diff_id for each in layers)]
        if key:
            self._snapshotter.link(chains[-1], key)
            self._note(key, _stored(layers[-1]), lent=True)
        for chain, layer in zip(chains, layers, strict=True):
            self._note(chain, _stored(layer), lent=True)
        return key or chains[-1]

    def layers(self, snapshot: str, lease: Lease) -> tuple[StoredLayer, ...]:
        """Return the layers of a snapshot with their blobs."""
        with self._shared.storing():
            return tuple(self._layers(self._chain(snapshot), lease))

    def adopt(
        self,
        snapshot: str,
        config: Mapping[str, Any],
        names: Sequence[ImageReference],
        annotations: Mapping[str, str],
        parent: Digest | None,
    ) -> Image:
        """Make an image of a snapshot."""
        shared = self._shared
        with shared.storing(), shared.parts.content.lease() as lease:
            chain = self._chain(snapshot)
            found = tuple(self._layers(chain, lease, may_lack=shared.parts.drop_blobs))
            self._name([each.diff_id for each in found], chain)
            rootfs = {"type": "layers", "diff_ids": [str(each.diff_id) for each in found]}
            text = _json({**config, "rootfs": rootfs})
            layers = [Layer(_blob(each), each.diff_id) for each in found]
            record = shared.catalog.record(parent) if parent else None
            image = self._making.finish(lease, text, layers, names, parent=record, annotations=annotations)
        shared.tell("create", image)
        for each in names:
            shared.tell("tag", image, references.familiar(each))
        return image

    def _layers(self, chain: Sequence[Snapshot], lease: Lease, *, may_lack: bool = False) -> Iterator[StoredLayer]:
        def held(layer: StoredLayer | None) -> StoredLayer | None:
            """Return a layer if its blob is here, which is kept then, or needn't be."""
            return layer if layer is not None and (lease.hold(layer.digest) or may_lack) else None

        known: dict[str, StoredLayer] | None = None
        for snapshot in chain:
            names = (snapshot.key, *snapshot.aliases)
            found = next(filter(None, (held(self._noted(each)) for each in names)), None)
            if found is None:
                known = self._known() if known is None else known
                found = next(filter(None, (held(known.get(each)) for each in names)), None)
            yield found or self._diffed(snapshot.key, lease)

    def _chain(self, key: str) -> list[Snapshot]:
        """Return a snapshot and those below, the lowest first."""
        chain = []
        while key:
            chain.append(self._snapshotter.stat(key))
            key = chain[-1].parent
        return chain[::-1]

    def _known(self) -> dict[str, StoredLayer]:
        """Return the layers that images have, by chain id."""
        catalog, found = self._shared.catalog, dict[str, StoredLayer]()
        for record in catalog.records().values():
            diff_ids = catalog.config(record).diff_ids
            for chain, layer in zip(chain_ids(diff_ids), layers_of(record, diff_ids), strict=True):
                found.setdefault(str(chain), _stored(layer))
        return found

    def _noted(self, key: str) -> StoredLayer | None:
        """Return a layer that was lent, or written before."""
        noted = self._shared.noted.get(key)
        if noted is None:
            return None
        diff_id, digest = digests.parse(noted["diff_id"]), digests.parse(noted["digest"])
        return StoredLayer(diff_id, digest, noted["size_bytes"], noted["media_type"])

    def _note(self, key: str, layer: StoredLayer, *, lent: bool) -> None:
        document = {
            "diff_id": str(layer.diff_id), "digest": str(layer.digest), "size_bytes": layer.size_bytes,
            "media_type": layer.media_type, "lent": lent,
        }  # fmt: skip
        if self._shared.noted.get(key) != document:
            self._shared.noted.put(key, document)

    def _diffed(self, key: str, lease: Lease) -> StoredLayer:
        """Write a snapshot's layer down, hashed as it is read."""
        blob = self._making.write(lease, self._snapshotter.diff(key))
        layer = StoredLayer(blob.digest, blob.digest, blob.size_bytes, formats.LAYER)
        self._note(key, layer, lent=False)
        return layer

    def _name(self, diff_ids: Sequence[Digest], snapshots: Sequence[Snapshot]) -> None:
        """Give snapshots the keys that images look for; where there is such a one, that is used."""
        for chain, snapshot in zip(map(str, chain_ids(diff_ids)), snapshots, strict=True):
            if chain not in (snapshot.key, *snapshot.aliases) and not self._shared.layers.has(chain):
                with suppress(Conflict):
                    self._snapshotter.link(snapshot.key, chain)


def _blob(layer: StoredLayer) -> Descriptor:
    return Descriptor(layer.media_type, layer.digest, layer.size_bytes)


def _stored(layer: Layer) -> StoredLayer:
    return StoredLayer(layer.diff_id, layer.blob.digest, layer.blob.size_bytes, layer.blob.media_type)


def _json(values: Mapping[str, Any]) -> bytes:
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
