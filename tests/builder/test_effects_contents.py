"""Digests of what a step sees: they change with all that comes of it, and with nothing else."""

import os
import shutil

import pytest
from benches import Bench, Ear, copying
from lenders import Lender
from moby_builder.dockerfile.operations import (
    Copy,
    CopySource,
    EmptySource,
    LocalSource,
    MakeFolder,
    MountKind,
    Node,
    Run,
    RunMount,
    Stack,
)
from moby_builder.dockerfile.solver.effects import Tree

from moby.contracts.builder import BuildFailed
from moby.errors import Unavailable
from moby.testing.mounted import own_mounts

EMPTY = Node(EmptySource())


@pytest.fixture(scope="module", autouse=True)
def apart():
    """What is built here is mounted in the namespace that it finds."""
    with own_mounts(shared=True):
        yield


@pytest.fixture(scope="module")
def bench(tmp_path_factory, apart):
    with Bench(tmp_path_factory.mktemp("bench")) as found:
        yield found


@pytest.fixture
def lent(tmp_path):
    folder = tmp_path / "lent"
    (folder / "sub/deep").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "b.txt").write_text("b")
    (folder / "sub/x").write_text("x")
    (folder / "sub/link").symlink_to("x")
    (folder / "sub/deep/y").write_text("y")
    (folder / "subtle").write_text("its name begins as a folder's does")
    os.link(folder / "a.txt", folder / "sub/again")
    return folder


def of_kept(bench, lent, node):
    """Return the digest of what a node sees of a folder that a session lends."""
    with bench.build(Lender({"context": lent})) as doing:
        tree = doing.perform(Node(LocalSource("context")), (), Ear())
        return doing.content(node, [Tree(), tree], 1, Ear())


def of_snapshot(bench, lent, node):
    """Return the digest of the same in a snapshot."""
    with bench.build(Lender({"context": lent})) as doing:
        tree = doing.perform(Node(LocalSource("context")), (), Ear())
        made = doing.perform(copying("/", to="/"), [Tree(), tree], Ear())
        return doing.content(node, [Tree(), made], 1, Ear())


def run(*paths, kind=MountKind.BIND):
    return Node(Run(("true",), mounts=tuple(RunMount(kind, f"/m{path}", 1, path) for path in paths)), (EMPTY, EMPTY))


SEEN = {
    "all": copying("/", to="/"),
    "file": copying("/a.txt", to="/"),
    "folder": copying("/sub", to="/"),
    "wildcard": copying("/*.txt", to="/"),
    "excludes": copying("/", to="/", exclude=("*.txt", "sub/deep")),
    "excludes with exceptions": copying("/", to="/", exclude=("sub", "!sub/deep/y")),
    "parents": copying("/sub/deep/y", to="/", parents=True),
    "mount": run("/sub"),
    "mount of a file": run("/sub/x"),
    "mounts": run("/sub/deep", "/a.txt"),
}
CHANGES = {
    "content": lambda at: (at / "sub/deep/y").write_text("z"),
    "mode": lambda at: (at / "sub/deep/y").chmod(0o600),
    "mode of the folder": lambda at: (at / "sub").chmod(0o711),
    "mode of the folder inside": lambda at: (at / "sub/deep").chmod(0o711),
    "name": lambda at: (at / "sub/deep/y").rename(at / "sub/deep/z"),
    "new": lambda at: (at / "sub/new").write_text(""),
    "gone": lambda at: (at / "sub/x").unlink(),
    "link": lambda at: _relink(at / "sub/link", "deep"),
    "kind": lambda at: _relink(at / "sub/x", "deep"),
    "another file": lambda at: (at / "a.txt").write_text("other"),
    "beside": lambda at: (at / "subtle").write_text("other"),
    "times": lambda at: [os.utime(each, (7, 7), follow_symlinks=False) for each in (*at.rglob("*"), at)],
}
CHANGED = {
    "all": {*CHANGES} - {"times"},
    "file": {"another file"},
    "folder": {*CHANGES} - {"times", "beside", "mode of the folder"},
    "wildcard": {"another file"},
    "excludes": {"mode of the folder", "new", "gone", "link", "kind", "another file", "beside"},
    "excludes with exceptions": {
        "content", "mode", "mode of the folder", "mode of the folder inside", "name", "another file", "beside",
    },
    "parents": {"content", "mode", "mode of the folder", "mode of the folder inside"},
    "mount": {*CHANGES} - {"times", "beside"},
    "mount of a file": {"kind"},
    "mounts": {"content", "mode", "mode of the folder inside", "name", "another file"},
}  # fmt: skip
MISSING = {("parents", "name"), ("mount of a file", "gone")}


def _relink(path, link):
    path.unlink()
    path.symlink_to(link)


@pytest.mark.parametrize("seen", SEEN)
@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_a_digest(bench, lent, seen, change):
    node = SEEN[seen]
    before = of_kept(bench, lent, node)
    CHANGES[change](lent)
    if (seen, change) in MISSING:
        with pytest.raises(BuildFailed, match="not found"):
            of_kept(bench, lent, node)
        return
    assert (of_kept(bench, lent, node) != before) == (change in CHANGED[seen])


@pytest.mark.parametrize("seen", SEEN)
def test_a_snapshot_s_is_the_same(bench, lent, seen):
    assert of_snapshot(bench, lent, SEEN[seen]) == of_kept(bench, lent, SEEN[seen])


def test_owners_attributes_and_devices_count(bench, lent):
    node = copying("/", to="/")

    def digest(fill):
        with bench.workspace.writing("") as draft:
            (draft.path / "file").write_text("f")
            (draft.path / "pipe").touch()
            fill(draft.path)
            draft.keep()
        with bench.build(Lender()) as doing:
            return doing.content(node, [Tree(), draft.tree], 1, Ear())

    def pipe(at):
        (at / "pipe").unlink()
        os.mkfifo(at / "pipe")

    fills = [
        lambda at: None, lambda at: os.chown(at / "file", 3, 0), lambda at: os.chown(at / "file", 0, 3), pipe,
        lambda at: os.setxattr(at / "file", "user.x", b"y"), lambda at: os.setxattr(at / "file", "user.x", b"z"),
    ]  # fmt: skip
    digests = [digest(each) for each in fills]
    assert len({*digests}) == len(fills)
    assert digest(fills[0]) == digests[0]


def test_a_snapshot_s_is_written_down_until_it_is_forgotten(bench, lent, monkeypatch):
    node = copying("/a.txt", to="/")
    with bench.build(Lender({"context": lent})) as doing:
        tree = doing.perform(Node(LocalSource("context")), (), Ear())
        made = doing.perform(copying("/", to="/"), [Tree(), tree], Ear())
        first = doing.content(node, [Tree(), made], 1, Ear())
        with monkeypatch.context() as patch:
            patch.setattr(bench.workspace, "reading", None)  # nothing is looked at again
            assert doing.content(node, [Tree(), made], 1, Ear()) == first
        assert bench.metadata.bucket("builder/contents").count(made.snapshot) == 1
        bench.tools.contents.forget(made.snapshot)
        assert bench.metadata.bucket("builder/contents").count(made.snapshot) == 0


def test_what_is_seen_whole_has_none(bench, lent):
    source = Tree(folder=lent)
    nodes = [
        Node(Stack(), (EMPTY, EMPTY)), Node(MakeFolder("/a"), (EMPTY,)), run("/", kind=MountKind.CACHE),
        Node(Run(("true",)), (EMPTY, EMPTY)), Node(Copy((CopySource(2, "/"),), "/"), (EMPTY,) * 3),
    ]  # fmt: skip
    with bench.build(Lender()) as doing:
        assert [doing.content(each, [Tree(), source], 1, Ear()) for each in nodes] == [None] * len(nodes)
        assert doing.content(copying("/", to="/"), [source, source], 0, Ear()) is None


def test_an_empty_root(bench):
    with bench.build(Lender()) as doing:
        assert doing.content(copying("/", to="/"), [Tree(), Tree()], 1, Ear()) is not None
        with pytest.raises(BuildFailed, match=r'failed to compute cache key: .*"/a": not found'):
            doing.content(copying("/a", to="/"), [Tree(), Tree()], 1, Ear())


def test_a_build_that_is_given_up(bench, lent):
    ear = Ear()
    ear.cancel.set()
    with bench.build(Lender()) as doing, pytest.raises(Unavailable, match="canceled"):
        doing.content(copying("/", to="/"), [Tree(), Tree(folder=lent)], 1, ear)


def test_names_of_any_bytes(bench, lent):
    name = os.fsdecode(b"\xff\xfe caf\xc3\xa9")
    (lent / name).write_text("odd")
    assert of_kept(bench, lent, copying("/", to="/")) == of_snapshot(bench, lent, copying("/", to="/"))
    shutil.rmtree(lent)
