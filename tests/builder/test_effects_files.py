"""What operations on files make that a comparison with dockerd doesn't show, and what hostile trees can't do."""

import io
import os
import re
import stat
import tarfile

import pytest
from attrs import evolve
from benches import Bench, Ear, copying, tar
from lenders import Lender
from moby_builder.dockerfile.effects import modes
from moby_builder.dockerfile.effects.copying import Copying, How
from moby_builder.dockerfile.operations import (
    EmptySource,
    LocalSource,
    MakeFolder,
    Node,
    Owner,
    Placed,
    Stack,
    Write,
)
from moby_builder.dockerfile.solver.effects import Tree

from moby.contracts.builder import BuildFailed
from moby.errors import HostUnfit, Invalid, NotFound, Unavailable
from moby.host import mounts
from moby.testing.mounted import own_mounts

EMPTY = Node(EmptySource())


@pytest.fixture(scope="module", autouse=True)
def apart():
    """What is built here is mounted in the namespace that it finds."""
    with own_mounts(shared=True):
        yield


@pytest.fixture(scope="module", params=["overlay", "copy"])
def bench(request, tmp_path_factory, apart):
    with Bench(tmp_path_factory.mktemp("bench"), request.param) as found:
        yield found


@pytest.fixture
def lent(tmp_path):
    (tmp_path / "lent").mkdir()
    return tmp_path / "lent"


def make(bench, node, *inputs, ear=None):
    """Do an operation on trees."""
    with bench.build(Lender()) as doing:
        return doing.perform(node, inputs, ear or Ear())


def copied(bench, lent, *paths, to="/", on=None, **options):
    """Copy paths of a folder of this machine; return the tree."""
    node = copying(*paths, to=to, **options)
    with bench.build(Lender({"context": lent})) as doing:
        return doing.perform(node, [on or Tree(), doing.perform(node.inputs[1], (), Ear())], Ear())


class TestWrite:
    def test_files_into_a_folder(self, bench):
        files = (Placed("one", b"1\n"), Placed("t*o[", b"2\n"))
        tree = make(bench, Node(Write(files, "/in/"), (EMPTY,)), Tree())
        assert bench.seen(tree) == {
            "in": ("d755", "0:0", ""), "in/one": ("-644", "0:0", "1\n"), "in/t*o[": ("-644", "0:0", "2\n"),
        }  # fmt: skip

    def test_a_file_of_another_name(self, bench):
        node = Node(Write((Placed("EOF", b"x"),), "/script", Owner("7", "8"), "u=rwx,go=rx"), (EMPTY,), epoch_s=100)
        tree = make(bench, node, Tree())
        assert bench.seen(tree) == {"script": ("-755", "7:8", "x")}
        assert bench.layer(tree)["script"].mtime == 100


class TestFolders:
    def test_it_is_made_with_those_above(self, bench):
        node = Node(MakeFolder("/one/two", Owner("7"), 0o700), (EMPTY,), epoch_s=100)
        tree = make(bench, node, Tree())
        assert bench.seen(tree) == {"one": ("d700", "7:7", ""), "one/two": ("d700", "7:7", "")}
        assert bench.layer(tree)["one"].mtime == 100

    def test_what_is_there_stays(self, bench):
        base = bench.base("folders", tar(at=None, link=("/at",)))
        tree = make(bench, Node(MakeFolder("/link/in", Owner("7")), (EMPTY,)), base)
        assert bench.seen(tree) == {
            "at": ("d755", "0:0", ""), "at/in": ("d755", "7:7", ""), "link": ("l", "0:0", "/at")
        }  # fmt: skip
        assert {*bench.seen(make(bench, Node(MakeFolder("/at"), (EMPTY,)), base))} == {"at", "link"}

    def test_a_file_is_in_the_way(self, bench):
        base = bench.base("in the way", tar(file="x"))
        with pytest.raises(BuildFailed, match="mkdir /file: not a directory"):
            make(bench, Node(MakeFolder("/file/in"), (EMPTY,)), base)


class TestStack:
    def test_changes_lie_on_top(self, bench):
        base = bench.base("lowest", tar(bin=("usr",), usr=None, **{"usr/a": "a", "usr/b": "b"}))
        one = bench.base("one", tar(bin=None, **{"bin/c": "c"}))
        other = bench.base("other", tar(usr=None, **{"usr/a": "other"}, **{"bin/.wh.c": ""}))
        tree = make(bench, Node(Stack(), (EMPTY,) * 4), base, one, other, Tree())
        found = {path: each[2] for path, each in bench.seen(tree).items()}
        assert found == {"bin": "", "bin/c": "c", "usr": "", "usr/a": "other", "usr/b": "b"}
        assert "usr/b" not in bench.layer(tree)


class TestParents:
    @pytest.fixture
    def lent(self, lent):
        for name in ("a/b/one.go", "a/b/two.txt", "a/c/three.go", "d/four.go", "five.go"):
            (lent / name).parent.mkdir(parents=True, exist_ok=True)
            (lent / name).write_text(name)
        (lent / "a").chmod(0o700)
        (lent / "l").symlink_to("a")
        return lent

    @pytest.mark.parametrize(
        "paths, wanted",
        [
            (["/a/b/one.go"], ["a/b/one.go"]),
            (["/a/b"], ["a/b/one.go", "a/b/two.txt"]),
            (["/a/*/*.go"], ["a/b/one.go", "a/c/three.go"]),
            (["/**/*.go"], ["a/b/one.go", "a/c/three.go", "d/four.go", "five.go"]),
            (["/a/**/*.go"], ["a/b/one.go", "a/c/three.go"]),
            (["/a/./b/one.go"], ["b/one.go"]),
            (["/./a/b/one.go"], ["a/b/one.go"]),
            (["/a/./*/*.go", "/d"], ["b/one.go", "c/three.go", "d/four.go"]),
            (["/l"], []),
        ],
    )
    def test_folders_above_come_along(self, bench, lent, paths, wanted):
        tree = copied(bench, lent, *paths, to="/to/", parents=True)
        found = bench.seen(tree)
        assert sorted(path for path, each in found.items() if each[0][0] == "-") == [f"to/{each}" for each in wanted]
        if any(each.startswith("a/") for each in wanted):
            assert found["to/a"][0] == "d700"

    def test_what_is_there_keeps_what_it_has(self, bench, lent):
        base = bench.base("with a", tar(to=None, **{"to/a": None}))
        tree = copied(bench, lent, "/a/b/one.go", to="/to", on=base, parents=True)
        assert bench.seen(tree)["to/a"][0] == "d755"

    def test_a_file_is_in_the_way(self, bench, lent):
        base = bench.base("with file a", tar(to=None, **{"to/a": "file"}))
        with pytest.raises(BuildFailed, match="cannot copy to non-directory: /to/a"):
            copied(bench, lent, "/a/b/one.go", to="/to", on=base, parents=True)

    def test_nothing_fits(self, bench, lent):
        with pytest.raises(BuildFailed, match='"/none": not found'):
            copied(bench, lent, "/none", to="/to", parents=True)
        assert bench.seen(copied(bench, lent, "/*.none", to="/to", parents=True, require=False)) == {}

    def test_all(self, bench, lent):
        found = bench.seen(copied(bench, lent, "/", to="/to", parents=True))
        assert {"to/a/b/one.go", "to/five.go", "to/l"} <= {*found}


class TestExcludes:
    @pytest.mark.parametrize(
        "path, excludes, wanted",
        [
            ("/", ["*.txt"], ["keep.md", "sub/a.txt", "sub/deep/b.txt", "sub/deep/c.md"]),
            ("/", ["**/*.txt"], ["keep.md", "sub/deep/c.md"]),
            ("/", ["sub"], ["drop.txt", "keep.md"]),
            ("/", ["sub", "!sub/deep/c.md"], ["drop.txt", "keep.md", "sub/deep/c.md"]),
            ("/", ["*", "!sub/deep"], ["sub/deep/b.txt", "sub/deep/c.md"]),
            ("/sub", ["deep"], ["a.txt"]),
            ("/*", ["*.txt", "deep"], ["keep.md"]),
            ("/*", ["sub"], ["drop.txt", "keep.md"]),
            ("/drop.txt", ["*.txt"], ["drop.txt"]),
        ],
    )
    def test_what_is_left_out(self, bench, lent, path, excludes, wanted):
        for name in ("drop.txt", "keep.md", "sub/a.txt", "sub/deep/b.txt", "sub/deep/c.md"):
            (lent / name).parent.mkdir(parents=True, exist_ok=True)
            (lent / name).write_text(name)
        tree = copied(bench, lent, path, to="/", exclude=tuple(excludes))
        assert sorted(name for name, each in bench.seen(tree).items() if each[0][0] == "-") == wanted

    def test_a_pattern_that_is_none(self, bench, lent):
        (lent / "a").write_text("a")
        with pytest.raises(Invalid):
            copied(bench, lent, "/", to="/", exclude=("[",))


class TestFiles:
    def test_sparse_files_stay_sparse(self, bench, lent):
        with (lent / "sparse").open("wb") as file:
            file.seek(64 << 20)
            file.write(b"end")
            file.truncate(128 << 20)
        tree = make(bench, copying("/sparse", to="/again"), Tree(), Tree(folder=lent))
        with bench.workspace.reading(tree) as root:
            found = (root / "again").stat()
            assert found.st_size == 128 << 20
            with (root / "again").open("rb") as file:
                file.seek(64 << 20)
                assert file.read(4) == b"end\0"
        assert found.st_blocks * 512 < 1 << 20

    def test_a_file_system_that_tells_no_holes(self, bench, lent, monkeypatch):
        def refuse(*_):
            raise OSError(22, "Invalid argument")

        monkeypatch.setattr(os, "lseek", refuse)
        with (lent / "sparse").open("wb") as file:
            file.truncate(3 << 20)
        tree = make(bench, copying("/sparse", to="/again"), Tree(), Tree(folder=lent))
        with bench.workspace.reading(tree) as root:
            assert (root / "again").read_bytes() == bytes(3 << 20)

    def test_big_files_are_whole(self, bench, lent):
        data = os.urandom(3 << 20)
        (lent / "big").write_bytes(data)
        tree = copied(bench, lent, "/big", to="/")
        with bench.workspace.reading(tree) as root:
            assert (root / "big").read_bytes() == data

    def test_a_kernel_that_copies_nothing(self, bench, lent, monkeypatch):
        """As between file systems that have no call in common (copy_file_range(2), EXDEV)."""

        def refuse(*_):
            raise OSError(18, "Invalid cross-device link")

        monkeypatch.setattr(os, "copy_file_range", refuse)
        self.test_big_files_are_whole(bench, lent)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root may make devices")
    def test_devices_pipes_and_attributes(self, bench, lent):
        (lent / "file").write_text("f")
        source = copied(bench, lent, "/file", to="/")
        with bench.workspace.writing(source.snapshot) as draft:
            os.mknod(draft.path / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
            os.mkfifo(draft.path / "pipe")
            os.setxattr(draft.path / "file", "user.x", b"y")
            os.setxattr(draft.path / "file", "security.capability", bytes.fromhex("0100000200040000" + "00" * 12))
            os.chown(draft.path / "pipe", 3, 4)
            draft.keep()
        with bench.workspace.reading(make(bench, copying("/", to="/in/"), Tree(), draft.tree)) as root:
            assert (root / "in/null").stat().st_rdev == os.makedev(1, 3)
            found = (root / "in/pipe").stat()
            assert (stat.S_ISFIFO(found.st_mode), found.st_uid, found.st_gid) == (True, 3, 4)
            assert os.getxattr(root / "in/file", "user.x") == b"y"
            assert len(os.getxattr(root / "in/file", "security.capability")) == 20

    def test_hard_links_stay_links(self, bench, lent):
        (lent / "sub").mkdir()
        (lent / "a").write_text("a")
        os.link(lent / "a", lent / "sub/b")
        with bench.workspace.reading(copied(bench, lent, "/", to="/in/")) as root:
            assert (root / "in/a").stat().st_ino == (root / "in/sub/b").stat().st_ino

    def test_a_hard_link_over_a_folder(self, bench, lent):
        (lent / "a").write_text("a")
        os.link(lent / "a", lent / "b")
        base = bench.base("folder b", tar(b=None))
        with pytest.raises(BuildFailed, match="cannot replace to directory /b with file"):
            copied(bench, lent, "/", to="/", on=base)

    def test_an_epoch_is_the_time_of_all(self, bench, lent):
        (lent / "sub").mkdir()
        (lent / "sub/a").write_text("a")
        (lent / "sub/l").symlink_to("a")
        node = evolve(copying("/", to="/in/deep/"), epoch_s=100)
        with bench.build(Lender({"context": lent})) as doing:
            tree = doing.perform(node, [Tree(), doing.perform(node.inputs[1], (), Ear())], Ear())
        assert {each.mtime for name, each in bench.layer(tree).items() if name != "."} == {100}

    def test_a_build_that_is_given_up(self, bench, lent):
        (lent / "a").write_text("a")
        node, ear = copying("/", to="/in/"), Ear()
        with bench.build(Lender({"context": lent})) as doing:
            source = doing.perform(node.inputs[1], (), Ear())
            ear.cancel.set()
            with pytest.raises(Unavailable, match="canceled"):
                doing.perform(node, [Tree(), source], ear)

    def test_deeper_than_is_copied(self, bench, lent):
        (lent / "/".join("d" * 310)).mkdir(parents=True)
        with pytest.raises(BuildFailed, match="nested deeper than 300 folders"):
            copied(bench, lent, "/", to="/in/")

    def test_a_full_disk(self, tmp_path, lent):
        (lent / "big").write_bytes(bytes(3 << 20))
        small = tmp_path / "bench/snapshots"
        small.mkdir(parents=True)
        mounts.mount("tmpfs", str(small), "tmpfs", data="size=2m")
        try:
            with Bench(tmp_path / "bench", "copy") as bench, pytest.raises(HostUnfit, match="no space left"):
                make(bench, copying("/big", to="/"), Tree(), Tree(folder=lent))
        finally:
            mounts.unmount(str(small), detach=True)


class TestHostile:
    """Sources and roots hold whatever their makers like; nothing outside is read or written."""

    @pytest.fixture
    def outside(self, tmp_path):
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside/secret").write_text("secret")
        yield tmp_path / "outside"
        assert [each.name for each in (tmp_path / "outside").iterdir()] == ["secret"]
        assert (tmp_path / "outside/secret").read_text() == "secret"

    @pytest.mark.parametrize("up", ["", "../../../../../../../.."])
    def test_links_in_the_root(self, bench, lent, outside, up):
        (lent / "secret").write_text("mine")
        base = bench.base(f"links {outside}{up}", tar(a=(f"{up}{outside}",), b=("a",)))
        for to in ("/a/", "/b", "/a/deep/", "/b/secret"):
            tree = copied(bench, lent, "/secret", to=to, on=base)
            assert "mine" in [text for _, _, text in bench.seen(tree).values()]
        make(bench, Node(MakeFolder("/b/new"), (EMPTY,)), base)
        make(bench, Node(Write((Placed("x", b"x"),), "/b/"), (EMPTY,)), base)

    @pytest.mark.parametrize("up", ["", "../../../../../../../.."])
    def test_links_in_the_source(self, bench, lent, outside, up):
        (lent / "a").symlink_to(f"{up}{outside}")
        (lent / "b").symlink_to("a/secret")
        for path in ("/a", "/a/secret", "/b", "/a/*", "/*/secret"):
            with pytest.raises(BuildFailed, match="not found"):
                copied(bench, lent, path, to="/in/", parents=False)
        assert bench.seen(copied(bench, lent, "/", to="/in/"))["in/b"] == ("l", "0:0", "a/secret")

    @pytest.mark.parametrize(
        "kind, told",
        [("link", "too many links|not a directory"), ("pipe", "changed while it was copied|not a directory")],
    )
    @pytest.mark.parametrize("victim", ["file", "folder"])
    def test_what_is_swapped_meanwhile(self, bench, lent, outside, monkeypatch, victim, kind, told):
        """A source that somebody writes just when it is looked at, for what is only opened afterwards."""
        from moby_builder.dockerfile.effects import copying as module

        path, look = lent / "victim", os.lstat
        path.mkdir() if victim == "folder" else path.write_text("mine")

        def swap(name, **options):
            found = look(name, **options)
            if name == "victim" and not path.is_symlink() and not path.is_fifo():
                path.rmdir() if victim == "folder" else path.unlink()
                path.symlink_to(outside if victim == "folder" else outside / "secret")
                if kind == "pipe":
                    path.unlink()
                    os.mkfifo(path)
            return found

        with monkeypatch.context() as patch, pytest.raises(BuildFailed, match=told):
            patch.setattr(module.os, "lstat", swap)
            make(bench, copying("/", to="/in/"), Tree(), Tree(folder=lent))

    def test_archives_that_lead_out(self, bench, lent, outside):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for name, link in (("a", str(outside)), ("b", "../" * 20 + str(outside))):
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname = tarfile.SYMTYPE, link
                archive.addfile(entry)
            for name in ("a/new", "b/secret", "a/deep/new"):
                entry = tarfile.TarInfo(name)
                entry.size = 1
                archive.addfile(entry, io.BytesIO(b"x"))
        (lent / "out.tar").write_bytes(out.getvalue())
        tree = copied(bench, lent, "/out.tar", to="/in/", unpack=True)
        assert bench.seen(tree)[f"in{outside}/new"][2] == "x"

    @pytest.mark.parametrize("name", ["../x", "/../x", "a/../../x"])
    def test_archives_with_names_that_lead_out(self, bench, lent, outside, name):
        (lent / "out.tar").write_bytes(tar(**{"a": None, name: "x"}))
        with pytest.raises(BuildFailed, match=r"failed to unpack the archive: .* leads out"):
            copied(bench, lent, "/out.tar", to="/in/", unpack=True)

    def test_names_of_layers_mean_nothing_in_archives(self, bench, lent):
        base = bench.base("with sub", tar(sub=None, **{"sub/kept": "k"}))
        (lent / "x.tar").write_bytes(tar(**{"sub/.wh.kept": "", "sub/.wh..wh..opq": ""}))
        tree = copied(bench, lent, "/x.tar", to="/", on=base, unpack=True)
        assert bench.seen(tree)["sub/kept"][2] == "k"

    def test_an_archive_that_breaks_off(self, bench, lent):
        (lent / "cut.tar").write_bytes(tar(a="a" * 2000)[:1200])
        with pytest.raises(BuildFailed, match="failed to unpack the archive"):
            copied(bench, lent, "/cut.tar", to="/", unpack=True)


class TestReading:
    @pytest.fixture
    def read(self, bench):
        base = bench.base(
            "to read", tar(etc=None, **{"etc/os": "text", "link": ("etc/os",), "out": ("/../../etc/os",)})
        )
        yield lambda path, most=100: _read(bench, base, path, most)
        bench.snapshotter.remove("to read")

    def test_files(self, read):
        assert read("/etc/os") == read("link") == read("out") == b"text"
        assert read("/etc/os", 4) == b"text"

    @pytest.mark.parametrize("path", ["none", "etc/none", "etc/os/in"])
    def test_missing(self, read, path):
        with pytest.raises(NotFound, match="no such file or directory"):
            read(path)

    def test_what_can_t_be_read(self, read):
        with pytest.raises(Invalid, match="bigger than 3 bytes"):
            read("/etc/os", 3)
        with pytest.raises(Invalid, match="no regular file"):
            read("/etc")
        with pytest.raises(Invalid, match="can't be read"):
            read("n" * 300)

    def test_of_a_folder_that_is_lent(self, bench, lent):
        (lent / "Dockerfile").write_text("FROM scratch")
        with bench.build(Lender({"context": lent})) as doing:
            assert doing.file(Node(LocalSource("context")), "Dockerfile", 100, Ear()) == b"FROM scratch"


def _read(bench, tree, path, most):
    from moby_builder.dockerfile.effects.reading import read_file

    return read_file(bench.workspace, tree, path, most)


@pytest.mark.parametrize(
    "text, before, after",
    [
        ("755", 0o644, 0o755), ("0755", 0o644, 0o755), ("4711", 0, 0o4711), ("0", 0o777, 0),
        ("+x", 0o644, 0o755), ("u+x", 0o644, 0o744), ("go-rwx", 0o4777, 0o4700), ("a=r", 0o4755, 0o444),
        ("u=rwX,go=rX", 0o600, 0o644), ("u=rwX,go=rX", stat.S_IFDIR | 0o700, 0o755), ("u=rwX,go=rX", 0o700, 0o755),
        ("g=u", 0o640, 0o660), ("o=g-w", 0o664, 0o664 & ~0o002), ("u+s", 0o755, 0o4755), ("g+s", 0o755, 0o2755),
        ("o+s", 0o755, 0o755), ("+t", 0o755, 0o1755), ("=", 0o755, 0), ("u=rw,u+x", 0o0, 0o700), ("-w", 0o666, 0o444),
        ("u=rw", stat.S_IFDIR | 0o6755, 0o6655), ("ug=rw,o=", 0o777, 0o660), ("a-s", 0o6755, 0o755),
    ],
)  # fmt: skip
def test_modes(text, before, after):
    assert oct(modes.parse(text)(before | (0 if before & stat.S_IFDIR else stat.S_IFREG))) == oct(after)


@pytest.mark.parametrize("text", ["9", "77777", "x", "u", "u+q", "u+x,", ",", "rwx", "u=gx"])
def test_modes_that_are_none(text):
    with pytest.raises(BuildFailed, match=re.escape(f"invalid chmod parameter: '{text}'")):
        modes.parse(text)


def test_a_link_in_the_place_of_what_is_copied_is_not_followed(tmp_path, monkeypatch):
    outside, source, target = tmp_path / "outside", tmp_path / "source", tmp_path / "target"
    outside.touch(0o600)
    source.mkdir()
    target.mkdir()
    os.mkfifo(source / "pipe")
    (source / "pipe").chmod(0o666)
    chown = os.chown

    def swap(name, *more, **where):
        chown(name, *more, **where)
        (target / "pipe").unlink()
        (target / "pipe").symlink_to(outside)

    monkeypatch.setattr(os, "chown", swap)
    ends = [os.open(each, os.O_RDONLY | os.O_DIRECTORY) for each in (source, target)]
    try:
        Copying(*ends, How())._leaf(*ends, "pipe", "/pipe")
    finally:
        for each in ends:
            os.close(each)
    assert stat.S_IMODE(outside.stat().st_mode) == 0o600
