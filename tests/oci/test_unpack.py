import errno
import io
import os
import stat

import pytest
from descriptors import closed_again, descriptors
from hypothesis import given
from hypothesis import strategies as st

from moby.errors import HostUnfit, Invalid
from moby.host import tree
from moby.oci import layer
from moby.oci.layer import EntryType, LayerEntry
from moby.oci.unpack import Limits, Unpacking

ROOT = os.geteuid() == 0


def folder(path, mode=0o755, **more):
    return LayerEntry(path, EntryType.DIRECTORY, mode, **more), b""


def file(path, data=b"x", mode=0o644, **more):
    return LayerEntry(path, mode=mode, size_bytes=len(data), **more), data


def symlink(path, link):
    return LayerEntry(path, EntryType.SYMLINK, link=link), b""


def hardlink(path, link):
    return LayerEntry(path, EntryType.HARDLINK, link=link), b""


def device(path, kind=EntryType.CHARACTER):
    return LayerEntry(path, kind, 0o666, device=(1, 3)), b""


def unpack(root, *layers, owners=ROOT, limits=None):
    """Unpack layers, each a list of entries with their bytes, into a folder."""
    root_fd = os.open(root, tree.DIRECTORY_FLAGS)
    try:
        unpacking = Unpacking(root_fd, owners, limits or Limits())
        for each in layers:
            with layer.write((entry, [data]) for entry, data in each) as tar:
                unpacking.apply(tar)
        unpacking.finish()
    finally:
        os.close(root_fd)


def listing(root):
    """What is in a folder: path to bytes, to `-> link`, or to None for a folder."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            found[name] = None if path.is_dir() else path.read_bytes()
    return found


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    yield root
    parent = os.open(tmp_path, tree.DIRECTORY_FLAGS)
    tree.remove(parent, root.name)  # which may be deeper than Python's own can remove
    os.close(parent)


# What layers mean


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        pytest.param([[file("a/b", b"1")]], {"a": None, "a/b": b"1"}, id="missing-parents-are-made"),
        pytest.param([[file("a", b"1")], [file("a", b"2")]], {"a": b"2"}, id="file-over-file"),
        pytest.param([[file("a/b")], [file("a", b"2")]], {"a": b"2"}, id="file-over-folder"),
        pytest.param([[file("a")], [folder("a"), file("a/b")]], {"a": None, "a/b": b"x"}, id="folder-over-file"),
        pytest.param([[file("a/b")], [folder("a")]], {"a": None, "a/b": b"x"}, id="folder-over-folder"),
        pytest.param([[symlink("a", "b"), folder("b")], [folder("a")]], {"a": None, "b": None}, id="folder-over-link"),
        pytest.param([[symlink("a", "b"), file("b")], [file("a", b"2")]], {"a": b"2", "b": b"x"}, id="file-over-link"),
        pytest.param(
            [[file("a", b"1"), hardlink("b", "a")], [file("a", b"2")]], {"a": b"2", "b": b"1"}, id="file-over-hard-link"
        ),
        pytest.param([[file("a"), hardlink("a", "a")]], {"a": b"x"}, id="hard-link-to-itself"),
        pytest.param(
            [[symlink("l", "nowhere"), hardlink("m", "l")]],
            {"l": "-> nowhere", "m": "-> nowhere"},
            id="hard-link-to-link",
        ),
        pytest.param(
            [[folder("usr/bin"), symlink("bin", "usr/bin")], [file("bin/sh")]],
            {"bin": "-> usr/bin", "usr": None, "usr/bin": None, "usr/bin/sh": b"x"},
            id="parent-is-link",
        ),
        pytest.param(
            [[folder("b"), symlink("a", "/b")], [file("a/c")]],
            {"a": "-> /b", "b": None, "b/c": b"x"},
            id="parent-is-absolute-link",
        ),
        pytest.param(
            [[symlink("a", "b/c")], [file("a/d")]],
            {"a": "-> b/c", "b": None, "b/c": None, "b/c/d": b"x"},
            id="parent-is-dangling-link",
        ),
        pytest.param([[file("a"), file("b")], [file(".wh.a", b"")]], {"b": b"x"}, id="whiteout"),
        pytest.param([[file("a/b/c")], [file("a/.wh.b", b"")]], {"a": None}, id="whiteout-of-folder"),
        pytest.param([[file("a")], [file("a/b/.wh.c", b"")]], None, id="whiteout-below-file"),
        pytest.param([[file("a")], [file("b/.wh.c", b"")]], {"a": b"x"}, id="whiteout-of-nothing"),
        pytest.param([[file("a")], [file(".wh.a", b""), file("a", b"2")]], {"a": b"2"}, id="whiteout-then-new"),
        pytest.param([[file("a")], [file("a", b"2"), file(".wh.a", b"")]], {"a": b"2"}, id="new-then-whiteout"),
        pytest.param(
            [[file("a/b"), file("a/c")], [file("a/d"), file(".wh.a", b"")]],
            {"a": None, "a/d": b"x"},
            id="whiteout-keeps-own-inside",
        ),
        pytest.param(
            [[file("a/b/c")], [file("a/.wh..wh..opq", b""), file("a/d")]], {"a": None, "a/d": b"x"}, id="opaque"
        ),
        pytest.param(
            [[file("a/b/c")], [file("a/b/d"), file("a/.wh..wh..opq", b"")]],
            {"a": None, "a/b": None, "a/b/d": b"x"},
            id="opaque-last",
        ),
        pytest.param([[file("a")], [file(".wh..wh..opq", b"")]], {}, id="opaque-root"),
        pytest.param([[file(".wh..wh.plnk/1.2"), file(".wh..wh.aufs"), file("a")]], {"a": b"x"}, id="aufs-records"),
        pytest.param(
            [[folder("usr/a"), file("usr/a/b"), symlink("l", "usr")], [file("l/.wh.a", b"")]],
            {"l": "-> usr", "usr": None},
            id="whiteout-through-link",
        ),
    ],
)
def test_layers_add_up(root, layers, expected):
    if expected is None:
        with pytest.raises(Invalid):
            unpack(root, *layers)
        return
    unpack(root, *layers)
    assert listing(root) == expected


def test_modes_and_times(root):
    time = 1_000_000_000_123_456_789
    unpack(root, [folder("a", 0o1777, mtime_ns=time), file("a/f", mode=0o4755, mtime_ns=time), file("b/c")])
    for path, mode in (("a", 0o1777), ("a/f", 0o4755)):
        found = (root / path).stat()
        assert (stat.S_IMODE(found.st_mode), found.st_mtime_ns) == (mode, time)
    assert stat.S_IMODE((root / "b").stat().st_mode) == stat.S_IMODE(root.stat().st_mode) == 0o755


MODES = (0o644, 0o600, 0o4755, 0o666, 0o2777, 0, 0o1777, 0o400)
DEFAULT_ACL = bytes.fromhex("02000000 01000500ffffffff 04000000ffffffff 20000000ffffffff")
"""For new files: their owner may read and execute, and nobody else anything (linux, posix_acl_xattr.h)."""


@pytest.mark.parametrize("umask", [0, 0o22, 0o777])
@pytest.mark.parametrize("acl", [False, True])
@pytest.mark.skipif(not ROOT, reason="gives files away")
def test_modes_and_owners_are_the_layers_whatever_a_folder_gives_to_new_files(root, umask, acl):
    os.chown(root, 0, 7)
    root.chmod(0o2755)
    if acl:
        os.setxattr(root, "system.posix_acl_default", DEFAULT_ACL)
    entries = [
        file(f"{above}{mode:o}-{uid}-{gid}", b"x", mode, uid=uid, gid=gid)
        for above in ("", "d/")
        for mode in MODES
        for uid, gid in ((0, 0), (0, 7), (1, 7), (3, 4))
    ]
    before = os.umask(umask)
    try:
        unpack(root, entries)
    finally:
        os.umask(before)
    for entry, _ in entries:
        found = (root / entry.path).stat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (entry.mode, entry.uid, entry.gid)


def test_the_root_has_attributes_too(root):
    unpack(root, [folder("", 0o700, mtime_ns=5)])
    assert (stat.S_IMODE(root.stat().st_mode), root.stat().st_mtime_ns) == (0o700, 5)


def test_a_later_layer_writes_into_a_folder_that_may_not_be_written(unprivileged):
    def unpacking(where):
        unpack(where, [folder("a", 0o555), file("a/b")], [file("a/c")], owners=False)
        assert sorted(each.name for each in (where / "a").iterdir()) == ["b", "c"]
        assert stat.S_IMODE((where / "a").stat().st_mode) == 0o555

    unprivileged(unpacking)


def test_attributes_go_with_their_folder(root):
    unpack(root, [folder("a/b", 0o700), folder("c", 0o700)], [file(".wh.a", b""), file("c")], [file("a/b/d")])
    assert stat.S_IMODE((root / "a/b").stat().st_mode) == 0o755
    assert (root / "c").read_bytes() == b"x"


OVERLAYS = ("trusted.overlay.opaque", "user.overlay.opaque", "user.fuseoverlayfs.opaque")


def test_user_attributes_are_kept_and_overlays_are_not(root):
    try:
        os.setxattr(root, "user.probe", b"1")
    except OSError:
        pytest.skip("this file system has no extended attributes; every guest covers it")
    unpack(root, [file("a", xattrs={"user.x": b"y", **dict.fromkeys(OVERLAYS, b"y")})])
    assert os.listxattr(root / "a") == ["user.x"]


@pytest.mark.skipif(not ROOT, reason="takes root; the guests cover it")
def test_owners_are_kept_for_root(root):
    unpack(root, [folder("a", uid=7, gid=8), file("a/f", mode=0o4755, uid=9, gid=10), symlink("l", "x")])
    owned = [(path.lstat().st_uid, path.lstat().st_gid) for path in (root / "a", root / "a/f", root / "l")]
    assert owned == [(7, 8), (9, 10), (0, 0)]
    assert stat.S_IMODE((root / "a/f").stat().st_mode) == 0o4755


@pytest.mark.skipif(not ROOT, reason="takes root; the guests cover it")
def test_a_hard_link_sets_owner_mode_and_time_but_not_those_of_a_symlink(root):
    def hard(path, link):
        return LayerEntry(path, EntryType.HARDLINK, 0o4711, 3, 4, 0, 7_000_000_000, link=link), b""

    unpack(root, [file("a", mode=0o600, mtime_ns=5), symlink("l", "x"), hard("b", "a"), hard("m", "l")])
    found = (root / "a").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, found.st_mtime_ns) == (0o4711, 3, 4, 7_000_000_000)
    found = (root / "l").lstat()
    assert (found.st_uid, found.st_gid, found.st_mtime_ns) == (3, 4, 0)


CAPABILITY = bytes.fromhex("01000002 00200000 00000000 00000000 00000000")
"""CAP_NET_RAW, effective (linux/capability.h)."""


@pytest.mark.parametrize("owner", [(0, 0), (3, 4)])
@pytest.mark.parametrize("told", [False, True])
@pytest.mark.skipif(not ROOT, reason="takes root; the guests cover it")
def test_a_hard_link_takes_no_capability_away(root, owner, told):
    def hard(path, link, xattrs):
        return LayerEntry(path, EntryType.HARDLINK, 0o755, *owner, link=link, xattrs=xattrs), b""

    given = {"security.capability": CAPABILITY}
    first = (0, 0) if told else owner
    unpack(
        root, [file("a", mode=0o755, uid=first[0], gid=first[1], xattrs=given), hard("b", "a", given if told else {})]
    )
    found = (root / "a").stat()
    assert (found.st_nlink, found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (2, *owner, 0o755)
    assert os.getxattr(root / "a", "security.capability") == CAPABILITY


def test_a_hard_link_to_a_file_that_its_owner_may_not_read_is_made(unprivileged):
    def unpacking(where):
        hard = LayerEntry("b", EntryType.HARDLINK, 0o200, link="a", xattrs={"user.x": b"y"}), b""
        unpack(where, [file("a", mode=0o200), hard], owners=False)
        assert (where / "b").stat().st_nlink == 2

    unprivileged(unpacking)


def test_a_file_is_never_open_to_others_that_it_is_not_for(root):
    """What is in a folder first, too: somebody may look while its bytes still come."""
    seen = []

    class Watched(io.BytesIO):
        def read(self, size=-1):
            seen.extend(stat.S_IMODE(each.stat().st_mode) for each in root.rglob("*"))
            return super().read(min(size, 4096))

    root_fd = os.open(root, tree.DIRECTORY_FLAGS)
    try:
        with layer.write([(LayerEntry("secret", mode=0o600, size_bytes=1 << 16), [bytes(range(256)) * 256])]) as tar:
            Unpacking(root_fd, ROOT).apply(Watched(tar.read()))
    finally:
        os.close(root_fd)
    assert set(seen) == {0o600}


def test_a_file_that_has_no_name_is_passed_over(root):
    nameless = LayerEntry(".", size_bytes=1), b"x"
    unpack(root, [nameless, file("a"), nameless, file("b")])
    assert listing(root) == {"a": b"x", "b": b"x"}


def test_folders_keep_user_attributes(root):
    try:
        os.setxattr(root, "user.probe", b"1")
    except OSError:
        pytest.skip("this file system has no extended attributes; every guest covers it")
    unpack(
        root, [folder("", xattrs={"user.r": b"1"}), folder("a", xattrs={"user.x": b"y", "user.overlay.opaque": b"y"})]
    )
    assert os.listxattr(root / "a") == ["user.x"]
    assert sorted(os.listxattr(root)) == ["user.probe", "user.r"]


@pytest.mark.skipif(not ROOT, reason="takes root; the guests cover it")
def test_devices_are_made_for_root(root):
    unpack(root, [device("c"), device("b", EntryType.BLOCK)])
    assert (root / "c").stat().st_rdev == (root / "b").stat().st_rdev == os.makedev(1, 3)
    assert (root / "c").is_char_device()
    assert (root / "b").is_block_device()


def test_a_kernel_that_forbids_devices_is_no_error(root, monkeypatch):
    def forbidden(*arguments, **more):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "mknod", forbidden)
    mine = {"uid": os.geteuid(), "gid": os.getegid()}
    unpack(root, [folder("", **mine), device("c"), file("a", **mine)], owners=True)
    assert listing(root) == {"a": b"x"}


def test_an_ordinary_user_owns_all_and_gets_no_devices(unprivileged):
    def unpacking(where):
        entries = [folder("a", uid=7), file("a/f", uid=9, gid=10), device("c"), (LayerEntry("p", EntryType.FIFO), b"")]
        unpack(where, entries, owners=False)
        assert sorted(each.name for each in where.iterdir()) == ["a", "p"]
        assert {each.stat().st_uid for each in where.rglob("*")} == {os.geteuid()}

    unprivileged(unpacking)


# What hostile layers try


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        pytest.param([[symlink("a", "b"), symlink("b", "a"), file("a/c")]], "levels of symbolic links", id="loop"),
        pytest.param([[symlink("a", "a/a"), file("a/c")]], "levels of symbolic links|nested deeper", id="growing-loop"),
        pytest.param([[file("a"), file("a/b")]], "Not a directory", id="below-file"),
        pytest.param([[hardlink("a", "b")]], "No such file", id="hard-link-to-nothing"),
        pytest.param([[hardlink("a", "b/c")]], "No such file", id="hard-link-below-nothing"),
        pytest.param([[folder("b"), hardlink("a", "b")]], "points to a folder", id="hard-link-to-folder"),
        pytest.param([[hardlink("a", "")]], "points to the root", id="hard-link-to-root"),
        pytest.param([[file("a/b"), hardlink("a", "a/b")]], "No such file", id="hard-link-over-its-parent"),
        pytest.param([[file(".wh.", b"")]], "names nothing", id="whiteout-empty"),
        pytest.param([[file("a/.wh..", b"")]], "names nothing", id="whiteout-self"),
        pytest.param([[file("a/.wh...", b"")]], "names nothing", id="whiteout-parent"),
        pytest.param([[file("ä" * 200)]], "File name too long", id="long-name"),
        pytest.param([[file("a/" * 1500 + "b")]], "nested deeper", id="deep"),
        pytest.param(
            [
                [symlink("a", "b/" * 1000), symlink("c", "a/" * 2), file("a/d")],
                [symlink("b/" * 999 + "b/e", "/a"), file("a/e/" + "f/" * 100)],
            ],
            "nested deeper",
            id="deep-by-links",
        ),
    ],
)
def test_refuses(root, layers, message):
    with pytest.raises(Invalid, match=message):
        unpack(root, *layers)


@pytest.mark.parametrize(
    "link", ["/", "..", "../..", "/..", "../outside", "/../outside", "a/../../outside", "OUTSIDE", "."]
)
@pytest.mark.parametrize(
    "inside",
    [
        pytest.param([file("l/victim", b"bad")], id="file"),
        pytest.param([folder("l/victim/new", 0o777)], id="folder"),
        pytest.param([symlink("l/victim", "/etc/passwd"), file("l/victim", b"bad")], id="link-then-file"),
        pytest.param([file("l/.wh.victim", b"")], id="whiteout"),
        pytest.param([file("l/.wh..wh..opq", b"")], id="opaque"),
        pytest.param([file("l/outside/victim", b"bad")], id="deeper"),
        pytest.param([folder("l", 0o777)], id="replaced"),
    ],
)
def test_nothing_outside_is_touched(tmp_path, root, link, inside):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("mine")
    before = sorted(tmp_path.iterdir()), outside.stat().st_mode, outside.stat().st_mtime_ns
    unpack(root, [symlink("l", link.replace("OUTSIDE", str(outside)))], inside)
    assert (sorted(tmp_path.iterdir()), outside.stat().st_mode, outside.stat().st_mtime_ns) == before
    assert listing(outside) == {"victim": b"mine"}


def test_hard_link_does_not_reach_out(tmp_path, root):
    (tmp_path / "secret").write_text("mine")
    for link in ("..", "../..", str(tmp_path)):
        with pytest.raises(Invalid, match="No such file"):
            unpack(root, [symlink("l", link), hardlink("a", "l/secret")])
    assert (tmp_path / "secret").stat().st_nlink == 1


def test_hard_link_to_a_link_does_not_follow_it(tmp_path, root):
    (tmp_path / "secret").write_text("mine")
    unpack(root, [symlink("l", str(tmp_path / "secret")), hardlink("a", "l"), file("a", b"bad")])
    assert (tmp_path / "secret").read_text() == "mine"


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        pytest.param(Limits(bytes=10), "more than 10 bytes", id="bytes"),
        pytest.param(Limits(entries=2), "more than 2 files", id="entries"),
        pytest.param(Limits(entries=8), "more than 8 files", id="folders-that-are-implied"),
    ],
)
def test_limits(root, limits, message):
    with pytest.raises(Invalid, match=message):
        unpack(root, [file("a", b"12345"), file("b/b/b/b/b/b/b/b", b"123456"), file("c", b"")], limits=limits)


def test_a_full_disk_is_the_hosts_fault(root, monkeypatch):
    def full(fd, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(HostUnfit, match="No space left"):
        unpack(root, [file("a")])


def test_leaves_no_descriptor_open(root):
    before = descriptors()
    unpack(root, [file(f"{i}/{i}/{i}") for i in range(100)], [file(f"{i}/.wh.{i}", b"") for i in range(100)])
    with pytest.raises(Invalid):
        unpack(root, [file("a"), file("a/b")])
    closed_again(before)


NAMES = st.sampled_from(["a", "b", "c", ".wh.a", ".wh.b", ".wh..wh..opq"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
LINKS = st.sampled_from(["a", "b", "..", "../a", "/", "/b/a", "../../x", "."])
ENTRIES = st.one_of(
    st.builds(file, PATHS),
    st.builds(folder, PATHS, st.sampled_from([0o755, 0o000])),
    st.builds(symlink, PATHS, LINKS),
    st.builds(hardlink, PATHS, PATHS),
    st.builds(folder, st.just("")),
)


@pytest.mark.slow
@given(st.lists(st.lists(ENTRIES, max_size=8), max_size=3))
def test_any_layers_unpack_or_are_invalid_and_stay_inside(tmp_path_factory, layers):
    base = tmp_path_factory.mktemp("any")
    (base / "root").mkdir()
    (base / "x").write_text("mine")
    try:
        unpack(base / "root", *layers)
    except Invalid as error:
        assert error.message
    assert sorted(each.name for each in base.iterdir()) == ["root", "x"]
    assert (base / "x").read_text() == "mine"
    fd = os.open(base, tree.DIRECTORY_FLAGS)
    tree.remove(fd, "root")
    os.close(fd)


def test_damaged_tar_is_invalid(root):
    fd = os.open(root, tree.DIRECTORY_FLAGS)
    with pytest.raises(Invalid, match="ends inside"):
        Unpacking(fd, ROOT).apply(io.BytesIO(b"x"))
    os.close(fd)
