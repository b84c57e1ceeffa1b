"""The conformance suite of the kind `snapshotter`; `moby.testing.snapshotter_mutants` holds what it must fail."""

import io
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from moby.contracts.snapshotter import Change, ChangeKind, Snapshot, SnapshotKind, Snapshotter
from moby.errors import Conflict, Invalid, MobyError, NotFound
from moby.oci import layer
from moby.oci.layer import EntryType, LayerEntry
from moby.testing.mounted import mounted

__all__ = ["SnapshotterSuite", "commit", "folder", "link", "tar"]

Open = Callable[[], Snapshotter]
_ADDED, _MODIFIED, _DELETED = ChangeKind.ADDED, ChangeKind.MODIFIED, ChangeKind.DELETED


def tar(*entries: LayerEntry | tuple[LayerEntry, bytes], **files: bytes) -> bytes:
    """Return a layer of entries, and of files by name."""
    pairs = [each if isinstance(each, tuple) else (each, b"") for each in entries]
    pairs += [file(path, data) for path, data in files.items()]
    with layer.write((entry, [data]) for entry, data in pairs) as reader:
        return reader.read()


def folder(path: str, mode: int = 0o755, mtime_s: int = 1) -> LayerEntry:
    """Return the entry of a folder of the caller's own."""
    return LayerEntry(path, EntryType.DIRECTORY, mode, os.geteuid(), os.getegid(), mtime_ns=mtime_s * 1_000_000_000)


def file(path: str, data: bytes) -> tuple[LayerEntry, bytes]:
    """Return the entry of a file of the caller's own, and its bytes."""
    return LayerEntry(path, EntryType.FILE, 0o644, os.geteuid(), os.getegid(), len(data)), data


def link(path: str, target: str, kind: EntryType = EntryType.SYMLINK) -> LayerEntry:
    """Return the entry of a symbolic or hard link."""
    return LayerEntry(path, kind, 0o644, os.geteuid(), os.getegid(), link=target)


def commit(snapshotter: Snapshotter, name: str, data: bytes, parent: str = "") -> str:
    """Unpack a layer on a parent, and commit it."""
    snapshotter.prepare(f"extract-{name}", parent)
    snapshotter.apply(f"extract-{name}", io.BytesIO(data))
    snapshotter.commit(name, f"extract-{name}")
    return name


def chain(snapshotter: Snapshotter, *layers: bytes) -> str:
    """Commit layers on each other; return the topmost one's key."""
    parent = ""
    for number, data in enumerate(layers):
        parent = commit(snapshotter, f"layer-{number}", data, parent)
    return parent


def contents(root: Path) -> dict[str, str]:
    """Return what is in a tree: text of files, targets of links, `/` for folders."""
    found = {}
    for path in sorted(root.rglob("*")):
        shown = f"-> {path.readlink()}" if path.is_symlink() else "/" if path.is_dir() else path.read_text()
        found[str(path.relative_to(root))] = shown
    return found


def _refuses_ahead(snapshotter: Snapshotter) -> None:
    """See that what doesn't unpack ahead takes no parent that isn't committed."""
    snapshotter.prepare("one")
    with pytest.raises(NotFound):
        snapshotter.prepare("two", "one")


class SnapshotterSuite:
    """What every snapshotter must do. A subclass brings the fixture `store`."""

    @pytest.fixture
    def store(self) -> Open:
        """Return a function that opens the store under test; each call gives another client of the same store."""
        raise NotImplementedError

    @pytest.fixture
    def at(self, tmp_path: Path) -> Path:
        """Return a folder to mount at."""
        return tmp_path / "mounted"

    # What is shown

    def test_it_has_a_name(self, store: Open, at: Path) -> None:
        """Which is a word, and the same for all who ask."""
        assert store().name == store().name
        assert store().name.replace("-", "_").isidentifier()

    def test_it_says_how_layers_are_kept(self, store: Open, at: Path) -> None:
        """By names and values that can be shown in a line each, whatever is kept."""
        found = dict(store().details())
        assert all(each and each.isprintable() for pair in found.items() for each in pair)
        store().prepare("one")
        assert dict(store().details()) == found
        store().commit("done", "one")
        store().prepare("two", "done")
        store().view("three", "done")
        for key in ("done", "two", "three"):
            assert all(each and each.isprintable() for pair in store().details(key).items() for each in pair)
        with pytest.raises(NotFound):
            store().details("four")

    @pytest.mark.parametrize(
        ("layers", "shown"),
        [
            ([tar(a=b"1", b=b"1"), tar(b=b"2")], {"a": "1", "b": "2"}),
            ([tar(a=b"1", b=b"1"), tar(file(".wh.a", b""))], {"b": "1"}),
            ([tar(folder("d"), file("d/a", b"1")), tar(file(".wh.d", b""))], {}),
            (
                [tar(folder("d"), file("d/a", b"1")), tar(file(".wh.d", b""), folder("d"), file("d/b", b"2"))],
                {"d": "/", "d/b": "2"},
            ),
            (
                [tar(folder("d"), file("d/a", b"1")), tar(folder("d"), file("d/b", b"2"), file(".wh.d", b""))],
                {"d": "/", "d/b": "2"},
            ),
            (
                [tar(folder("d"), file("d/a", b"1")), tar(file("d/.wh..wh..opq", b""), file("d/b", b"2"))],
                {"d": "/", "d/b": "2"},
            ),
            (
                [tar(folder("d"), file("d/a", b"1")), tar(file("d/b", b"2"), file("d/.wh..wh..opq", b""))],
                {"d": "/", "d/b": "2"},
            ),
            ([tar(a=b"1"), tar(file(".wh..wh..opq", b""), file("b", b"2"))], {"b": "2"}),
            ([tar(folder("d"), file("d/a", b"1")), tar(d=b"2")], {"d": "2"}),
            ([tar(d=b"1"), tar(folder("d"), file("d/a", b"2"))], {"d": "/", "d/a": "2"}),
            (
                [tar(folder("d"), file("d/a", b"1")), tar(d=b"2"), tar(folder("d"), file("d/b", b"3"))],
                {"d": "/", "d/b": "3"},
            ),
            ([tar(folder("u"), link("l", "u")), tar(file("l/a", b"1"))], {"l": "-> u", "u": "/", "u/a": "1"}),
            ([tar(a=b"1"), tar(link("b", "a", EntryType.HARDLINK))], {"a": "1", "b": "1"}),
            ([tar(a=b"1"), tar(file(".wh.a", b""), file("a", b"2"))], {"a": "2"}),
            ([tar(a=b"1"), tar(file(".wh.a", b"")), tar(a=b"3")], {"a": "3"}),
            (
                [tar(folder("d"), file("d/a", b"1")), tar(file(".wh.d", b"")), tar(file("d/c", b"3"))],
                {"d": "/", "d/c": "3"},
            ),
        ],
        ids=[
            "replaced", "whiteout", "whiteout-of-folder", "whiteout-and-folder", "folder-and-whiteout", "opaque",
            "opaque-last", "opaque-root", "file-over-folder", "folder-over-file", "folder-over-file-over-folder",
            "link-on-the-way", "hard-link-to-below", "whiteout-and-file", "file-over-whiteout", "folder-over-whiteout",
        ],
    )  # fmt: skip
    def test_layers_on_each_other(self, store: Open, at: Path, layers: Sequence[bytes], shown: dict[str, str]) -> None:
        """What is mounted is what all layers come to, in every form of hiding; and so is what is exported."""
        top = chain(store(), *layers)

        def look(root: Path) -> None:
            assert contents(root) == shown

        mounted(store().prepare("c", top), at, look)
        mounted(store().view("v", top), at, look)
        read = layer.read(io.BytesIO(b"".join(store().export("c"))))
        seen = [entry.path for entry, _ in read]
        assert sorted(each for each in seen if each) == sorted(shown)

    def test_attributes(self, store: Open, at: Path) -> None:
        """Modes and times of files and folders; a folder that a layer doesn't describe keeps what it had."""
        old = LayerEntry(
            "d/a", EntryType.FILE, 0o640, os.geteuid(), os.getegid(), 1, mtime_ns=1_500_000_000_250_000_000
        )
        top = chain(store(), tar(folder("", 0o711), folder("d", 0o750, 1000), (old, b"1")), tar(file("d/b", b"2")))

        def look(root: Path) -> None:
            found = (root / "d/a").stat()
            assert (found.st_mode & 0o7777, found.st_mtime_ns) == (0o640, 1_500_000_000_250_000_000)
            assert (root / "d").stat().st_mode & 0o7777 == 0o750
            assert root.stat().st_mode & 0o7777 == 0o711

        mounted(store().prepare("c", top), at, look)

    def test_what_one_writes_no_other_sees(self, store: Open, at: Path) -> None:
        """Of two on the same parent; and it is there again when it is mounted again."""
        top = chain(store(), tar(a=b"1"))
        one, two = store().prepare("one", top), store().prepare("two", top)
        mounted(one, at, lambda root: (root / "a").write_text("changed") and (root / "b").write_text("new"))
        mounted(two, at, lambda root: _same(contents(root), {"a": "1"}))
        assert store().mounts("one") == one
        mounted(store().mounts("one"), at, lambda root: _same(contents(root), {"a": "changed", "b": "new"}))

    def test_a_view_is_not_written(self, store: Open, at: Path) -> None:
        """Nor does it show what others write."""
        top = chain(store(), tar(a=b"1"))

        def look(root: Path) -> None:
            with pytest.raises(OSError, match="Read-only"):
                (root / "b").write_text("x")
            _same(contents(root), {"a": "1"})

        mounted(store().view("v", top), at, look)
        with pytest.raises(NotFound):
            store().commit("x", "v")

    def test_without_a_parent(self, store: Open, at: Path) -> None:
        """An empty folder, which may be written and committed."""
        mounted(store().prepare("a"), at, lambda root: (root / "f").write_text("1"))
        store().commit("b", "a")
        mounted(store().prepare("c", "b"), at, lambda root: _same(contents(root), {"f": "1"}))

    def test_many_layers(self, store: Open, at: Path) -> None:
        """A hundred and twenty, whose paths are longer than a page together."""
        top = chain(store(), *(tar(**{f"f{number}": b"x"}) for number in range(120)))
        mounted(store().prepare("c", top), at, lambda root: _same(len(contents(root)), 120))

    # What is known

    def test_layers_ahead_of_those_below(self, store: Open, at: Path) -> None:
        """Layers are unpacked in any order, and show the same; where something below counts, it is waited for."""
        if not store().ahead:
            _refuses_ahead(store())
            return
        layers = (
            tar(folder("d", 0o711), file("d/a", b"1"), link("l", "d")),
            tar(file("d/b", b"2"), file("l/c", b"3"), link("d/e", "d/a", EntryType.HARDLINK)),
            tar(file("d/.wh.a", b"")),
        )
        begun = [store().prepare(f"extract-{n}", f"extract-{n - 1}" if n else "") for n in range(3)]
        assert len(begun) == 3
        waited: list[int] = []

        def lower(number: int) -> Callable[[], None]:
            def below() -> None:
                if number - 1 in waited:
                    return
                waited.append(number - 1)
                store().apply(f"extract-{number - 1}", io.BytesIO(layers[number - 1]), lower(number - 1))
                store().commit(f"layer-{number - 1}", f"extract-{number - 1}")

            return below

        store().apply("extract-2", io.BytesIO(layers[2]), lower(2))
        assert waited == [1, 0]
        store().commit("layer-2", "extract-2")
        assert [store().stat(f"layer-{number}").parent for number in range(3)] == ["", "layer-0", "layer-1"]

        def look(root: Path) -> None:
            assert contents(root) == {"d": "/", "d/b": "2", "d/c": "3", "d/e": "1", "l": "-> d"}
            assert (root / "d").stat().st_mode & 0o777 == 0o711

        mounted(store().view("look", "layer-2"), at, look)

    def test_what_below_raises_ends_a_layer(self, store: Open) -> None:
        """It comes through as it is, and the layers can be removed."""
        if not store().ahead:
            _refuses_ahead(store())
            return
        store().prepare("one")
        store().prepare("two", "one")

        def below() -> None:
            raise LookupError("the layer below failed")

        with pytest.raises(LookupError, match="the layer below failed"):
            store().apply("two", io.BytesIO(tar(file("d/a", b"1"))), below)
        store().remove("two")
        store().remove("one")
        assert store().list() == ()

    def test_the_order_of_layers_ahead(self, store: Open) -> None:
        """One that is on another is committed after it, and keeps it from being removed."""
        if not store().ahead:
            _refuses_ahead(store())
            return
        store().prepare("one")
        store().prepare("two", "one")
        with pytest.raises(Conflict):
            store().remove("one")
        store().apply("one", io.BytesIO(tar(a=b"1")))
        store().apply("two", io.BytesIO(tar(b=b"2")))
        with pytest.raises(Conflict):
            store().commit("second", "two")
        store().commit("first", "one")
        store().commit("second", "two")
        with pytest.raises(Conflict):
            store().remove("first")
        store().remove("second")
        store().remove("first")

    def test_stat_and_list(self, store: Open) -> None:
        """Kind, parent and age of each, sorted by key."""
        assert store().list() == ()
        top = chain(store(), tar(a=b"1"), tar(b=b"2"))
        store().prepare("c", top)
        store().view("v", top)
        found = store().list()
        assert [(each.key, each.kind, each.parent) for each in found] == [
            ("c", SnapshotKind.ACTIVE, "layer-1"),
            ("layer-0", SnapshotKind.COMMITTED, ""),
            ("layer-1", SnapshotKind.COMMITTED, "layer-0"),
            ("v", SnapshotKind.VIEW, "layer-1"),
        ]
        assert all(each.created_ns > 10**18 for each in found)
        assert store().stat("c") == found[0]

    def test_usage(self, store: Open, at: Path) -> None:
        """Of each by itself."""
        top = chain(store(), tar(folder("d"), file("d/a", b"x" * 1000)), tar(b=b"y" * 10))
        assert (store().usage("layer-0").size_bytes, store().usage("layer-0").inodes) == (1000, 2)
        assert (store().usage("layer-1").size_bytes, store().usage("layer-1").inodes) == (10, 1)
        mounted(store().prepare("c", top), at, lambda root: (root / "n").write_text("z" * 500))
        assert store().usage("c").size_bytes == 500

    def test_absent_and_taken_keys(self, store: Open) -> None:
        """NotFound and Conflict, by each call; nothing is changed."""
        top = chain(store(), tar(a=b"1"))
        store().prepare("c", top)
        for call in (
            store().stat, store().mounts, store().usage, store().remove, store().changes,
            lambda key: store().prepare("new", key), lambda key: store().view("new", key),
            lambda key: store().commit("new", key), lambda key: store().apply(key, io.BytesIO(tar())),
            lambda key: list(store().diff(key)), lambda key: list(store().export(key)),
        ):  # fmt: skip
            with pytest.raises(NotFound, match="nowhere"):
                call("nowhere")
        for other in (
            lambda: store().prepare("c", top), lambda: store().view(top, top), lambda: store().commit(top, "c"),
        ):  # fmt: skip
            with pytest.raises(Conflict):
                other()
        with pytest.raises(NotFound):
            store().view("new", "c")
        assert [each.key for each in store().list()] == ["c", "layer-0"]

    def test_remove(self, store: Open, at: Path) -> None:
        """Frees the key; Conflict where others are on it, whatever their kind."""
        top = chain(store(), tar(a=b"1"))
        store().prepare("c", top)
        with pytest.raises(Conflict, match="c"):
            store().remove(top)
        store().remove("c")
        store().view("v", top)
        with pytest.raises(Conflict, match="v"):
            store().remove(top)
        store().remove("v")
        store().remove(top)
        assert store().list() == ()
        with pytest.raises(NotFound):
            store().remove(top)
        store().prepare("c")

    def test_a_snapshot_of_several_keys(self, store: Open, at: Path) -> None:
        """Each shows the same, and what is on it stays on it; the files go with the last key."""
        top = chain(store(), tar(a=b"1"), tar(b=b"2"))
        store().link(top, "other")
        store().prepare("c", top)
        store().view("v", "other")
        assert (store().stat(top).aliases, store().stat("other").aliases) == (("other",), (top,))
        assert (store().stat("other").kind, store().stat("other").parent) == (SnapshotKind.COMMITTED, "layer-0")
        assert store().usage("other") == store().usage(top)
        assert b"".join(store().diff("other")) == b"".join(store().diff(top))
        store().link("other", "third")
        store().remove(top)
        assert store().stat("third").aliases == ("other",)
        store().remove("other")
        assert [store().stat(each).parent for each in "cv"] == ["third", "third"]
        assert store().stat("third").aliases == ()
        for key in "cv":
            mounted(store().mounts(key), at, lambda root: _same(contents(root), {"a": "1", "b": "2"}))
            with pytest.raises(Conflict, match=key):
                store().remove("third")
            store().remove(key)
        store().remove("third")
        assert [each.key for each in store().list()] == ["layer-0"]

    def test_keys_that_cannot_be_given(self, store: Open) -> None:
        """Conflict for one that is taken, NotFound for what isn't committed; nothing is changed."""
        top = chain(store(), tar(a=b"1"))
        store().prepare("c", top)
        for name in ("c", top):
            with pytest.raises(Conflict, match=name):
                store().link(top, name)
        for key in ("c", "absent"):
            with pytest.raises(NotFound, match=key):
                store().link(key, "new")
        assert [(each.key, each.aliases) for each in store().list()] == [("c", ()), (top, ())]

    def test_remove_of_what_may_not_be_written(self, store: Open, at: Path) -> None:
        """A tree with folders that their owner may not write goes too."""
        top = chain(store(), tar(folder("d"), file("d/a", b"1"), folder("d", 0o500)))
        store().remove(top)
        assert store().list() == ()

    # Layers

    def test_changes_and_diff(self, store: Open, at: Path) -> None:
        """What was added, changed and removed; and the layer of it makes the same again."""
        below = tar(folder("d"), file("d/gone", b"1"), file("d/kept", b"1"), folder("old"), file("old/f", b"1"), a=b"1")
        top = chain(store(), below)

        def change(root: Path) -> None:
            (root / "a").write_text("changed")
            (root / "d/gone").unlink()
            (root / "new").mkdir()
            (root / "new/f").write_text("2")
            os.link(root / "new/f", root / "new/g")
            (root / "new/l").symlink_to("f")
            (root / "old/f").unlink()
            (root / "old").rmdir()

        mounted(store().prepare("c", top), at, change)
        assert store().changes("c") == (
            Change("/a", _MODIFIED), Change("/d", _MODIFIED), Change("/d/gone", _DELETED), Change("/new", _ADDED),
            Change("/new/f", _ADDED), Change("/new/g", _ADDED), Change("/new/l", _ADDED), Change("/old", _DELETED),
        )  # fmt: skip
        data = b"".join(store().diff("c"))
        commit(store(), "again", data, top)
        expected = {
            "a": "changed", "d": "/", "d/kept": "1", "new": "/", "new/f": "2", "new/g": "2", "new/l": "-> f",
        }  # fmt: skip
        mounted(store().prepare("d", "again"), at, lambda root: _same(contents(root), expected))
        store().commit("committed", "c")
        assert b"".join(store().diff("committed")) == data

    def test_a_folder_in_place_of_another(self, store: Open, at: Path) -> None:
        """Shows nothing of the old one, after a diff as well."""
        top = chain(store(), tar(folder("d"), file("d/old", b"1")))

        def change(root: Path) -> None:
            (root / "d/old").unlink()
            (root / "d").rmdir()
            (root / "d").mkdir()
            (root / "d/new").write_text("2")

        mounted(store().prepare("c", top), at, change)
        commit(store(), "again", b"".join(store().diff("c")), top)
        mounted(store().prepare("e", "again"), at, lambda root: _same(contents(root), {"d": "/", "d/new": "2"}))

    def test_nothing_changed(self, store: Open, at: Path) -> None:
        """An empty layer, and no changes, also after files were read."""
        top = chain(store(), tar(folder("d"), file("d/a", b"1")))
        mounted(store().prepare("c", top), at, contents)
        assert store().changes("c") == ()
        assert [entry.path for entry, _ in layer.read(io.BytesIO(b"".join(store().diff("c"))))] == []

    @pytest.mark.parametrize(
        "data",
        [
            tar(file("xy", b"1")).replace(b"xy\0", b"..\0", 1),
            tar(file("abcdefghij/escaped", b"1")).replace(b"abcdefghij/", b"d/../../../", 1),
            b"no tar" * 200,
            tar(a=b"x" * 5000)[:3000],
            tar(link("a", "nowhere", EntryType.HARDLINK)),
            tar(file(".wh..", b"")),
        ],
        ids=["up", "further-up", "no-tar", "cut", "dangling-hard-link", "whiteout-of-nothing"],
    )
    def test_hostile_layers_are_refused(self, store: Open, tmp_path: Path, data: bytes) -> None:
        """Invalid; the snapshot can be removed, and nothing outside was touched."""
        top = chain(store(), tar(a=b"1"))
        store().prepare("c", top)
        with pytest.raises(Invalid):
            store().apply("c", io.BytesIO(data))
        store().remove("c")
        assert not list(tmp_path.rglob("escaped"))
        assert [each.key for each in store().list()] == [top]

    def test_links_lead_nowhere_outside(self, store: Open, at: Path, tmp_path: Path) -> None:
        """Absolute ones, and those that go up, in the same layer or below, are taken from the snapshot's root."""
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "kept").write_text("mine")
        up = "/".join([".."] * 40) + str(outside)
        first = tar(link("abs", str(outside)), link("up", up))
        evil = tar(
            file("abs/new", b"1"), file("up/new2", b"1"), file("abs/.wh.kept", b""), file("up/.wh..wh..opq", b"")
        )
        top = chain(store(), first, evil)
        assert [each.name for each in outside.iterdir()] == ["kept"]
        mounted(store().prepare("c", top), at, lambda root: _same((root / "abs").is_symlink(), True))

    def test_many_at_once(self, store: Open) -> None:
        """Threads that commit on each other's lose nothing."""
        snapshotter, failures = store(), []
        top = chain(snapshotter, tar(a=b"1"))

        def work(number: int) -> None:
            try:
                commit(snapshotter, f"n{number}", tar(b=b"%d" % number), top)
                snapshotter.prepare(f"c{number}", f"n{number}")
                snapshotter.remove(f"c{number}")
            except MobyError as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=[number]) for number in range(6)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert failures == []
        assert [each.key for each in store().list()] == ["layer-0", *(f"n{number}" for number in range(6))]

    def test_one_of_many_gets_a_key(self, store: Open) -> None:
        """The others get Conflict."""
        snapshotter, outcomes = store(), list[Snapshot | str]()

        def work() -> None:
            try:
                snapshotter.prepare("same")
                outcomes.append("made")
            except Conflict:
                outcomes.append("taken")

        threads = [threading.Thread(target=work) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert sorted(map(str, outcomes)) == ["made", "taken", "taken", "taken"]


def _same(found: object, expected: object) -> None:
    assert found == expected
