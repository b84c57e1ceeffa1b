"""Writing caches: into images, to image registries, into folders of the client's."""

import base64
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from moby.contracts.builder import CacheExport, CacheWritten, Export, ExportType, Session
from moby.contracts.content import Content
from moby.contracts.image_registry import ImageRegistry, Manifest
from moby.errors import Invalid, MobyError, NotFound, Unsupported
from moby.oci import image as formats
from moby.oci import reference as references
from moby.oci.image import Descriptor, Index
from moby.values import evolve
from moby_builder.dockerfile.exports.caches.format import CONFIG, INLINE, Listing
from moby_builder.dockerfile.exports.caches.mounts import CarriedMounts
from moby_builder.dockerfile.exports.layers import LayerBlob, Layers, chunks
from moby_builder.dockerfile.exports.options import Options, options_of
from moby_builder.dockerfile.exports.packed import Document, document
from moby_builder.dockerfile.exports.solution import Kept, Solution, Solved
from moby_builder.dockerfile.solver.effects import Cancel, Watch

__all__ = ["Writing"]

_KNOWN = {
    "inline": frozenset[str](),
    "registry": frozenset({"ref", "image-manifest", "ignore-error", "cache-mounts", "registry.insecure"}),
    "local": frozenset({"dest", "tag", "image-manifest", "ignore-error", "cache-mounts"}),
}
_LAYERS = frozenset({"compression", "compression-level", "force-compression", "oci-mediatypes"})
_STORE = "local:"
"""Before a folder's path, the name of the store that a client keeps there (buildkit, client/solve.go)."""


class Writing:
    """Writes caches."""

    def __init__(self, layers: Layers, content: Content, registry: ImageRegistry, mounts: CarriedMounts) -> None:
        self._layers = layers
        self._mounts = mounts
        self._content = content
        self._registry = registry

    def check(self, caches: Sequence[CacheExport]) -> None:
        """Raise Unsupported or Invalid where a cache is asked for that isn't written here."""
        for each in caches:
            known = _KNOWN.get(each.type)
            if known is None:
                raise Unsupported(
                    f"caches aren't written to {each.type[:40]!r} here", hint=f"known are {', '.join(_KNOWN)}"
                )
            for name in each.attributes:
                if name not in known | (_LAYERS if known else frozenset()):
                    raise Unsupported(f"a cache of type {each.type} has no attribute {name[:100]!r}")
            needed = {"registry": "ref", "local": "dest"}.get(each.type)
            if needed and not each.attributes.get(needed):
                raise Invalid(f"{each.type} cache exporter requires {needed}")
            if each.mode not in ("min", "max") or (each.type == "inline" and each.mode == "max"):
                raise Invalid(f"a cache of type {each.type} has no mode {each.mode[:40]!r}")
            _options(each)

    def inline(self, solved: Solved) -> dict[str, Any]:
        """Return what the config of an image says of the steps that made its layers."""
        numbers = {key: number for number, key in enumerate(self._layers.keys(solved.snapshot))}
        records = []
        for kept in self._chosen(solved, "min"):
            number = next((numbers[each] for each in self._layers.names(kept.snapshot) if each in numbers), None)
            for key in kept.keys if number is not None else ():
                records.append({"digest": f"sha256:{key}", "layers": [{"layer": number}], "identity": kept.identity})
        text = json.dumps(sorted(records, key=lambda each: str(each["digest"])), separators=(",", ":"))
        return {INLINE: base64.b64encode(text.encode()).decode()}

    def write(self, solution: Solution, cache: CacheExport, session: Session, watch: Watch) -> CacheWritten | None:
        """Write a cache; None where it couldn't be and that doesn't matter."""
        try:
            return self._write(solution, cache, session, watch)
        except MobyError as error:
            if not _flag(cache, "ignore-error"):
                raise
            watch.log(2, f"error writing the cache, which was ignored: {error.message}\n".encode())
            return None

    def _write(self, solution: Solution, cache: CacheExport, session: Session, watch: Watch) -> CacheWritten:
        options = _options(cache)
        with self._content.lease() as lease:
            watch.progress("preparing build cache for export")
            listing = Listing()
            for solved in solution.targets:
                for kept in self._chosen(solved, cache.mode):
                    blobs = self._layers.blobs(kept.snapshot, solved.base, options, lease, watch.cancel)
                    listing.add(kept, [evolve(each, own=True) for each in blobs])
            layers = {each.digest: each for each in listing.layers}
            if _flag(cache, "cache-mounts"):
                for mount in self._mounts.pack(solution, options, lease, watch):
                    listing.mounts.append(mount.document())
                    layers[mount.blob.digest] = mount.blob
            watch.progress("preparing build cache for export", done=True)
            config = document(listing.config(), CONFIG)
            top = _top(config, tuple(layers.values()), as_image=_flag(cache, "image-manifest"))
            if cache.type == "local":
                self._keep(cache, tuple(layers.values()), config, top, session, watch.cancel)
            else:
                self._send(cache, tuple(layers.values()), config, top, session, watch)
        found = top.descriptor
        return CacheWritten(cache.type, found.digest, found.media_type, found.size_bytes)

    def _chosen(self, solved: Solved, mode: str) -> Iterator[Kept]:
        """Yield the steps whose results go along: all that are there, or for `min` those whose layers the image has."""
        own = {each for key in self._layers.keys(solved.snapshot) for each in self._layers.names(key)}
        for each in solved.kept:
            with suppress(NotFound):
                names = self._layers.names(each.snapshot) if each.snapshot else ()
                if names and (mode == "max" or own.intersection(names)):
                    yield each

    def _keep(
        self,
        cache: CacheExport,
        layers: Sequence[LayerBlob],
        config: Document,
        top: Document,
        session: Session,
        cancel: Cancel,
    ) -> None:
        store = session.blobs(_STORE + cache.attributes["dest"])
        for each in layers:
            cancel.check()
            with self._layers.open(each) as file:
                store.write(each.digest, each.size_bytes, chunks(file))
        for made in (config, top):
            store.write(made.descriptor.digest, made.descriptor.size_bytes, iter([made.data]))

    def _send(
        self,
        cache: CacheExport,
        layers: Sequence[LayerBlob],
        config: Document,
        top: Document,
        session: Session,
        watch: Watch,
    ) -> None:
        reference = references.parse(cache.attributes["ref"])
        who = session.credentials(reference.domain)
        for each in layers:
            watch.cancel.check()
            watch.progress(f"writing layer {each.digest}")
            self._registry.push_blob(reference, each.digest, each.size_bytes, partial(self._layers.open, each), who)
            watch.progress(f"writing layer {each.digest}", done=True)
        found = config.descriptor
        self._registry.push_blob(reference, found.digest, found.size_bytes, lambda: io.BytesIO(config.data), who)
        name = f"writing cache manifest {top.descriptor.digest}"
        watch.progress(name)
        self._registry.push_manifest(
            reference, Manifest(top.descriptor.digest, top.descriptor.media_type, top.data), who
        )
        watch.progress(name, done=True)


def _options(cache: CacheExport) -> Options:
    """Return how the layers of a cache are to be."""
    asked = {"oci-mediatypes": "true", **{k: v for k, v in cache.attributes.items() if k in _LAYERS}}
    return options_of(Export(ExportType.OCI, attributes=asked))


def _flag(cache: CacheExport, name: str) -> bool:
    return cache.attributes.get(name, "").lower() in ("true", "1")


def _top(config: Document, layers: Sequence[LayerBlob], *, as_image: bool) -> Document:
    """Return what a cache is found by: an index that lists its blobs, or the manifest of what looks like an image."""
    described = tuple(Descriptor(each.media_type, each.digest, each.size_bytes) for each in layers)
    if as_image:
        manifest = formats.Manifest(config.descriptor, described)
        return document(formats.dump_manifest(manifest), formats.MANIFEST)
    return document(formats.dump_index(Index((*described, config.descriptor))), formats.INDEX)
