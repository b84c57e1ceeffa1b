"""What the store of images is made of."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress

from moby.contracts.ambient import Clock, Place
from moby.contracts.content import Content
from moby.contracts.events import Event, Events
from moby.contracts.images import Image
from moby.contracts.metadata import Metadata
from moby.contracts.snapshotter import SnapshotKind, Snapshotter
from moby.contracts.types import Digest
from moby.errors import Conflict, Corrupt, Invalid
from moby.host.locks import locked
from moby.oci import digest as digests
from moby.oci.unpack import Limits
from moby.values import frozen
from moby_images.store.catalog import Catalog, Record, chain_ids
from moby_images.store.layers import Layers

__all__ = ["INGEST", "SKELETON", "Parts", "Shared"]


@frozen
class Parts:
    """Other components, and the instance's place."""

    content: Content
    snapshotter: Snapshotter
    metadata: Metadata
    events: Events
    clock: Clock
    place: Place
    limits: Limits = Limits()  # frozen
    drop_blobs: bool = False
    """Whether the blobs of layers go once they are unpacked."""


INGEST = "images-"
"""What the names of ingests begin with, none of which is gone on with."""

SKELETON = "init/"
"""What the keys of skeletons begin with, before the chain id that they are on."""


class Shared:
    """What all that the store does goes through: the catalog, the layers, and the collection of what nobody needs.

    Whoever stores shares a lock that a collection takes alone. One that can't get it leaves a mark, and whoever
    stored last collects.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.catalog = Catalog(parts.metadata)
        self.compressed = parts.metadata.bucket("image-compressed")
        """By diff id, which gzip blob is known to hold a layer: one that was fetched, else one that was made."""
        self.noted = parts.metadata.bucket("image-layers")
        """By a snapshot's key, its layer: of one that was lent, whose blob is kept, or that was written for others."""
        self.published = parts.metadata.bucket("image-published")
        """By name, which image somebody else sent there, and by which digest."""
        self.layers = Layers(parts.content, parts.snapshotter, parts.place.run)
        self._lock = parts.place.run / "images.lock"
        self._wanted = parts.place.run / "collection-wanted"

    @contextmanager
    def storing(self) -> Iterator[None]:
        """Keep all layers for as long as something is stored."""
        self.parts.place.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with locked(self._lock, exclusive=False):
                yield
        finally:
            if self._wanted.exists():
                self.collect()

    def want_collection(self) -> None:
        """Have whoever stores last collect."""
        self._wanted.touch()

    def collect(self) -> int:
        """Remove blobs and layers that no image needs; return the bytes, or 0 where somebody stores meanwhile."""
        self.parts.place.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._wanted.touch()
        with locked(self._lock, wait=False) as got:
            if not got:
                return 0
            self._wanted.unlink(missing_ok=True)
            self.layers.sweep()
            self._drop_ingests()
            freed = self._drop_layers()
            for name, document in self.published.items():
                if not self.catalog.has(digests.parse(document["image"])):
                    self.published.delete(name)
            for gone in set(self.noted.keys()) - {each.key for each in self.parts.snapshotter.list()}:
                self.noted.delete(gone)
        self.parts.content.collect(self.roots)
        return freed

    def _drop_ingests(self) -> None:
        """Remove what killed processes had begun to store; nobody stores now."""
        content = self.parts.content
        with content.lease() as lease:
            for each in content.ingests():
                if each.ref.startswith(INGEST):
                    with suppress(Conflict), content.writer(each.ref, lease) as writer:
                        writer.abort()

    def _drop_layers(self) -> int:
        """Remove committed snapshots that aren't used, the topmost first; one that something is on stays."""
        try:
            records = self.catalog.records().values()
            chains = [chain_ids(self.catalog.config(each).diff_ids) for each in records]
            used = {str(chain) for each in chains for chain in each}
            whole = {str(each[-1]) if each else "" for each in chains}
        except (Corrupt, Invalid):
            return 0  # what a damaged image uses can't be told
        committed = {
            each.key: each.parent
            for each in self.parts.snapshotter.list()
            if each.kind is SnapshotKind.COMMITTED
            and (
                (each.key.startswith("sha256:") and each.key not in used)
                or (each.key.startswith(SKELETON) and each.parent not in whole)
            )
        }
        freed = 0
        while committed:
            leaves = [key for key in committed if key not in committed.values()]
            for key in leaves:
                del committed[key]
                with suppress(Conflict):
                    shared = self.parts.snapshotter.stat(key).aliases
                    size = 0 if shared else self.parts.snapshotter.usage(key).size_bytes
                    self.layers.drop(key)
                    freed += size
        return freed

    def roots(self) -> list[Digest]:
        """Return the digests of all blobs that images, and layers that were lent, are made of."""
        lent = [digests.parse(each["digest"]) for _, each in self.noted.items() if each["lent"]]
        unpacked: set[str] = set()
        if self.parts.drop_blobs:
            found = self.parts.snapshotter.list()
            unpacked = {each.key for each in found if each.kind is SnapshotKind.COMMITTED}
        return lent + [each for record in self.catalog.records().values() for each in self._needed(record, unpacked)]

    def _needed(self, record: Record, unpacked: Collection[str]) -> Iterator[Digest]:
        """Yield the blobs of an image but for layers whose snapshots need them no more."""
        try:
            chains = [str(each) for each in chain_ids(self.catalog.config(record).diff_ids)] if unpacked else []
        except (Corrupt, Invalid):
            chains = []  # what a damaged image uses can't be told
        dropped = {number for number, chain in enumerate(chains) if chain in unpacked}
        yield record.id
        for form in (record.form, *record.others):
            yield form.manifest.digest
            yield from (each.digest for number, each in enumerate(form.layers) if number not in dropped)

    def tell(self, action: str, image: Image | Digest, name: str = "", labels: Mapping[str, str] | None = None) -> None:
        """Publish what happened to an image; labels are an image's own, or those of one that may be gone."""
        identity = image if isinstance(image, Digest) else image.id
        labels = labels or {} if isinstance(image, Digest) else image.config.labels
        self.parts.events.publish(Event("image", action, str(identity), {**labels, "name": name or str(identity)}))
