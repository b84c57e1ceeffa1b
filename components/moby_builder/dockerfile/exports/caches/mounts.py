"""Cache mounts in caches: what steps keep between builds goes along, each as a layer on nothing.

BuildKit leaves them out. Here a cache's config names them beside its layers, where BuildKit passes over them.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from attrs import frozen

from moby.contracts.content import Content, Lease
from moby.contracts.snapshotter import Snapshotter
from moby.errors import Invalid
from moby.oci import compression
from moby.oci import digest as digests
from moby.oci import image as formats
from moby_builder.dockerfile.effects.cache_mounts import CacheMounts
from moby_builder.dockerfile.exports.compressing import compressed
from moby_builder.dockerfile.exports.layers import LayerBlob, written
from moby_builder.dockerfile.exports.options import Compression, Options
from moby_builder.dockerfile.exports.solution import Solution
from moby_builder.dockerfile.operations import MountKind, Run, ancestors
from moby_builder.dockerfile.solver.effects import Watch

__all__ = ["CarriedMount", "CarriedMounts", "mounts_in"]

_TYPES = {
    Compression.UNCOMPRESSED: formats.LAYER, Compression.GZIP: formats.LAYER_GZIP, Compression.ZSTD: formats.LAYER_ZSTD,
}  # fmt: skip


@frozen
class CarriedMount:
    """A cache mount on its way."""

    id: str
    description: str
    blob: LayerBlob

    def document(self) -> dict[str, Any]:
        """Return it as a cache's config has it."""
        return {
            "id": self.id, "description": self.description, "blob": str(self.blob.digest),
            "size": self.blob.size_bytes, "mediaType": self.blob.media_type,
        }  # fmt: skip


class CarriedMounts:
    """Packs and unpacks cache mounts; those that begin with another tree's files stay where they are."""

    def __init__(self, mounts: CacheMounts, snapshotter: Snapshotter, content: Content) -> None:
        self._mounts = mounts
        self._snapshotter = snapshotter
        self._content = content

    def pack(self, solution: Solution, options: Options, lease: Lease, watch: Watch) -> Iterator[CarriedMount]:
        """Yield those that a build's steps have; one that a step has alone is left out, and told."""
        for mount_id in _used(solution):
            watch.cancel.check()
            with self._mounts.read(mount_id) as found:
                if found is None:
                    watch.log(2, f"the cache mount {mount_id} is in use or gone, and is left out\n".encode())
                    continue
                chunks = compressed(self._snapshotter.diff(found.key), options.compression, options.level)
                blob = written(self._content, lease, chunks)
                media_type = _TYPES[options.compression]
                made = LayerBlob(blob.digest, blob.digest, blob.size_bytes, media_type, found.created_ns)
                yield CarriedMount(mount_id, found.description, made)

    def has(self, mount_id: str) -> bool:
        """Whether there is one already, which stays as it is."""
        return self._mounts.has(mount_id)

    def unpack(self, mount: CarriedMount) -> None:
        """Make one of a blob that is here; one that somebody made meanwhile stays."""
        with self._content.open(mount.blob.digest, size_bytes=mount.blob.size_bytes) as blob:
            self._mounts.bring(mount.id, mount.description, compression.plain(blob))


def mounts_in(config: bytes) -> Sequence[CarriedMount]:
    """Read what a cache's config says of mounts; Invalid names what is wrong."""
    found = json.loads(config).get("mounts") or []
    if not isinstance(found, list):
        raise Invalid("the cache's config is invalid: its mounts aren't a list")
    return tuple(_mount(number, each) for number, each in enumerate(found))


def _mount(number: int, value: Any) -> CarriedMount:
    try:
        size, digest = value["size"], digests.parse(str(value["blob"]))
        if not isinstance(size, int) or size < 0:
            raise ValueError("it has no size")
        blob = LayerBlob(digest, digest, size, str(value["mediaType"]))
        return CarriedMount(str(value["id"]), str(value["description"]), blob)
    except (KeyError, TypeError, ValueError):
        raise Invalid(f"the cache's mount {number} lacks its description") from None


def _used(solution: Solution) -> Sequence[str]:
    """Return the ids of the cache mounts of all steps, sorted."""
    roots = [each.root for each in solution.targets if each.root is not None]
    runs = [each.operation for each in ancestors(*roots) if isinstance(each.operation, Run)]
    mounts = [mount for run in runs for mount in run.mounts]
    return sorted({each.id for each in mounts if each.kind is MountKind.CACHE and each.input < 0})
