"""Mutants of a snapshotter: each breaks one promise of the contract, and names the test that must see it."""

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, BinaryIO

from moby.contracts.snapshotter import Change, ChangeKind, Snapshot, SnapshotKind, Usage
from moby.contracts.types import Mount
from moby.errors import Conflict, Invalid, NotFound
from moby.oci import layer as layers
from moby.testing.mutants import Broken, Mutant
from moby.testing.snapshotter import file, folder, tar
from moby.values import evolve

__all__ = ["MUTANTS"]

_Broken = Broken[Any]


Below = Callable[[], object] | None


class _Nameless(_Broken):
    """Says of nobody what it is."""

    name = ""


class _SaysNothing(_Broken):
    """Names what it doesn't know."""

    def details(self, key: str = "") -> Mapping[str, str]:
        return {"Backing Filesystem": ""}


class _KnowsAll(_Broken):
    """Says something of snapshots that there are none of."""

    def details(self, key: str = "") -> Mapping[str, str]:
        return {} if key else self.inner.details()


class _KeepsWhiteouts(_Broken):
    """Unpacks whiteouts as files."""

    def apply(self, key: str, layer: BinaryIO, below: Below = None) -> Any:
        entries = [
            (evolve(entry, path=entry.path.replace(".wh.", "wh.")), b"".join(content))
            for entry, content in layers.read(layer)
        ]
        return self.inner.apply(key, io.BytesIO(tar(*entries)), below)


class _ForgetsTimes(_Broken):
    def apply(self, key: str, layer: BinaryIO, below: Below = None) -> Any:
        entries = [(evolve(entry, mtime_ns=0), b"".join(content)) for entry, content in layers.read(layer)]
        return self.inner.apply(key, io.BytesIO(tar(*entries)), below)


class _NeverAhead(_Broken):
    """Says that it does what it doesn't."""

    def prepare(self, key: str, parent: str = "") -> tuple[Mount, ...]:
        if parent and self.inner.stat(parent).kind is not SnapshotKind.COMMITTED:
            raise NotFound(f"no {parent}")
        mounts: tuple[Mount, ...] = self.inner.prepare(key, parent)
        return mounts


class _DoesNotWait(_Broken):
    """Looks at what is below before it is whole."""

    def apply(self, key: str, layer: BinaryIO, below: Below = None) -> Any:
        return self.inner.apply(key, layer)


class _ForgivesBelow(_Broken):
    """Goes on though what it waited for failed."""

    def apply(self, key: str, layer: BinaryIO, below: Below = None) -> Any:
        def forgiven() -> None:
            with suppress(Exception):
                if below is not None:
                    below()

        return self.inner.apply(key, layer, forgiven)


class _Shares(_Broken):
    """Gives all on one parent the same."""

    def prepare(self, key: str, parent: str = "") -> tuple[Mount, ...]:
        mounts: tuple[Mount, ...] = self.inner.prepare(key, parent)
        return mounts if key in ("one", parent) or key.startswith("extract") else self.inner.mounts("one")


class _ViewsAreWritable(_Broken):
    def view(self, key: str, parent: str) -> tuple[Mount, ...]:
        mounts: tuple[Mount, ...] = self.inner.prepare(f"under-{key}", parent)
        return mounts


class _LosesParents(_Broken):
    def list(self) -> tuple[Snapshot, ...]:
        return tuple(Snapshot(each.key, each.kind, "", each.created_ns) for each in self.inner.list())


class _Unsorted(_Broken):
    def list(self) -> tuple[Snapshot, ...]:
        found: tuple[Snapshot, ...] = self.inner.list()
        return found[::-1]


class _CountsAll(_Broken):
    def usage(self, key: str) -> Usage:
        found: Usage = self.inner.usage(key)
        parent = self.inner.stat(key).parent
        return Usage(found.size_bytes + self.usage(parent).size_bytes, found.inodes) if parent else found


class _ReplacesTaken(_Broken):
    def prepare(self, key: str, parent: str = "") -> tuple[Mount, ...]:
        while True:
            try:
                return self.inner.prepare(key, parent)  # type: ignore[no-any-return]
            except Conflict:
                with suppress(NotFound):
                    self.inner.remove(key)


class _ForgivesAbsent(_Broken):
    def remove(self, key: str) -> None:
        try:
            self.inner.remove(key)
        except NotFound:
            return


class _RemovesAllOnIt(_Broken):
    def remove(self, key: str) -> None:
        for each in self.inner.list():
            if each.parent == key:
                self.remove(each.key)
        self.inner.remove(key)


class _LinksCopies(_Broken):
    """Gives a key to a snapshot like it."""

    def link(self, key: str, name: str) -> None:
        self.inner.prepare(f"under-{name}", self.inner.stat(key).parent)
        self.inner.apply(f"under-{name}", io.BytesIO(b"".join(self.inner.diff(key))))
        self.inner.commit(name, f"under-{name}")


class _LinksByRenaming(_Broken):
    def link(self, key: str, name: str) -> None:
        self.inner.link(key, name)
        self.inner.remove(key)


class _LinksAnything(_Broken):
    def link(self, key: str, name: str) -> None:
        with suppress(Conflict):
            self.inner.link(key, name)


class _HidesDeletions(_Broken):
    def changes(self, key: str) -> tuple[Change, ...]:
        return tuple(each for each in self.inner.changes(key) if each.kind is not ChangeKind.DELETED)


class _DiffForgetsDeletions(_Broken):
    def diff(self, key: str) -> Iterator[bytes]:
        read = layers.read(io.BytesIO(b"".join(self.inner.diff(key))))
        yield tar(*((entry, b"".join(content)) for entry, content in read if ".wh." not in entry.path))


class _DiffForgetsOpaque(_Broken):
    def diff(self, key: str) -> Iterator[bytes]:
        read = layers.read(io.BytesIO(b"".join(self.inner.diff(key))))
        yield tar(*((entry, b"".join(content)) for entry, content in read if "opq" not in entry.path))


class _DiffOfNothing(_Broken):
    def diff(self, key: str) -> Iterator[bytes]:
        yield tar(folder("empty")) if not self.inner.changes(key) else b"".join(self.inner.diff(key))


class _TakesAnything(_Broken):
    def apply(self, key: str, layer: BinaryIO, below: Below = None) -> Any:
        try:
            return self.inner.apply(key, layer, below)
        except Invalid:
            return Usage(0, 0)


class _ExportsOwnOnly(_Broken):
    def export(self, key: str) -> Iterator[bytes]:
        yield from self.inner.diff(key)


class _WritesOutside(_Broken):
    """Follows a link out of the snapshot."""

    def apply(self, key: str, layer: BinaryIO, below: Below = None) -> Any:
        data = layer.read()
        for entry, _ in layers.read(io.BytesIO(data)):
            if entry.link.startswith("/") and entry.link.endswith("outside"):
                with open(f"{entry.link}/new", "w", encoding="ascii") as out:  # noqa: PTH123
                    out.write("1")
        return self.inner.apply(key, io.BytesIO(data))


class _EmptyWithoutParent(_Broken):
    def commit(self, name: str, key: str) -> None:
        if not self.inner.stat(key).parent and not key.startswith("extract"):
            self.inner.remove(key)
            self.inner.prepare(key)
            self.inner.apply(key, io.BytesIO(tar(file("other", b"")[0])))
        self.inner.commit(name, key)


_HIDING = {"layers": [tar(a=b"1", b=b"1"), tar(file(".wh.a", b""))], "shown": {"b": "1"}}

MUTANTS = (
    Mutant(_Nameless, "test_it_has_a_name"),
    Mutant(_SaysNothing, "test_it_says_how_layers_are_kept"),
    Mutant(_KnowsAll, "test_it_says_how_layers_are_kept"),
    Mutant(_KeepsWhiteouts, "test_layers_on_each_other", _HIDING),
    Mutant(_ExportsOwnOnly, "test_layers_on_each_other", _HIDING),
    Mutant(_ForgetsTimes, "test_attributes"),
    Mutant(_Shares, "test_what_one_writes_no_other_sees"),
    Mutant(_ViewsAreWritable, "test_a_view_is_not_written"),
    Mutant(_EmptyWithoutParent, "test_without_a_parent"),
    Mutant(_LosesParents, "test_stat_and_list"),
    Mutant(_Unsorted, "test_stat_and_list"),
    Mutant(_CountsAll, "test_usage"),
    Mutant(_ReplacesTaken, "test_absent_and_taken_keys"),
    Mutant(_ReplacesTaken, "test_one_of_many_gets_a_key"),
    Mutant(_ForgivesAbsent, "test_remove"),
    Mutant(_RemovesAllOnIt, "test_remove"),
    Mutant(_NeverAhead, "test_layers_ahead_of_those_below"),
    Mutant(_DoesNotWait, "test_layers_ahead_of_those_below"),
    Mutant(_ForgivesBelow, "test_what_below_raises_ends_a_layer"),
    Mutant(_RemovesAllOnIt, "test_the_order_of_layers_ahead"),
    Mutant(_LinksCopies, "test_a_snapshot_of_several_keys"),
    Mutant(_LinksByRenaming, "test_a_snapshot_of_several_keys"),
    Mutant(_LinksAnything, "test_keys_that_cannot_be_given"),
    Mutant(_HidesDeletions, "test_changes_and_diff"),
    Mutant(_DiffForgetsDeletions, "test_changes_and_diff"),
    Mutant(_DiffForgetsOpaque, "test_a_folder_in_place_of_another"),
    Mutant(_DiffOfNothing, "test_nothing_changed"),
    Mutant(_TakesAnything, "test_hostile_layers_are_refused", {"data": b"no tar" * 200}),
    Mutant(_WritesOutside, "test_links_lead_nowhere_outside"),
)
