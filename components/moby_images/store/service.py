"""Images as Docker keeps them; see the contract."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from moby.contracts.content import Lease
from moby.contracts.image_registry import Credentials, ImageRegistry
from moby.contracts.images import (
    Change,
    Filters,
    Fixture,
    HistoryStep,
    Image,
    ImageConfig,
    ImageUsage,
    Progress,
    Pruned,
    Removal,
    RootSizes,
    StoredLayer,
)  # fmt: skip
from moby.contracts.types import Digest, ImageReference, Mount, Platform
from moby.errors import Invalid, MobyError, NotFound
from moby.oci import reference as references
from moby.oci.reference import as_name
from moby.values import evolve
from moby_images.store.adopting import Adopting
from moby_images.store.catalog import Record, chain_ids
from moby_images.store.containers import Containers
from moby_images.store.dropping import lacking, missing
from moby_images.store.filters import LISTED, fitting, predicate
from moby_images.store.layers import Layer
from moby_images.store.making import Making
from moby_images.store.offers import Asked, describe
from moby_images.store.parts import Parts, Shared
from moby_images.store.pulling import Pulling
from moby_images.store.pushing import Pushing
from moby_images.store.removing import Removing
from moby_images.store.roots import Roots
from moby_images.store.saving import Saved, archive
from moby_images.store.storing import Storing

__all__ = ["Store"]


class Store:
    """Images over content, snapshots and metadata."""

    def __init__(self, parts: Parts, registry: ImageRegistry) -> None:
        self.storage = parts.snapshotter.name
        self._snapshotter = parts.snapshotter
        self._registry = registry
        self._shared = Shared(parts)
        self._catalog = self._shared.catalog
        self._storing = Storing(self._shared)
        self._pulling = Pulling(self._shared, self._storing, registry)
        self._pushing = Pushing(self._shared, registry)
        self._making = Making(self._shared, self._storing)
        self._adopting = Adopting(self._shared, self._making)
        self._removing = Removing(self._shared)
        self._containers = Containers(self._shared)
        self._roots = Roots(parts.place.state / "roots", parts.limits)

    def __enter__(self) -> "Store":
        self._shared.collect()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave all as it is."""

    def reclaim(self) -> None:
        """Remove what killed processes left."""
        self._shared.collect()

    def storage_details(self, name: str = "") -> Mapping[str, str]:
        """Return what the snapshotter says of itself, or of an image's topmost layer."""
        if not name:
            return self._snapshotter.details()
        layers = self.get(name).layers
        return self._snapshotter.details(str(chain_ids(layers)[-1])) if layers else {}

    # Storing and finding

    def add(
        self, reference: ImageReference, layers: Sequence[BinaryIO], config: ImageConfig, *, created: str = ""
    ) -> Image:
        """Store an image of uncompressed layer tars."""
        return self._making.add(as_name(reference), layers, config, created)

    def get(self, name: str) -> Image:
        """Find an image by name."""
        return self._catalog.image_meant(name)

    def list(self, filters: Filters | None = None, *, all: bool = False) -> tuple[Image, ...]:
        """Return all images that pass."""
        passes = predicate(filters or {}, LISTED, self.get, datetime.now(UTC))
        images = self._catalog.images()
        parents = {each.parent for each in images}
        shown = (each for each in images if all or each.references or each.digests or each.id not in parents)
        patterns = (filters or {}).get("reference", ())
        return tuple(fitting(each, patterns) for each in shown if passes(each))

    def history(self, name: str) -> tuple[HistoryStep, ...]:
        """Return the steps that an image was made by."""
        image = self.get(name)
        stored = self._catalog.config(self._catalog.record(image.id))
        sizes = iter(self._shared.layers.sizes(stored.diff_ids))
        steps = [
            HistoryStep(each.created, each.created_by, each.comment, 0 if each.empty_layer else next(sizes, 0))
            for each in stored.history
        ]
        return tuple(self._identified(steps[::-1], image))

    def _identified(self, steps: Sequence[HistoryStep], image: Image) -> Iterator[HistoryStep]:
        """Say of the topmost step, and of those of images that this one was made on, which image each is."""
        found: Image | None = image
        marks: dict[int, Image] = {}
        while found is not None:
            marks[len(steps) - len(self._catalog.config(self._catalog.record(found.id)).history)] = found
            parent = found.parent
            found = self._catalog.image(parent) if parent and self._catalog.has(parent) else None
        for number, step in enumerate(steps):
            mark = image if number == 0 else marks.get(number)
            yield evolve(step, id=mark.id, references=mark.references) if mark else step

    # Names

    def tag(self, name: str, reference: ImageReference) -> None:
        """Give an image one more name."""
        reference = as_name(reference)
        with self._catalog.metadata.transaction():
            identity, _ = self._catalog.find(name)
            self._catalog.name(reference, identity, self._catalog.manifest_of(name))
        self._shared.tell("tag", self._catalog.image(identity), references.familiar(reference))

    def remove(
        self, name: str, *, force: bool = False, prune: bool = True, running: Collection[str] = ()
    ) -> tuple[Removal, ...]:
        """Take a name away, and with the last one the image."""
        removals = self._removing.remove(name, force=force, prune=prune, running=running)
        if any(each.deleted for each in removals):
            self._shared.collect()
        return removals

    def prune(self, filters: Filters | None = None) -> Pruned:
        """Remove images that nothing uses."""
        return self._removing.prune(filters or {})

    # Image registries

    def pull(
        self, reference: ImageReference, credentials: Credentials | None = None, *, platform: Platform | None = None
    ) -> Iterator[Progress]:
        """Fetch and store an image."""
        return self._pulling.pull(reference, credentials, platform)

    def describe(
        self, reference: ImageReference, credentials: Credentials | None = None, *, platform: Platform | None = None
    ) -> Image:
        """Return an image of an image registry by its documents alone."""
        return describe(self._registry, Asked.of(reference, credentials, platform))

    def push(self, reference: ImageReference, credentials: Credentials | None = None) -> Iterator[Progress]:
        """Send an image."""
        return self._pushing.push(reference, credentials)

    def published(self, image: Image, reference: ImageReference, digest: Digest) -> None:
        """Know what an image registry has of an image."""
        self._pushing.published(image, as_name(reference), digest)

    # Archives

    def load(self, stream: BinaryIO, *, platform: Platform | None = None) -> Iterator[Progress]:
        """Store the images of an archive."""
        return self._storing.load(stream, platform or Platform.host())

    def save(self, names: Sequence[str]) -> Iterator[bytes]:
        """Yield an archive of images."""
        saved: dict[tuple[Digest, Digest], tuple[Record, set[ImageReference]]] = {}
        for name in names:
            for record, reference in self._named(name):
                _, kept = saved.setdefault((record.id, record.manifest.digest), (record, set()))
                if reference is not None:
                    kept.add(reference)
        images = [Saved(record, tuple(sorted(kept, key=str))) for _, (record, kept) in sorted(saved.items())]
        return archive(self._shared, images)

    def _named(self, name: str) -> Iterator[tuple[Record, ImageReference | None]]:
        """Yield what a name stands for: a repository's name for all its tags, where it has any."""
        try:
            asked = references.parse(name, default_tag=False)
        except Invalid:
            asked = None
        if asked is not None and not asked.tag and asked.digest is None:
            same = [
                each
                for each in self._catalog.names()
                if each.tag and (each.domain, each.path) == (asked.domain, asked.path)
            ]
            if same:
                yield from ((self._catalog.meant(str(each)), each) for each in same)
                return
        try:
            _, reference = self._catalog.find(name)
        except NotFound as error:  # which names it with the tag that it would have
            named = asked is not None and (asked.tag or asked.digest is not None) and not name.startswith("sha256:")
            text = "reference does not exist" if named else f"No such image: {name[:300]}"
            raise NotFound(text, hint=error.hint) from None
        yield self._catalog.meant(name), reference if reference is not None and reference.digest is None else None

    def import_(
        self,
        stream: BinaryIO,
        reference: ImageReference | None = None,
        *,
        changes: Sequence[str] = (),
        message: str = "",
        platform: Platform | None = None,
    ) -> Image:
        """Make an image with one layer of a tar."""
        named = as_name(reference) if reference else None
        return self._making.import_(stream, named, changes, message, platform or Platform.host())

    def export_layers(self, image: Image) -> Iterator[BinaryIO]:
        """Yield the uncompressed layer tars."""
        with self._opened(image) as layers:
            yield from layers

    # Roots

    @contextmanager
    def rootfs(self, image: Image) -> Iterator[Path]:
        """Lend a writable root file system of an image."""
        with self._opened(image) as layers, self._roots.unpacked(layers) as path:
            yield path

    @contextmanager
    def _opened(self, image: Image) -> "Iterator[tuple[BinaryIO, ...]]":
        """Open all layers at once, so that an image that is removed meanwhile can still be read."""
        record = self._catalog.record(image.id)
        diff_ids = self._catalog.config(record).diff_ids
        with ExitStack() as held:
            lease = held.enter_context(self._shared.parts.content.lease())
            if gone := missing(self._shared, record, lease):
                raise lacking(self._shared, record.id, min(gone))
            pairs = zip(record.layers, diff_ids, strict=True)
            yield tuple(held.enter_context(self._shared.layers.open(Layer(*pair))) for pair in pairs)

    def prepare(self, container_id: str, image: Image, *, skeleton: Sequence[Fixture] = ()) -> tuple[Mount, ...]:
        """Make a writable layer for a container."""
        return self._containers.prepare(container_id, image, skeleton)

    def mounts(self, container_id: str) -> tuple[Mount, ...]:
        """Return what to mount as a container's root."""
        return self._containers.mounts(container_id)

    def release(self, container_id: str) -> None:
        """Remove a container's layer."""
        self._containers.release(container_id)

    def prepared(self) -> Mapping[str, Digest]:
        """Return the ids of all containers that hold an image, and the image's."""
        return {key: hold.image for key, hold in self._catalog.holds().items()}

    def changes(self, container_id: str) -> tuple[Change, ...]:
        """Return what is other in a container than in its image."""
        return self._containers.changes(container_id)

    def export(self, container_id: str) -> Iterator[bytes]:
        """Yield the whole root of a container as one tar."""
        return self._containers.export(container_id)

    def sizes(self, container_id: str) -> RootSizes:
        """Return what a container's root takes."""
        return self._containers.sizes(container_id)

    def commit(
        self,
        container_id: str,
        reference: ImageReference | None = None,
        *,
        config: ImageConfig | None = None,
        changes: Sequence[str] = (),
        author: str = "",
        message: str = "",
        created_by: str = "",
    ) -> Image:
        """Make an image of a container's."""
        named = as_name(reference) if reference else None
        return self._making.commit(container_id, named, config, changes, author, message, created_by)

    # Snapshots

    def snapshot(self, image: Image, key: str = "") -> str:
        """Return the key of what all layers of an image show."""
        return self._adopting.snapshot(image, key)

    def layers(self, snapshot: str, lease: Lease) -> tuple[StoredLayer, ...]:
        """Return the layers of a snapshot with their blobs."""
        return self._adopting.layers(snapshot, lease)

    def unpack(self, layers: Sequence[StoredLayer], key: str) -> None:
        """Make a snapshot of layers."""
        self._adopting.unpack(layers, key)

    def adopt(
        self,
        snapshot: str,
        config: Mapping[str, Any],
        references: Sequence[ImageReference] = (),
        *,
        annotations: Mapping[str, str] | None = None,
        parent: Digest | None = None,
    ) -> Image:
        """Make an image of a snapshot."""
        return self._adopting.adopt(snapshot, config, [as_name(each) for each in references], annotations or {}, parent)

    def collect(self) -> int:
        """Remove what no image needs."""
        return self._shared.collect()

    # Figures

    def usage(self) -> tuple[ImageUsage, ...]:
        """Return what each image takes on disk."""
        return self._containers.usage(self.list(all=True))

    def layers_bytes(self) -> int:
        """Return what all layers take on disk."""
        return self._containers.layers_bytes(self.list(all=True))

    def health(self) -> str:
        """Say what is wrong with the store; empty where nothing is."""
        try:
            self._catalog.images()
        except MobyError as error:
            return error.message
        return ""
