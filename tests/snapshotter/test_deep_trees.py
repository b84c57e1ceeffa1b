"""Trees as deep as a container makes them, and folders that go while they are looked at."""

import os
import shutil
from pathlib import Path

import pytest
from descriptors import closed_again, descriptors
from moby_snapshotter.copy.snapshots import Copy
from moby_snapshotter.folders.trees import opened, usage_of, walk

from moby.errors import Invalid
from moby.host import tree
from moby.oci import layer
from moby.oci.layer import EntryType, LayerEntry
from moby.oci.merged import MergedPacking
from moby.oci.pack import Packing
from moby.oci.unpack import Unpacking

DEEP = 900
"""More than Python's stack has room for."""
TOO_DEEP = 1100


@pytest.fixture
def deep(tmp_path):
    """Make a tree of so many folders below each other."""
    made = []

    def make(depth: int) -> Path:
        root = tmp_path / f"deep-{depth}"
        root.mkdir()
        made.append(root)
        fd = os.open(root, tree.DIRECTORY_FLAGS)
        for _ in range(depth):
            os.mkdir("d", dir_fd=fd)
            inner = os.open("d", tree.DIRECTORY_FLAGS, dir_fd=fd)
            os.close(fd)
            fd = inner
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        os.close(fd)
        return root

    yield make
    above = os.open(tmp_path, tree.DIRECTORY_FLAGS)
    for each in made:
        tree.remove(above, each.name)
    os.close(above)


def _entries(root, kind):
    with opened(root) as (fd,):
        packing = Packing(fd) if kind is Packing else MergedPacking(fd, lowers=(fd,), marks=())
        return [entry.path for entry, _ in packing.entries()]


@pytest.mark.parametrize("kind", [Packing, MergedPacking])
def test_packing(deep, kind):
    found = _entries(deep(DEEP), kind)
    assert found == ["", *("/".join("d" * depth) for depth in range(1, DEEP + 1)), "d/" * DEEP + "file"]


@pytest.mark.parametrize("kind", [Packing, MergedPacking])
def test_more_than_a_layer_may_have(deep, kind):
    before = descriptors()
    with pytest.raises(Invalid, match=r"^d/d/.* is nested deeper than 1024 folders") as caught:
        _entries(deep(TOO_DEEP), kind)
    assert caught.value.hint
    closed_again(before)


@pytest.mark.parametrize("kind", [Packing, MergedPacking])
def test_whoever_stops_half_way_leaves_nothing_open(deep, kind):
    root = deep(9)
    before = descriptors()
    with opened(root) as (fd,):
        entries = (Packing(fd) if kind is Packing else MergedPacking(fd, lowers=(fd,), marks=())).entries()
        for _ in range(5):
            next(entries)
        entries.close()
    closed_again(before)


def test_walking_costs_neither_stack_nor_descriptors(deep):
    root = deep(2000)
    before = descriptors()
    with opened(root) as (fd,):
        for depth, (_, name, found) in enumerate(walk(fd), start=1):
            assert (name, len(found.path)) == (("d", 2 * depth) if depth <= 2000 else ("file", 4005))
            if depth % 500 == 0:
                assert len(descriptors() - before) <= 3
        assert depth == 2001
        assert usage_of(fd).inodes == 2001


@pytest.mark.parametrize("becomes", ["nothing", "another", "file"])
def test_folders_that_go_while_they_are_walked(tmp_path, becomes):
    """What was told already isn't told again, and what is beside them still is."""
    for each in ("a/b/c/file", "a/x", "e"):
        (tmp_path / each).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / each).write_text("")
    told = []
    with opened(tmp_path) as (fd,):
        for _, _, found in walk(fd):
            told.append(found.path)
            if found.path == "/a/b/c/file":
                shutil.rmtree(tmp_path / "a")
                if becomes == "another":
                    (tmp_path / "a/b").mkdir(parents=True)
                elif becomes == "file":
                    (tmp_path / "a").write_text("")
    assert told == ["/a", "/a/b", "/a/b/c", "/a/b/c/file", "/e"]


def test_a_folder_that_is_moved_while_it_is_walked(tmp_path):
    (tmp_path / "root/a/b").mkdir(parents=True)
    (tmp_path / "root/a/file").write_text("")
    told = []
    with opened(tmp_path / "root") as (fd,):
        for _, _, found in walk(fd):
            told.append(found.path)
            if found.path == "/a/b":
                (tmp_path / "root/a/b").rename(tmp_path / "away")
    assert told == ["/a", "/a/b", "/a/file"], "and never what is outside"


NAMES = (".wh.kept", ".wh..wh..opq", ".wh..wh.plnk", ".wh.", ".wh...")
"""By which a layer hides others, but a container's files may have them."""


def test_a_copy_takes_names_literally(tmp_path, metadata):
    """A file of that name hides nothing in a copy, and is in it."""
    copies = Copy(tmp_path / "state", metadata)
    (mount,) = copies.prepare("below")
    for name in ("kept", *NAMES):
        Path(mount.source, name).write_text(name)
    Path(mount.source, ".wh..wh.aufs").mkdir()
    Path(mount.source, ".wh..wh.aufs/inner").write_text("inner")
    copies.commit("base", "below")
    (mount,) = copies.prepare("above", "base")
    assert {each.name for each in Path(mount.source).iterdir()} == {"kept", *NAMES, ".wh..wh.aufs"}
    assert Path(mount.source, ".wh..wh.aufs/inner").read_text() == "inner"


@pytest.mark.parametrize("literal", [False, True])
def test_only_who_asks_unpacks_names_literally(tmp_path, literal):
    (tmp_path / "kept").write_text("")
    entries = [(LayerEntry(".wh.kept", EntryType.FILE), ())]
    with opened(tmp_path) as (fd,), layer.write(entries) as reader:
        Unpacking(fd, owners=False, literal=literal).apply(reader)
    assert {each.name for each in tmp_path.iterdir()} == ({"kept", ".wh.kept"} if literal else set())
