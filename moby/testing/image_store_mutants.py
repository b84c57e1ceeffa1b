"""Mutants of a store that has all of the contract `images`: each breaks one promise that its suite must see."""

import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, BinaryIO

from moby.contracts.content import Lease
from moby.contracts.images import (
    Change,
    Filters,
    Fixture,
    HistoryStep,
    Image,
    ImageConfig,
    Images,
    ImageUsage,
    Progress,
    Pruned,
    Removal,
    RootSizes,
    StoredLayer,
)  # fmt: skip
from moby.contracts.snapshotter import ChangeKind
from moby.contracts.types import Digest, ImageReference, Mount, Platform
from moby.errors import Conflict, Corrupt, Invalid, MobyError, NotFound
from moby.oci.digest import sha256
from moby.oci.reference import parse
from moby.testing.mutants import Broken, Mutant
from moby.values import evolve

__all__ = ["MUTANTS"]

_Broken = Broken[Images]


class _ShowsAllNames(_Broken):
    def list(self, filters: Filters | None = None, *, all: bool = False) -> tuple[Image, ...]:
        return tuple(self.inner.get(str(each.id)) for each in self.inner.list(filters, all=all))


class _LoadsNoNames(_Broken):
    def load(self, stream: BinaryIO, *, platform: Platform | None = None) -> Iterator[Progress]:
        for each in self.inner.load(stream, platform=platform):
            for name in each.image.references if each.image else ():
                with suppress(MobyError):
                    self.inner.tag(str(name), parse("other:1"))
                    self.inner.remove(str(name))
            yield each


class _TellsNothing(_Broken):
    def load(self, stream: BinaryIO, *, platform: Platform | None = None) -> Iterator[Progress]:
        for each in self.inner.load(stream, platform=platform):
            yield evolve(each, text=each.text if each.text.startswith("Loaded") else "")


class _IgnoresPlatform(_Broken):
    def load(self, stream: BinaryIO, *, platform: Platform | None = None) -> Iterator[Progress]:
        return self.inner.load(stream)


class _ForgivesArchives(_Broken):
    def load(self, stream: BinaryIO, *, platform: Platform | None = None) -> Iterator[Progress]:
        with suppress(Invalid, Corrupt):
            yield from self.inner.load(stream, platform=platform)


class _KeepsHalf(_Broken):
    def load(self, stream: BinaryIO, *, platform: Platform | None = None) -> Iterator[Progress]:
        try:
            yield from self.inner.load(stream, platform=platform)
        except MobyError:
            self.inner.add(parse("half"), [], ImageConfig())
            raise


class _SavesByChance(_Broken):
    count = 0

    def save(self, names: Sequence[str]) -> Iterator[bytes]:
        _SavesByChance.count += 1
        yield from self.inner.save(names)
        yield bytes(512 * _SavesByChance.count)


class _SavesOneTag(_Broken):
    def save(self, names: Sequence[str]) -> Iterator[bytes]:
        return self.inner.save([name if ":" in name else f"{name}:1" for name in names if name != "a"] or ["a:1"])


class _ImportsWithoutChanges(_Broken):
    def import_(self, stream: BinaryIO, reference: ImageReference | None = None, **options: Any) -> Image:
        return self.inner.import_(stream, reference, **{**options, "changes": ()})


class _CommitsWithoutChanges(_Broken):
    def commit(self, container_id: str, reference: ImageReference | None = None, **options: Any) -> Image:
        return self.inner.commit(container_id, reference, **{**options, "author": ""})


class _HidesDeletions(_Broken):
    def changes(self, container_id: str) -> tuple[Change, ...]:
        return tuple(each for each in self.inner.changes(container_id) if each.kind is not ChangeKind.DELETED)


class _CountsTwice(_Broken):
    def sizes(self, container_id: str) -> RootSizes:
        found = self.inner.sizes(container_id)
        return RootSizes(found.root_bytes, found.root_bytes)


class _PreparesAgain(_Broken):
    def prepare(self, container_id: str, image: Image, **options: Any) -> tuple[Mount, ...]:
        try:
            return self.inner.prepare(container_id, image, **options)
        except Conflict:
            return self.inner.mounts(container_id)


class _PreparesWithoutSkeleton(_Broken):
    def prepare(self, container_id: str, image: Image, **options: Any) -> tuple[Mount, ...]:
        return self.inner.prepare(container_id, image)


class _ForgetsLinks(_Broken):
    def prepare(self, container_id: str, image: Image, *, skeleton: Sequence[Fixture] = ()) -> tuple[Mount, ...]:
        return self.inner.prepare(container_id, image, skeleton=[each for each in skeleton if not each.link])


class _InventsHistory(_Broken):
    def history(self, name: str) -> tuple[HistoryStep, ...]:
        return self.inner.history(name) or (HistoryStep(),)


class _HoldsNothing(_Broken):
    def prepared(self) -> Mapping[str, Digest]:
        return {}


class _RemovesWhatIsUsed(_Broken):
    def remove(self, name: str, **options: Any) -> tuple[Removal, ...]:
        return self.inner.remove(name, force=True)


class _RemovesWhatRuns(_Broken):
    def remove(self, name: str, *, running: Collection[str] = (), **options: Any) -> tuple[Removal, ...]:
        return self.inner.remove(name, **options)


class _NeverPrunesParents(_Broken):
    def remove(self, name: str, **options: Any) -> tuple[Removal, ...]:
        return self.inner.remove(name, **{**options, "prune": False})


class _TellsNoLayers(_Broken):
    def remove(self, name: str, **options: Any) -> tuple[Removal, ...]:
        found = self.inner.remove(name, **options)
        deleted = [each for each in found if each.deleted]
        return tuple(each for each in found if each not in deleted[1:])


class _PrunesAll(_Broken):
    def prune(self, filters: Filters | None = None) -> Pruned:
        return self.inner.prune({**(filters or {}), "dangling": ["false"]})


class _FreesNothing(_Broken):
    def prune(self, filters: Filters | None = None) -> Pruned:
        return evolve(self.inner.prune(filters), reclaimed_bytes=0)


class _IgnoresFilters(_Broken):
    def list(self, filters: Filters | None = None, *, all: bool = False) -> tuple[Image, ...]:
        return self.inner.list(all=all)


class _ForgivesFilters(_Broken):
    def list(self, filters: Filters | None = None, *, all: bool = False) -> tuple[Image, ...]:
        try:
            return self.inner.list(filters, all=all)
        except (Invalid, NotFound):
            return ()


class _HistoryBackwards(_Broken):
    def history(self, name: str) -> tuple[HistoryStep, ...]:
        return self.inner.history(name)[::-1]


class _SharesNothing(_Broken):
    def usage(self) -> tuple[ImageUsage, ...]:
        return tuple(evolve(each, shared_bytes=0) for each in self.inner.usage())


class _CutsExport(_Broken):
    def export(self, container_id: str) -> Iterator[bytes]:
        data = io.BytesIO(b"".join(self.inner.export(container_id))).read()
        yield data[:512] + bytes(1024)


class _AdoptsWithoutNames(_Broken):
    def adopt(self, snapshot: str, config: Mapping[str, Any], references: Any = (), **options: Any) -> Image:
        return self.inner.adopt(snapshot, config, references[:1], **options)


class _AdoptsWithoutAnnotations(_Broken):
    def adopt(self, snapshot: str, config: Mapping[str, Any], references: Any = (), **options: Any) -> Image:
        return self.inner.adopt(snapshot, config, references, **{**options, "annotations": None})


class _AdoptsAnything(_Broken):
    def adopt(self, snapshot: str, config: Mapping[str, Any], references: Any = (), **options: Any) -> Image:
        return self.inner.adopt(snapshot, {"architecture": "amd64", **config}, references, **options)


class _LendsNoKeys(_Broken):
    """Gives its own key instead of one of the caller's."""

    def snapshot(self, image: Image, key: str = "") -> str:
        return self.inner.snapshot(image)


class _InventsLayers(_Broken):
    def layers(self, snapshot: str, lease: Lease) -> tuple[StoredLayer, ...]:
        found = self.inner.layers(snapshot, lease)
        return found or (StoredLayer(sha256(b""), sha256(b""), 0, "any"),)


class _ForgetsBlobs(_Broken):
    """Takes all layers for uncompressed ones."""

    def layers(self, snapshot: str, lease: Lease) -> tuple[StoredLayer, ...]:
        return tuple(evolve(each, digest=each.diff_id) for each in self.inner.layers(snapshot, lease))


class _UnpacksAgain(_Broken):
    """Takes a key that is taken for one that is wished for twice."""

    def unpack(self, layers: Sequence[StoredLayer], key: str) -> None:
        with suppress(Conflict):
            self.inner.unpack(layers, key)


class _CollectsNothing(_Broken):
    def collect(self) -> int:
        return 0


_HOSTILE = {"data": b"nothing like a tar" * 100, "error": Invalid, "text": "archive"}

MUTANTS = (
    Mutant(_LoadsNoNames, "test_archives_of_every_age", {"kind": "docker", "pack": bytes}),
    Mutant(_TellsNothing, "test_a_name_that_moves_is_told"),
    Mutant(_IgnoresPlatform, "test_a_platform_is_chosen"),
    Mutant(_ForgivesArchives, "test_hostile_archives", _HOSTILE),
    Mutant(_KeepsHalf, "test_hostile_archives", _HOSTILE),
    Mutant(_SavesByChance, "test_save_load_save"),
    Mutant(_SavesOneTag, "test_save_by_repository_and_id"),
    Mutant(_ImportsWithoutChanges, "test_import", {"pack": bytes}),
    Mutant(_CommitsWithoutChanges, "test_commit"),
    Mutant(_AdoptsWithoutNames, "test_a_snapshot_is_adopted"),
    Mutant(_AdoptsWithoutAnnotations, "test_a_snapshot_is_adopted"),
    Mutant(_LendsNoKeys, "test_a_snapshot_is_adopted"),
    Mutant(_LendsNoKeys, "test_what_cannot_be_adopted"),
    Mutant(_AdoptsAnything, "test_what_cannot_be_adopted"),
    Mutant(_InventsLayers, "test_an_image_without_layers"),
    Mutant(_ForgetsBlobs, "test_layers_of_a_snapshot"),
    Mutant(_UnpacksAgain, "test_layers_are_unpacked"),
    Mutant(_CollectsNothing, "test_what_lay_under_a_snapshot_is_collected"),
    Mutant(_HidesDeletions, "test_a_container_has_a_layer"),
    Mutant(_CountsTwice, "test_a_container_has_a_layer"),
    Mutant(_PreparesAgain, "test_a_container_has_a_layer"),
    Mutant(_PreparesWithoutSkeleton, "test_a_skeleton"),
    Mutant(_ForgetsLinks, "test_a_skeleton"),
    Mutant(_InventsHistory, "test_no_history"),
    Mutant(_HoldsNothing, "test_a_container_has_a_layer"),
    Mutant(_CutsExport, "test_a_container_has_a_layer"),
    Mutant(_RemovesWhatIsUsed, "test_an_image_in_use_stays"),
    Mutant(_RemovesWhatRuns, "test_an_image_in_use_stays"),
    Mutant(_NeverPrunesParents, "test_nameless_parents_go_too"),
    Mutant(_TellsNoLayers, "test_layers_that_others_have_stay"),
    Mutant(_PrunesAll, "test_prune"),
    Mutant(_FreesNothing, "test_prune"),
    Mutant(_IgnoresFilters, "test_filters"),
    Mutant(_ForgivesFilters, "test_filters"),
    Mutant(_ShowsAllNames, "test_filters"),
    Mutant(_HistoryBackwards, "test_commit"),
    Mutant(_SharesNothing, "test_usage"),
)
