"""Folders that sessions lend: only what changed comes again, and nothing that a hostile one lists gets out."""

import errno
import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from attrs import evolve
from benches import Bench, Ear
from hypothesis import given
from hypothesis import strategies as st
from lenders import Lender, entries_of
from moby_builder.dockerfile.effects.digesting import Digesting
from moby_builder.dockerfile.effects.kept import Index, Reception
from moby_builder.dockerfile.operations import LocalSource, Node

from moby.contracts.builder import Entry, Selection
from moby.errors import Conflict, HostUnfit, Invalid, NotFound, Unavailable
from moby.host import tree
from moby.oci.digest import sha256

FILE, FOLDER, LINK = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777


@pytest.fixture
def bench(tmp_path):
    with Bench(tmp_path / "bench") as found:
        yield found


@pytest.fixture
def lent(tmp_path):
    folder = tmp_path / "lent"
    (folder / "sub/deep").mkdir(parents=True)
    (folder / "a").write_text("aa")
    (folder / "sub/b").write_text("b" * 100_000)
    (folder / "sub/deep/empty").write_text("")
    (folder / "sub/link").symlink_to("../a")
    os.link(folder / "a", folder / "sub/again")
    return folder


def receive(bench, lender, ear=None, source=None):
    """Lend the folder once; return its identity, what is in it, and which files came."""
    with bench.build(lender) as doing:
        node = Node(source or LocalSource("context"))
        identity = doing.identify(node, ear or Ear())
        found = bench.seen(doing.perform(node, (), Ear()))
    sent, lender.sent = lender.sent, []
    return identity, found, sent


@given(st.lists(st.sampled_from([b"", b"a", b"b" * (64 << 10), b"c" * (200 << 10)]), max_size=30))
def test_digests_of_pieces(pieces):
    """Whoever computes them, they are those of all pieces in their order."""
    with ThreadPoolExecutor(1) as beside:
        digest = Digesting(beside)
        for each in pieces:
            digest.update(each)
        assert digest.hexdigest() == sha256(b"".join(pieces)).hex


def kept(bench):
    return [each.name for each in (bench.place.state / "contexts").iterdir() if each.is_dir()]


class TestChanges:
    def test_all_comes_once(self, bench, lent):
        lender, ear = Lender({"context": lent}), Ear()
        identity, found, sent = receive(bench, lender, ear)
        assert sent == ["a", "sub/b"]
        assert found["a"] == ("-644", "0:0", "aa")
        assert found["sub/again"] == ("-644", "0:0", "aa")
        assert found["sub/link"] == ("l", "0:0", "../a")
        assert ear.progresses[-1] == ("transferring context:", 100_002, 0, True)
        assert receive(bench, lender) == (identity, found, [])

    @pytest.mark.parametrize(
        "change, sent, same",
        [
            pytest.param(lambda at: (at / "a").write_text("other"), ["a"], False, id="content"),
            pytest.param(lambda at: (at / "sub/b").chmod(0o600), ["sub/b"], False, id="mode"),
            pytest.param(lambda at: os.utime(at / "sub/b", (7, 7)), ["sub/b"], True, id="time"),
            pytest.param(lambda at: os.utime(at / "sub", (7, 7)), [], True, id="time of a folder"),
            pytest.param(lambda at: (at / "sub").chmod(0o711), [], False, id="mode of a folder"),
            pytest.param(lambda at: (at / "sub/b").unlink(), [], False, id="gone"),
            pytest.param(lambda at: (at / "new").write_text("n"), ["new"], False, id="new"),
            pytest.param(lambda at: (at / "sub/deep/empty").write_text("x"), ["sub/deep/empty"], False, id="filled"),
        ],
    )
    def test_what_changed_comes(self, bench, lent, change, sent, same):
        lender = Lender({"context": lent})
        before, _, _ = receive(bench, lender)
        change(lent)
        after, found, came = receive(bench, lender)
        assert came == sent
        assert (after == before) is same
        assert found == {**found, **_direct(lent)} and {*found} == {*_direct(lent)}
        assert receive(bench, lender) == (after, found, [])

    @pytest.mark.parametrize("name", ["a", "sub", "sub/link", "sub/deep"])
    @pytest.mark.parametrize("kind", ["file", "folder", "link"])
    def test_a_path_becomes_something_else(self, bench, lent, name, kind):
        lender = Lender({"context": lent})
        receive(bench, lender)
        path = lent / name
        _remove(path)
        if kind == "file":
            path.write_text("now a file")
        elif kind == "folder":
            path.mkdir()
            (path / "in").write_text("in")
        else:
            path.symlink_to("/etc")
        _, found, _ = receive(bench, lender)
        assert {*found} == {*_direct(lent)}
        assert found == {**found, **_direct(lent)}

    def test_a_hard_link_follows_what_it_links_to(self, bench, lent):
        lender = Lender({"context": lent})
        receive(bench, lender)
        (lent / "a").write_text("changed")
        _, found, sent = receive(bench, lender)
        assert sent == ["a"]
        assert found["sub/again"][2] == "changed"

    def test_times_are_kept_where_something_inside_changed(self, bench, lent):
        lender = Lender({"context": lent})
        os.utime(lent / "sub", (7, 7))
        receive(bench, lender)
        (lent / "sub/b").write_text("in place")
        with bench.build(lender) as doing:
            folder = doing.perform(Node(LocalSource("context")), (), Ear()).folder
            assert (folder / "sub").stat().st_mtime == 7

    def test_two_builds_at_a_time_have_a_folder_each(self, bench, lent):
        lender = Lender({"context": lent})
        node = Node(LocalSource("context"))
        with bench.build(lender) as one, bench.build(lender) as other:
            assert one.identify(node, Ear()) == other.identify(node, Ear())
            folders = {one.perform(node, (), Ear()).folder, other.perform(node, (), Ear()).folder}
            assert len(folders) == 2
            for each in bench.tools.folders.list():
                assert bench.tools.folders.in_use(each.key)
                with pytest.raises(Conflict, match="in use"):
                    bench.tools.folders.remove(each.key)
        lender.sent = []
        assert receive(bench, lender)[2] == []

    def test_the_folder_of_the_same_part_is_taken(self, bench, lent):
        lender = Lender({"context": lent})
        parts = [LocalSource("context", Selection(follow=(name,))) for name in ("x", "y")]
        with bench.build(lender) as doing:
            for each in parts:
                doing.identify(Node(each), Ear())
        keys = {each.selection: each.key for each in bench.tools.folders.list()}
        assert len(keys) == 2
        for each in reversed(parts):
            receive(bench, lender, source=each)
        assert {each.selection: each.key for each in bench.tools.folders.list()} == keys

    def test_without_a_key_nothing_is_kept(self, bench, lent):
        lender = Lender({"context": lent}, key="")
        assert receive(bench, lender)[2] == ["a", "sub/b"]
        assert receive(bench, lender)[2] == ["a", "sub/b"]
        assert kept(bench) == []
        assert bench.tools.folders.list() == ()

    def test_what_killed_builds_left_is_swept(self, bench):
        folder = bench.place.state / "contexts/once-dead"
        folder.mkdir(parents=True)
        bench.tools.folders.sweep()
        assert kept(bench) == []

    def test_a_folder_is_listed_and_removed(self, bench, lent):
        receive(bench, Lender({"context": lent}))
        receive(bench, Lender({"context": lent}))
        (found,) = bench.tools.folders.list()
        assert found.description == "local source for context"
        assert (found.uses, found.size_bytes) == (2, 100_004)
        assert not bench.tools.folders.in_use(found.key)
        bench.tools.folders.remove(found.key)
        assert bench.tools.folders.list() == ()
        assert kept(bench) == []

    def test_a_folder_that_nobody_lends(self, bench):
        with pytest.raises(NotFound):
            receive(bench, Lender())


class TestInterruptions:
    def test_what_came_whole_stays(self, bench, lent):
        class Dying(Lender):
            def folder(self, name, selection, receiver):
                for each in entries_of(lent):
                    receiver.entry(each)
                receiver.content("a", b"aa")
                receiver.content("a", b"")
                receiver.content("sub/b", b"b" * 50)
                raise Unavailable("the client has gone")

        with pytest.raises(Unavailable):
            receive(bench, Dying())
        identity, found, sent = receive(bench, Lender({"context": lent}))
        assert sent == ["sub/b"]
        assert found["sub/b"][2] == "b" * 100_000
        assert found["sub/again"][2] == "aa"
        assert receive(bench, Lender({"context": lent})) == (identity, found, [])

    def test_a_build_that_is_given_up(self, bench, lent):
        ear = Ear()
        ear.progress = lambda *_, **__: ear.cancel.set()
        (lent / "big").write_bytes(bytes(3 << 20))
        with pytest.raises(Unavailable, match="canceled"):
            receive(bench, Lender({"context": lent}), ear)
        assert receive(bench, Lender({"context": lent}))[2] == ["big", "sub/b"]

    def test_content_that_never_came(self, bench):
        class Short(Lender):
            def folder(self, name, selection, receiver):
                assert receiver.entry(Entry("a", FILE, size_bytes=5))

        with pytest.raises(Invalid, match="'a' wasn't received in full"):
            receive(bench, Short())

    @pytest.mark.parametrize("damage", ["cut", "other", "gone", "version"])
    def test_an_index_that_can_t_be_relied_on(self, bench, lent, damage):
        import marshal
        import zlib

        lender = Lender({"context": lent})
        identity, found, sent = receive(bench, lender)
        (key,) = kept(bench)
        index = bench.place.state / "contexts" / key / "index"
        data = index.read_bytes()
        if damage == "gone":
            index.unlink()
        elif damage == "version":
            other = marshal.dumps(("0", {}))
            index.write_bytes(zlib.crc32(other).to_bytes(4, "big") + other)
        else:
            index.write_bytes(data[:-9] if damage == "cut" else data[:-9] + b"something")
        assert receive(bench, lender) == (identity, found, sent)

    def test_there_is_no_index_while_files_change(self, tmp_path):
        (tmp_path / "files").mkdir()
        reception = Reception(Index.of(tmp_path))
        reception.entry(Entry("a", FILE, size_bytes=1, time_ns=1))
        reception.content("a", b"a")
        reception.content("a", b"")
        reception.finish()
        assert (tmp_path / "index").exists()
        reception = Reception(Index.of(tmp_path))
        reception.entry(Entry("a", FILE, size_bytes=1, time_ns=1))
        assert (tmp_path / "index").exists()
        reception.entry(Entry("b", FILE, size_bytes=1))
        assert not (tmp_path / "index").exists()
        reception.give_up()


class TestHostile:
    @pytest.fixture
    def reception(self, tmp_path):
        (tmp_path / "kept").mkdir()
        (tmp_path / "outside").mkdir()
        found = Reception(Index.of(tmp_path / "kept"))
        yield found
        found.give_up()
        assert list((tmp_path / "outside").iterdir()) == []

    @pytest.mark.parametrize(
        "path", ["..", "../x", "/etc/x", "a/../../x", "", ".", "a//b", "a/.", "a\0b", "n" * 256, "sub/" * 1100 + "x"]
    )
    def test_names_that_lead_out(self, reception, path):
        for folder in ("a", "sub"):
            reception.entry(Entry(folder, FOLDER))
        with pytest.raises(Invalid):
            reception.entry(Entry(path, FILE, size_bytes=1))

    def test_a_name_that_comes_twice(self, reception):
        reception.entry(Entry("a", FOLDER))
        with pytest.raises(Invalid, match="twice"):
            reception.entry(Entry("a", FOLDER))

    def test_a_file_without_its_folder(self, reception):
        with pytest.raises(Invalid, match="before the folder"):
            reception.entry(Entry("a/b", FILE))

    def test_through_a_link(self, reception, tmp_path):
        reception.entry(Entry("a", LINK, link=str(tmp_path / "outside")))
        with pytest.raises(Invalid, match="before the folder"):
            reception.entry(Entry("a/b", FILE))

    def test_below_a_file(self, reception):
        reception.entry(Entry("a", FILE))
        with pytest.raises(Invalid, match="before the folder"):
            reception.entry(Entry("a/b", FILE))

    @pytest.mark.parametrize("target", ["../outside", "/etc/passwd", "none", "folder", "link"])
    def test_hard_links_to_what_is_no_file(self, reception, target):
        reception.entry(Entry("folder", FOLDER))
        reception.entry(Entry("link", LINK, link="/etc/passwd"))
        with pytest.raises(Invalid, match="no earlier file"):
            reception.entry(Entry("x", FILE, link=target))

    def test_content_that_wasn_t_asked_for(self, reception):
        reception.entry(Entry("a", FOLDER))
        for path in ("a", "b", "../b"):
            with pytest.raises(Invalid, match="wasn't asked for"):
                reception.content(path, b"x")

    def test_a_hard_link_before_its_file_s_content(self, tmp_path):
        (tmp_path / "kept").mkdir()
        reception = Reception(Index.of(tmp_path / "kept"))
        assert reception.entry(Entry("a", FILE, size_bytes=3))
        assert not reception.entry(Entry("b", FILE, size_bytes=3, link="a"))
        assert not reception.entry(Entry("c", FILE, size_bytes=3, link="b"))
        reception.content("a", b"abc")
        reception.content("a", b"")
        listing = reception.finish()
        assert listing.line("a") == listing.line("b") == listing.line("c") != ""
        assert (tmp_path / "kept/files/c").read_text() == "abc"

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
    def test_devices_owners_and_attributes(self, tmp_path):
        (tmp_path / "kept").mkdir()
        reception = Reception(Index.of(tmp_path / "kept"))
        reception.entry(Entry("device", stat.S_IFCHR | 0o620, 3, 4, device=(1, 3)))
        reception.entry(Entry("pipe", stat.S_IFIFO | 0o600, 3, 4))
        reception.entry(Entry("file", FILE, 3, 4, 1, 5, xattrs={"user.x": b"y", "nonsense": b""}))
        reception.content("file", b"f")
        reception.content("file", b"")
        reception.finish()
        found = {each.name: each.lstat() for each in (tmp_path / "kept/files").iterdir()}
        assert {name: (each.st_uid, each.st_gid) for name, each in found.items()} == dict.fromkeys(found, (3, 4))
        assert (os.major(found["device"].st_rdev), os.minor(found["device"].st_rdev)) == (1, 3)
        assert os.getxattr(tmp_path / "kept/files/file", "user.x") == b"y"
        assert found["file"].st_mtime_ns == 5

    @pytest.mark.parametrize(
        "entry",
        [
            Entry("a", LINK, uid=-5, link="x"), Entry("a", LINK, uid=1 << 40, link="x"), Entry("a", LINK, link="x\0y"),
            Entry("a", LINK), Entry("a\udc80\ud800", FILE),
            Entry("a", stat.S_IFSOCK | 0o600), Entry("a", 0o644), Entry("a", stat.S_IFCHR, device=(-1, 1 << 70)),
        ],
    )  # fmt: skip
    def test_what_no_file_has(self, reception, entry):
        with pytest.raises((Invalid, HostUnfit)):
            reception.entry(entry)

    def test_owners_that_the_engine_may_not_give(self, unprivileged):
        def attempt(folder):
            reception = Reception(Index.of(folder))
            with pytest.raises(HostUnfit, match="can't keep 'a' of the client's folder: Operation not permitted"):
                reception.entry(Entry("a", LINK, uid=1, link="x"))

        unprivileged(attempt)


def test_fifty_thousand_files_of_which_one_changed(tmp_path):
    """What is the same costs a look at its entry, and no system call."""
    (tmp_path / "kept").mkdir()
    entries = []
    for number in range(500):
        entries.append(Entry(f"d{number:03}", FOLDER, time_ns=5))
        entries += [Entry(f"d{number:03}/file{each:03}", FILE, time_ns=7) for each in range(100)]
    first = _received(tmp_path / "kept", entries)
    began = time.process_time()
    second = _received(tmp_path / "kept", [*entries[:7], evolve(entries[7], time_ns=9), *entries[8:]])
    taken_s = time.process_time() - began
    assert second == first
    assert taken_s < 1  # 0.15 s on an idle machine


def test_a_disk_that_can_not_be_changed_any_more(tmp_path, monkeypatch):
    (tmp_path / "kept").mkdir()
    _received(tmp_path / "kept", [Entry("a", FOLDER), Entry("b", FOLDER)])

    def refused(fd, name):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(tree, "remove", refused)
    with pytest.raises(HostUnfit, match="can't keep '' of the client's folder: Input/output error"):
        _received(tmp_path / "kept", [Entry("a", FOLDER)])


def _received(folder, entries):
    reception = Reception(Index.of(folder))
    for each in entries:
        reception.entry(each)
    return reception.finish().digest()


def _remove(path):
    if path.is_dir() and not path.is_symlink():
        for each in path.iterdir():
            _remove(each)
        path.rmdir()
    else:
        path.unlink()


def _direct(folder):
    """Return what is in a folder as `Bench.seen` has it, with root's owners."""
    found = {}
    for each in folder.rglob("*"):
        mode = each.lstat().st_mode
        letter = {stat.S_IFDIR: "d", stat.S_IFREG: "-", stat.S_IFLNK: "l"}[stat.S_IFMT(mode)]
        text = str(each.readlink()) if letter == "l" else each.read_text() if letter == "-" else ""
        octal = "" if letter == "l" else f"{stat.S_IMODE(mode):o}"
        found[str(each.relative_to(folder))] = (letter + octal, "0:0", text)
    return found
