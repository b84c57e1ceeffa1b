"""Mutants of a store of images: each breaks one promise of the contract, and names the test that must see it."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from attrs import evolve

from moby.contracts.images import Image, Images, Removal
from moby.contracts.types import Digest, ImageReference
from moby.errors import Conflict, NotFound
from moby.oci.reference import parse
from moby.testing.mutants import Broken, Mutant

__all__ = ["MUTANTS"]

_Broken = Broken[Images]


class _Nameless(_Broken):
    storage = ""


class _SaysNothing(_Broken):
    def storage_details(self, name=""):  # type: ignore[no-untyped-def]
        return {"Backing Filesystem": ""}


class _LosesConfig(_Broken):
    def add(self, reference, layers, config, *, created=""):  # type: ignore[no-untyped-def]
        return self.inner.add(reference, layers, evolve(config, user=""), created=created)


class _LosesTime(_Broken):
    def add(self, reference, layers, config, *, created=""):  # type: ignore[no-untyped-def]
        return self.inner.add(reference, layers, config)


class _TurnsLayersRound(_Broken):
    def add(self, reference, layers, config, *, created=""):  # type: ignore[no-untyped-def]
        return self.inner.add(reference, layers[::-1], config, created=created)


class _KeepsTakenName(_Broken):
    def add(self, reference, layers, config, *, created=""):  # type: ignore[no-untyped-def]
        with suppress(NotFound):
            return self.inner.get(str(reference))
        return self.inner.add(reference, layers, config, created=created)


class _ForgetsFormerImage(_Broken):
    def add(self, reference, layers, config, *, created=""):  # type: ignore[no-untyped-def]
        with suppress(NotFound):
            former = self.inner.get(str(reference))
            if former.references == (reference,):
                self.inner.remove(str(reference))
        return self.inner.add(reference, layers, config, created=created)


class _TakesDigests(_Broken):
    def add(self, reference, layers, config, *, created=""):  # type: ignore[no-untyped-def]
        return self.inner.add(evolve(reference, digest=None), layers, config, created=created)


class _StoresHalf(_Broken):
    def add(self, reference, layers, config, *, created=""):  # type: ignore[no-untyped-def]
        read: list[BinaryIO] = []
        try:
            read += (io.BytesIO(each.read()) for each in layers[:1])
            read += (io.BytesIO(each.read() + each.read()) for each in layers[1:])
        except Conflict:
            self.inner.add(reference, read, config, created=created)
            raise
        return self.inner.add(reference, read, config, created=created)


class _AlwaysNew(_Broken):
    def add(self, reference, layers, config, *, created=""):  # type: ignore[no-untyped-def]
        unique = {"n": str(len(self.inner.list()))} | dict(config.labels)
        return self.inner.add(reference, layers, evolve(config, labels=unique), created=created)


class _KnowsNamesOnly(_Broken):
    def get(self, name: str) -> Image:
        return self.inner.get(str(parse(name))) if ":" in name and "sha256" not in name else self._none(name)

    def _none(self, name: str) -> Image:
        raise NotFound(f"no {name}; here are {self.inner.list()}")


class _PrefersIds(_Broken):
    def get(self, name: str) -> Image:
        ids = [each for each in self.inner.list() if len(name) > 8 and each.id.hex.startswith(name)]
        return ids[0] if ids else self.inner.get(name)


class _TakesTheFirst(_Broken):
    def get(self, name: str) -> Image:
        found = [each for each in self.inner.list() if name and each.id.hex.startswith(name)]
        return found[0] if len(found) > 1 else self.inner.get(name)


class _ListsNothing(_Broken):
    def get(self, name: str) -> Image:
        try:
            return self.inner.get(name)
        except NotFound:
            raise NotFound(f"no image {name}") from None


class _Unsorted(_Broken):
    def list(self, *_: Any, **__: Any) -> tuple[Image, ...]:
        return self.inner.list()[::-1]


class _TagRenames(_Broken):
    def tag(self, name: str, reference: ImageReference) -> None:
        former = self.inner.get(name).references
        self.inner.tag(name, reference)
        for each in former:
            if each != reference:
                self.inner.remove(str(each))


class _TagRefusesTaken(_Broken):
    def tag(self, name: str, reference: ImageReference) -> None:
        with suppress(NotFound):
            raise Conflict(str(self.inner.get(str(reference)).id))
        self.inner.tag(name, reference)


class _RemovesSilently(_Broken):
    def remove(self, name: str, **_: Any) -> tuple[Removal, ...]:
        self.inner.remove(name)
        return ()


class _RemovesAllNames(_Broken):
    def remove(self, name: str, **_: Any) -> tuple[Removal, ...]:
        removals = self.inner.remove(name)
        for each in () if len(removals) > 1 else self.inner.list():
            for reference in each.references:
                self.inner.remove(str(reference))
        return removals


class _KeepsImage(_Broken):
    def remove(self, name: str, **_: Any) -> tuple[Removal, ...]:
        image = self.inner.get(name)
        if len(image.references) == 1:
            return Removal(f"{name}:latest"), Removal(str(image.id), deleted=True)
        return self.inner.remove(name)


class _Shared(_Broken):
    roots: dict[Digest, Any] = {}  # noqa: RUF012  # shared, which is the fault

    @contextmanager
    def rootfs(self, image: Image) -> Iterator[Path]:
        if image.digest not in self.roots:
            with self.inner.rootfs(image) as root:
                self.roots[image.digest] = root
                try:
                    yield root
                finally:
                    del self.roots[image.digest]
        else:
            yield self.roots[image.digest]


class _KeepsRoot(_Broken):
    @contextmanager
    def rootfs(self, image: Image) -> Iterator[Path]:
        try:
            with self.inner.rootfs(image) as root:
                yield root
        finally:
            root.mkdir(parents=True)


class _CutsLayers(_Broken):
    def export_layers(self, image: Image) -> Iterator[BinaryIO]:
        for each in self.inner.export_layers(image):
            with each:
                yield io.BytesIO(each.read(1 << 20))


MUTANTS = (
    Mutant(_Nameless, "test_it_says_what_keeps_layers"),
    Mutant(_SaysNothing, "test_it_says_what_keeps_layers"),
    Mutant(_LosesConfig, "test_what_was_added_is_there"),
    Mutant(_LosesTime, "test_creation_time_is_kept"),
    Mutant(_TurnsLayersRound, "test_rootfs_is_the_layers_in_order"),
    Mutant(_KeepsTakenName, "test_a_taken_name_moves"),
    Mutant(_ForgetsFormerImage, "test_a_taken_name_moves"),
    Mutant(_TakesDigests, "test_a_digest_is_no_name"),
    Mutant(_StoresHalf, "test_a_failed_add_leaves_nothing"),
    Mutant(_AlwaysNew, "test_same_content_is_the_same_image"),
    Mutant(_KnowsNamesOnly, "test_found_by_name_and_id"),
    Mutant(_PrefersIds, "test_a_name_goes_before_an_id"),
    Mutant(_TakesTheFirst, "test_beginning_of_two_ids"),
    Mutant(_ListsNothing, "test_not_found_lists_what_is_there"),
    Mutant(_Unsorted, "test_list_is_sorted"),
    Mutant(_TagRenames, "test_tag_adds_a_name"),
    Mutant(_TagRefusesTaken, "test_tag_moves_a_taken_name"),
    Mutant(_RemovesSilently, "test_remove_of_the_last_name_deletes"),
    Mutant(_RemovesAllNames, "test_remove_takes_a_name"),
    Mutant(_KeepsImage, "test_remove_of_the_last_name_deletes"),
    Mutant(_Shared, "test_rootfs_is_writable_and_fresh"),
    Mutant(_KeepsRoot, "test_rootfs_goes_on_leaving"),
    Mutant(_CutsLayers, "test_layers_come_back"),
)
