import io
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from moby_snapshotter.containerd.snapshots import Containerd
from moby_snapshotter.copy.snapshots import Copy
from moby_snapshotter.folders.shelf import Shelf
from moby_snapshotter.overlay.fuse.snapshots import FuseOverlay
from moby_snapshotter.overlay.snapshots import Overlay

from moby.contracts.types import Mount
from moby.errors import Conflict, HostUnfit, Invalid
from moby.host import mounts
from moby.host.files import read_text
from moby.host.mount_table import kind_at
from moby.host.overlay import escape, mount_root, paths_of
from moby.host.private_mounts import apart
from moby.host.user_maps import is_host_root
from moby.oci import layer
from moby.oci.layer import EntryType
from moby.oci.unpack import Limits
from moby.testing.snapshotter import SnapshotterSuite, commit, file, folder, link, tar
from moby.testing.snapshotter_mutants import MUTANTS


class TestOverlay(SnapshotterSuite):
    @pytest.fixture
    def store(self, tmp_path, metadata):
        return lambda: Overlay(tmp_path / "state", metadata)


@pytest.mark.slow
class TestOverlayInAnOddFolder(SnapshotterSuite):
    """Whose path has what an overlay's options give a meaning to."""

    @pytest.fixture
    def store(self, tmp_path, metadata):
        return lambda: Overlay(tmp_path / "a:b,c\\d e", metadata)


class TestCopy(SnapshotterSuite):
    @pytest.fixture
    def store(self, tmp_path, metadata):
        return lambda: Copy(tmp_path / "state", metadata)


@pytest.fixture(params=[Overlay, Copy])
def snapshotter(request, tmp_path, metadata):
    return request.param(tmp_path / "state", metadata)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_caught(mutant, tmp_path, metadata):
    def store():
        return mutant.wrap(Overlay(tmp_path / "state", metadata))

    given = {"store": store, "at": tmp_path / "mounted", "tmp_path": tmp_path, **dict(mutant.given)}
    test = getattr(SnapshotterSuite(), mutant.test)
    wanted = test.__func__.__code__.co_varnames[1 : test.__func__.__code__.co_argcount]
    with pytest.raises(BaseException) as caught:  # an assertion, pytest.fail, or what the fault raises
        test(**{name: given[name] for name in wanted})
    assert not isinstance(caught.value, KeyboardInterrupt | AttributeError | TypeError)


@pytest.mark.parametrize("part", ["overlay", "copy"])
def test_the_part_makes_one(part, tmp_path, metadata):
    import importlib

    from moby.contracts.ambient import Place

    module = importlib.import_module(f"moby_snapshotter.{part}.plugin")
    made = module.make(module.Config(max_unpacked_files=1), metadata=metadata, place=Place(*[tmp_path / "s"] * 3))
    made.prepare("a")
    with pytest.raises(Invalid, match="more than 1 files"):
        made.apply("a", io.BytesIO(tar(a=b"1", b=b"2")))


@pytest.mark.slow
@pytest.mark.parametrize(
    "test",
    [
        name
        for name in vars(SnapshotterSuite)
        if name.startswith("test_") and name not in {"test_layers_on_each_other", "test_hostile_layers_are_refused"}
    ],
)
def test_unprivileged(test, unprivileged):
    from moby_metadata.sqlite.store import Store

    def work(folder):
        with Store(folder / "metadata.db") as metadata:
            given = {"store": lambda: Overlay(folder / "state", metadata), "at": folder / "at", "tmp_path": folder}
            function = getattr(SnapshotterSuite, test)
            wanted = function.__code__.co_varnames[1 : function.__code__.co_argcount]
            function(SnapshotterSuite(), **{name: given[name] for name in wanted})

    unprivileged(work)


def test_what_a_killed_one_left_is_reclaimed(snapshotter, tmp_path):
    commit(snapshotter, "a", tar(a=b"1"))
    (tmp_path / "state/0left/fs").mkdir(parents=True)
    snapshotter.reclaim()
    assert len([each for each in (tmp_path / "state").iterdir() if each.is_dir()]) == 1
    assert snapshotter.usage("a").size_bytes == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts; the guests cover it")
def test_what_can_t_be_removed_keeps_no_engine_from_starting(snapshotter, tmp_path):
    for each in ("0left", "1left", "2left"):
        (tmp_path / f"state/{each}/fs").mkdir(parents=True)

    def work():
        mounts.mount("tmpfs", str(tmp_path / "state/1left/fs"), "tmpfs")
        with snapshotter:
            assert snapshotter.list() == ()
        left = [each.name for each in (tmp_path / "state").iterdir() if each.is_dir()]
        assert left == ["1left"]
        with pytest.raises(Conflict, match="mount point"):
            snapshotter.reclaim()

    apart(work)


@pytest.mark.skipif(os.geteuid() != 0, reason="makes devices; the guests cover it")
def test_no_device_is_opened_that_takes_a_file_s_place_meanwhile(snapshotter, tmp_path, monkeypatch):
    """Some do things when they are opened, and a container that may make their nodes may not open them."""
    snapshotter.prepare("c")
    snapshotter.apply("c", io.BytesIO(tar(a=b"x" * 300_000, b=b"1", c=b"2")))
    [at] = [Path(each.source) for each in snapshotter.mounts("c")]
    opened = []

    def watched(path, flags, *arguments, usual=os.open, **more):
        fd = usual(path, flags, *arguments, **more)
        opened.append(stat.S_IFMT(os.fstat(fd).st_mode))
        return fd

    for read in (snapshotter.diff, snapshotter.export):
        reading = read("c")
        first = next(reading)
        (at / "b").unlink()
        os.mknod(at / "b", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        monkeypatch.setattr(os, "open", watched)
        rest = b"".join(reading)
        monkeypatch.undo()
        assert {"a", "c"} <= {entry.path for entry, _ in layer.read(io.BytesIO(first + rest))}
        (at / "b").unlink()
        (at / "b").write_bytes(b"1")
    assert opened
    assert stat.S_IFCHR not in opened


_KILLED = """
import io, os, signal, sys
from pathlib import Path
from moby_metadata.sqlite.store import Store
from moby_snapshotter.{part}.snapshots import {kind}
class Source(io.BytesIO):
    def read(self, size=-1):
        if self.tell() > 100_000:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(min(size, 50_000) if size >= 0 else 50_000)
base = Path(sys.argv[1])
snapshotter = {kind}(base / "state", Store(base / "metadata.db"))
snapshotter.prepare("a")
snapshotter.apply("a", Source(sys.stdin.buffer.read()))
"""


def test_a_kill_leaves_an_active_one_that_can_be_removed(snapshotter, tmp_path):
    kind = type(snapshotter).__name__
    code = _KILLED.format(part=kind.lower(), kind=kind)
    done = subprocess.run([sys.executable, "-c", code, tmp_path], input=tar(a=b"x" * 500_000), check=False)
    assert done.returncode == -signal.SIGKILL
    assert [each.key for each in snapshotter.list()] == ["a"]
    snapshotter.remove("a")
    snapshotter.reclaim()
    assert [each for each in (tmp_path / "state").iterdir() if each.is_dir()] == []


def test_an_endless_layer_ends_at_the_limit(tmp_path, metadata):
    class Endless(io.RawIOBase):
        head = tar(a=b"x" * 1_000_000)[:512]
        left = b""

        def read(self, size=-1):
            self.left = self.left or tar(a=b"x" * 1_000_000)[:-1024]
            part, self.left = self.left[:size], self.left[size:]
            return part

    snapshotter = Overlay(tmp_path / "state", metadata, Limits(50_000_000, 1000))
    snapshotter.prepare("a")
    with pytest.raises(Invalid, match="more than 50000000 bytes"):
        snapshotter.apply("a", Endless())


def test_a_folder_below_keeps_its_attributes(snapshotter, tmp_path):
    from moby.oci.layer import EntryType, LayerEntry

    described = LayerEntry("d", EntryType.DIRECTORY, 0o700, xattrs={"user.a": b"1"})
    commit(snapshotter, "a", tar(described))
    commit(snapshotter, "b", tar(LayerEntry("d/f")), "a")
    found = [each / "d" for each in (tmp_path / "state").glob("*/fs") if (each / "d/f").exists()]
    assert [(stat.S_IMODE(each.stat().st_mode), os.listxattr(each)) for each in found] == [(0o700, ["user.a"])]


MARKS = ("user.overlay.opaque", "user.fuseoverlayfs.opaque")
"""Which mean nothing to the kernel where root mounts, so that a program inside may set them."""


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's mounts go by others")
@pytest.mark.parametrize("mark", MARKS)
def test_a_mark_that_a_program_sets_hides_nothing(tmp_path, metadata, mark):
    snapshotter = Overlay(tmp_path / "state", metadata)
    commit(snapshotter, "a", tar(folder("d"), file("d/below", b"1"), folder("gone"), file("gone/below", b"2")))
    snapshotter.prepare("b", "a")
    root, shown = tmp_path / "root", []
    root.mkdir()

    def work():
        mount_root(snapshotter.mounts("b"), str(root))
        os.setxattr(root / "d", mark, b"y")
        (root / "d/own").touch()
        shutil.rmtree(root / "gone")
        (root / "gone").mkdir()
        shown.extend(sorted(str(each.relative_to(root)) for each in root.rglob("*")))

    apart(work)
    assert shown == ["d", "d/below", "d/own", "gone"]
    assert names(b"".join(snapshotter.export("b"))) == [".", *shown]
    assert names(b"".join(snapshotter.diff("b"))) == ["d", "d/own", "gone", "gone/.wh..wh..opq"]
    snapshotter.commit("c", "b")
    snapshotter.prepare("e", "c")
    snapshotter.apply("e", io.BytesIO(tar(link("f", "d/below", EntryType.HARDLINK))))
    assert names(b"".join(snapshotter.diff("e"))) == ["d", "d/below", "f"]


def names(data):
    """Return the names of an archive, sorted; the root's own is `.`."""
    with tarfile.open(fileobj=io.BytesIO(data)) as found:
        return sorted(each.name for each in found)


@pytest.mark.skipif(os.geteuid() != 0, reason="device nodes take root")
def test_devices_and_owners(snapshotter, tmp_path):
    from moby.oci.layer import EntryType, LayerEntry

    device = LayerEntry("null", EntryType.CHARACTER, 0o666, 5, 6, device=(1, 3))
    capable = LayerEntry("c", xattrs={"user.a": b"1", "trusted.overlay.opaque": b"y", "user.overlay.opaque": b"y"})
    commit(snapshotter, "a", tar(device, capable))
    [fs] = (tmp_path / "state").glob("*/fs")
    found = (fs / "null").stat()
    assert (stat.S_ISCHR(found.st_mode), found.st_rdev, found.st_uid, found.st_gid) == (True, os.makedev(1, 3), 5, 6)
    assert os.listxattr(fs / "c") == ["user.a"]


def test_devices_are_left_out_rootless(unprivileged):
    from moby_metadata.sqlite.store import Store

    from moby.oci.layer import EntryType, LayerEntry

    def work(folder):
        with Store(folder / "metadata.db") as metadata:
            snapshotter = Overlay(folder / "state", metadata)
            commit(snapshotter, "a", tar(LayerEntry("null", EntryType.CHARACTER, 0o666, device=(1, 3)), b=b"1"))
            [fs] = (folder / "state").glob("*/fs")
            assert [each.name for each in fs.iterdir()] == ["b"]

    unprivileged(work)


def test_mounting_that_fails(tmp_path):
    with pytest.raises(HostUnfit, match="can't mount"):
        mount_root([Mount("/", str(tmp_path / "nowhere"), "bind", ("rbind",))], str(tmp_path))
    many = ":".join(f"{tmp_path}/{number:0>200}" for number in range(400))
    with pytest.raises(HostUnfit, match="too many"):
        mount_root([Mount("/", "overlay", "overlay", (f"lowerdir={many}",))], str(tmp_path))


def test_paths_in_options():
    paths = ["/a:b", "/c,d", "/e\\f", "/g"]
    options = (f"lowerdir={':'.join(map(escape, paths))}", f"upperdir={escape(paths[2])}", "userxattr")
    assert paths_of(options) == {"lowerdir": paths, "upperdir": paths[2:3]}


def test_a_folder_that_may_not_be_written(unprivileged):
    from moby_metadata.sqlite.store import Store

    def work(folder):
        (folder / "state").mkdir(mode=0o500)
        with Store(folder / "metadata.db") as metadata, pytest.raises(HostUnfit, match="make a snapshot"):
            Overlay(folder / "state", metadata).prepare("a")

    unprivileged(work)


def test_starting_waits_for_nobody(snapshotter, tmp_path):
    commit(snapshotter, "a", tar(a=b"1"))
    (tmp_path / "state/0left").mkdir()
    with snapshotter._shelf._lock(exclusive=False), snapshotter:
        assert (tmp_path / "state/0left").exists()
    with snapshotter:
        assert not (tmp_path / "state/0left").exists()


def test_one_is_removed_without_a_look_at_all_others(snapshotter, tmp_path, monkeypatch):
    for key in ("one", "two", "three"):
        commit(snapshotter, key, tar(file=b"1"))
    commit(snapshotter, "on", tar(more=b"2"), "three")
    snapshotter.remove("one")
    monkeypatch.setattr(Shelf, "records", None)
    snapshotter.remove("two")
    with pytest.raises(Conflict, match="has others on it: on"):
        snapshotter.remove("three")
    snapshotter.link("three", "alias")
    snapshotter.remove("three")
    with pytest.raises(Conflict, match="has others on it: on"):
        snapshotter.remove("alias")
    snapshotter.remove("on")
    snapshotter.remove("alias")


def test_what_is_on_one_is_known_though_an_older_engine_did_not_write_it_down(snapshotter, metadata):
    commit(snapshotter, "one", tar(file=b"1"))
    commit(snapshotter, "on", tar(more=b"2"), "one")
    written = metadata.bucket(f"snapshots/{snapshotter.name}/on")
    for key in written.keys():  # noqa: SIM118  # a bucket is no dictionary
        written.delete(key)
    with pytest.raises(Conflict, match="has others on it: on"):
        snapshotter.remove("one")
    snapshotter.remove("on")
    snapshotter.remove("one")


def test_what_is_said_of_how_layers_are_kept(tmp_path, metadata):
    overlay, copy = (kind(tmp_path / kind.name, metadata) for kind in (Overlay, Copy))
    on = {"Backing Filesystem": kind_at(str(tmp_path))}
    assert on["Backing Filesystem"] in read_text("/proc/filesystems").split()
    assert copy.details() == on
    assert FuseOverlay(tmp_path / "fuse", metadata, "fuse-overlayfs").details() == on
    assert Containerd(tmp_path / "names", metadata, None, "native").details() == {
        "driver-type": "io.containerd.snapshotter.v1"
    }
    own = {"Using metacopy": "false", "Native Overlay Diff": "true", "userxattr": str(not is_host_root()).lower()}
    there = {each.name for each in tmp_path.iterdir()}
    assert [*overlay.details().items()] == [*on.items(), ("Supports d_type", "true"), *own.items()]
    assert {each.name for each in tmp_path.iterdir()} == there


def test_a_file_system_whose_folders_tell_no_kinds(tmp_path):
    """Is made of ext4 without that feature (ext4(5), filetype)."""
    if os.geteuid() or not shutil.which("mke2fs"):
        pytest.skip("root makes a file system, by mke2fs")
    image, place = tmp_path / "image", tmp_path / "place"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(8 << 20)
    script = """
import sys
from pathlib import Path
from moby_snapshotter.overlay.entries import tells_kinds
print(tells_kinds(Path(sys.argv[1])))
"""
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^filetype", str(image)], check=True)
    shown = 'mount -o loop "$1" "$2" && exec "$0" -c "$3" "$2"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", shown, sys.executable, str(image), str(place), script],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "False\n", done.stderr


@pytest.mark.parametrize("kind", ["overlay", "fuse-overlayfs"])
def test_folders_of_a_snapshot(tmp_path, metadata, kind):
    kinds = {"overlay": Overlay, "fuse-overlayfs": lambda *given: FuseOverlay(*given, "fuse-overlayfs")}
    with kinds[kind](tmp_path, metadata) as snapshotter:
        for name, below, layer in (("one", "", tar(a=b"1")), ("two", "one", tar(b=b"2"))):
            commit(snapshotter, name, layer, below)
        one, two = (dict(snapshotter.details(each)) for each in ("one", "two"))
        assert [each.name for each in Path(one["UpperDir"]).iterdir()] == ["a"]
        assert [each.name for each in Path(two["UpperDir"]).iterdir()] == ["b"]
        assert (one.get("LowerDir"), two["LowerDir"]) == (None, one["UpperDir"])
        (mounted,) = snapshotter.prepare("own", "two")
        own = snapshotter.details("own")
        assert own["LowerDir"] == f"{two['UpperDir']}:{one['UpperDir']}"
        assert {f"upperdir={own['UpperDir']}", f"workdir={own['WorkDir']}"} < set(mounted.options)
        snapshotter.view("seen", "two")
        assert snapshotter.details("seen") == {"LowerDir": own["LowerDir"]}


def test_no_folders_of_whole_trees(tmp_path, metadata):
    with Copy(tmp_path, metadata) as snapshotter:
        commit(snapshotter, "one", tar(a=b"1"))
        assert snapshotter.details("one") == {}
