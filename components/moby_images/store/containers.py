"""What containers have of images: layers of their own, which hold the images below."""

from collections.abc import Iterator, Sequence
from contextlib import suppress

from moby.contracts.images import Change, Fixture, Image, ImageUsage, RootSizes
from moby.contracts.types import Digest, Mount
from moby.errors import Conflict, Invalid, NotFound
from moby_images.store.catalog import Hold, chain_ids
from moby_images.store.parts import Shared
from moby_images.store.skeletons import Skeletons
from moby_images.store.storing import layers_of

__all__ = ["Containers"]


class Containers:
    """Layers of containers."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._catalog = shared.catalog
        self._snapshotter = shared.parts.snapshotter
        self._skeletons = Skeletons(shared)

    def prepare(self, container_id: str, image: Image, skeleton: Sequence[Fixture] = ()) -> tuple[Mount, ...]:
        """Make a writable layer, and hold the image with it."""
        key = f"container/{container_id}"
        with self._shared.storing():
            with self._catalog.metadata.transaction():
                record = self._catalog.record(image.id)
                self._catalog.hold(container_id, Hold(image.id, key))
            try:
                for _ in self._shared.layers.ensure(layers_of(record, self._catalog.config(record).diff_ids)):
                    pass  # they are there, unless somebody removed them
                chains = chain_ids(image.layers)
                below = self._skeletons.ensure(str(chains[-1]) if chains else "", skeleton)
                return self._prepared(key, below)
            except BaseException:
                self._catalog.let_go(container_id)
                raise

    def _prepared(self, key: str, below: str) -> tuple[Mount, ...]:
        try:
            return self._snapshotter.prepare(key, below)
        except Conflict:
            self._snapshotter.remove(key)  # of one that was killed between
            return self._snapshotter.prepare(key, below)

    def mounts(self, container_id: str) -> tuple[Mount, ...]:
        """Return what to mount."""
        return self._snapshotter.mounts(self._catalog.held(container_id).snapshot)

    def release(self, container_id: str) -> None:
        """Remove the layer, then forget it, then what nobody else needs of its image."""
        try:
            hold = self._catalog.held(container_id)
        except (Invalid, NotFound):
            return
        with suppress(NotFound):
            self._snapshotter.remove(hold.snapshot)
        self._catalog.let_go(container_id)
        if not self._catalog.has(hold.image):
            self._shared.collect()

    def changes(self, container_id: str) -> tuple[Change, ...]:
        """Return what is other than in the image."""
        return self._snapshotter.changes(self._catalog.held(container_id).snapshot)

    def export(self, container_id: str) -> Iterator[bytes]:
        """Yield the whole root as one tar."""
        return self._snapshotter.export(self._catalog.held(container_id).snapshot)

    def sizes(self, container_id: str) -> RootSizes:
        """Return what the root takes."""
        key = self._catalog.held(container_id).snapshot
        own = self._snapshotter.usage(key).size_bytes
        below, parent = 0, self._snapshotter.stat(key).parent
        while parent:
            below += self._snapshotter.usage(parent).size_bytes
            parent = self._snapshotter.stat(parent).parent
        return RootSizes(own, own + below)

    def usage(self, images: Sequence[Image]) -> tuple[ImageUsage, ...]:
        """Return what each image takes, and what of it others have too."""
        chains = {each.id: chain_ids(each.layers) for each in images}
        sizes = self._sizes(images)
        owners: dict[Digest, int] = {}
        for found in chains.values():
            for chain in found:
                owners[chain] = owners.get(chain, 0) + 1
        holds = self._catalog.holds()
        return tuple(
            ImageUsage(
                each,
                sum(sizes[chain] for chain in chains[each.id]),
                sum(sizes[chain] for chain in chains[each.id] if owners[chain] > 1),
                tuple(sorted(key for key, hold in holds.items() if hold.image == each.id)),
            )
            for each in images
        )

    def layers_bytes(self, images: Sequence[Image]) -> int:
        """Return what all layers take, each once."""
        return sum(self._sizes(images).values())

    def _sizes(self, images: Sequence[Image]) -> dict[Digest, int]:
        sizes: dict[Digest, int] = {}
        for each in images:
            for chain in chain_ids(each.layers):
                if chain not in sizes:
                    with suppress(NotFound):
                        sizes[chain] = self._snapshotter.usage(str(chain)).size_bytes
                    sizes.setdefault(chain, 0)
        return sizes
