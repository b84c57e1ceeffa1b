"""Layers that the program fuse-overlayfs shows: a process for each mount."""

import contextlib
import os
import stat
import subprocess
import time
from pathlib import Path

import pytest
from moby_metadata.sqlite.store import Store
from moby_snapshotter.overlay.fuse import plugin
from moby_snapshotter.overlay.fuse.snapshots import FuseOverlay
from peers import binaries

from moby.contracts.ambient import Place
from moby.errors import HostUnfit
from moby.host.overlay import mount_root, unmount_root
from moby.host.private_mounts import apart
from moby.host.processes import set_child_subreaper
from moby.testing.mounted import mounted, own_mounts
from moby.testing.snapshotter import SnapshotterSuite, commit, file, folder, tar
from moby.testing.snapshotter_mutants import MUTANTS

pytestmark = pytest.mark.skipif(os.geteuid() != 0 or not os.access("/dev/fuse", os.W_OK), reason="no /dev/fuse here")


@pytest.fixture(autouse=True, scope="module")
def reaped():
    """Have what leaves its maker be this process's child, which reaps it: not every machine's first process does."""
    before = set_child_subreaper()
    yield
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    set_child_subreaper(before)


@pytest.fixture
def program(monkeypatch):
    """The program, which finds its libraries."""
    found = binaries.need("fuse-overlayfs", "fuse-overlayfs")
    monkeypatch.setenv("LD_LIBRARY_PATH", binaries.environment()["LD_LIBRARY_PATH"])
    return str(found)


@pytest.fixture
def fuse(tmp_path, metadata, program):
    return FuseOverlay(tmp_path / "state", metadata, program)


@pytest.mark.slow
class TestFuseOverlayfs(SnapshotterSuite):
    @pytest.fixture(params=["state", pytest.param("a,c\\d e", marks=pytest.mark.long)], ids=["plain", "odd"])
    def store(self, tmp_path, metadata, program, request):
        return lambda: FuseOverlay(tmp_path / request.param, metadata, program)


@pytest.mark.long
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_caught(mutant, tmp_path, metadata, program):
    def store():
        return mutant.wrap(FuseOverlay(tmp_path / "state", metadata, program))

    given = {"store": store, "at": tmp_path / "mounted", "tmp_path": tmp_path, **dict(mutant.given)}
    test = getattr(SnapshotterSuite(), mutant.test)
    wanted = test.__func__.__code__.co_varnames[1 : test.__func__.__code__.co_argcount]
    with pytest.raises(BaseException) as caught:  # an assertion, pytest.fail, or what the fault raises
        test(**{name: given[name] for name in wanted})
    assert not isinstance(caught.value, KeyboardInterrupt | AttributeError | TypeError)


def processes(state):
    """The programs that show what is in a folder."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            words = (each / "cmdline").read_bytes()
            links = list((each / "fd").iterdir())
        except OSError:
            continue
        if b"fuse-overlayfs" in words and any(leads(link, state) for link in links):
            found.append(int(each.name))
    return found


def leads(link, folder):
    """Whether a process's descriptor is of something in a folder, and isn't closed meanwhile."""
    try:
        return link.readlink().is_relative_to(folder)
    except OSError:
        return False


def gone(state):
    limit = time.monotonic() + 60
    while processes(state):
        assert time.monotonic() < limit, "a process that shows nothing any more goes on"
        time.sleep(0.01)


def test_it_shows_layers_and_its_process_ends_with_the_mount(fuse, tmp_path):
    top = commit(fuse, "low", tar(folder("d"), file("d/a", b"1")))
    at = tmp_path / "at"

    def look(root):
        assert len(processes(tmp_path / "state")) == 1
        assert (root / "d/a").read_text() == "1"
        os.chdir(root)
        os.seteuid(65534)  # who isn't the one that mounted it
        assert Path("d/a").read_text() == "1"
        os.seteuid(0)
        os.chdir("/")

    mounted(fuse.prepare("c", top), at, look)
    gone(tmp_path / "state")


def test_a_thread_with_mounts_of_its_own_takes_them_along(fuse, tmp_path):
    """As who looks into a container that is stopped, and ends without unmounting."""
    top = commit(fuse, "low", tar(a=b"1"))
    at = tmp_path / "at"
    at.mkdir()

    def work():
        mount_root(fuse.prepare("c", top), str(at))
        assert (at / "a").read_text() == "1"

    apart(work)
    gone(tmp_path / "state")
    assert list(at.iterdir()) == []


def test_no_mark_of_the_program_s_is_in_a_layer(fuse, tmp_path):
    top = commit(fuse, "low", tar(folder("d"), file("d/a", b"1")))

    def change(root):
        (root / "d/a").unlink()
        (root / "d").rmdir()
        (root / "d").mkdir()
        (root / "new").mkdir()
        (root / "new/f").write_text("1")

    mounted(fuse.prepare("c", top), tmp_path / "at", change)
    assert {each.path for each in fuse.changes("c")} == {"/d", "/new", "/new/f"}
    fuse.commit("high", "c")
    assert fuse.usage("high").inodes == 3
    names = {path.name for path in (tmp_path / "state").glob("*/fs/**/*")}
    assert names == {"d", "a", "new", "f"}


def test_a_program_that_is_not_there(tmp_path, metadata):
    config = plugin.Config(binary=str(tmp_path / "nowhere"))
    made = plugin.make(config, metadata=metadata, place=Place(*[tmp_path / "s"] * 3))
    top = commit(made, "low", tar(a=b"1"))
    at = tmp_path / "at"
    at.mkdir()
    with pytest.raises(HostUnfit, match="nowhere is not there") as caught:
        apart(lambda: mount_root(made.prepare("c", top), str(at)))
    assert "fuse-overlayfs" in caught.value.hint


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("#!/bin/sh\necho no luck today >&2; exit 3", "failed: no luck today"),
        ("#!/bin/sh\nexit 3", "failed: it ended with 3"),
        ("no program", "can't be run: Exec format error"),
    ],
)
def test_a_program_that_fails(tmp_path, metadata, script, message):
    program = tmp_path / "program"
    program.write_text(script)
    program.chmod(0o755)
    made = FuseOverlay(tmp_path / "state", metadata, str(program))
    top = commit(made, "low", tar(a=b"1"))
    at = tmp_path / "at"
    at.mkdir()

    def work():
        with pytest.raises(HostUnfit, match=message):
            mount_root(made.prepare("c", top), str(at))
        assert not os.path.ismount(at)

    apart(work)


def test_a_folder_that_it_cannot_name(tmp_path, metadata, program):
    made = FuseOverlay(tmp_path / "a:b", metadata, program)
    top = commit(made, "low", tar(a=b"1"))
    with pytest.raises(HostUnfit, match="takes a colon for the end of a path"):
        mount_root(made.prepare("c", top), str(tmp_path))


def test_no_device(fuse, tmp_path, monkeypatch):
    top = commit(fuse, "low", tar(a=b"1"))
    mounts = fuse.prepare("c", top)

    def work():
        subprocess.run(["mount", "-t", "tmpfs", "none", "/dev"], check=True)
        with pytest.raises(HostUnfit, match="needs /dev/fuse: No such file"):
            mount_root(mounts, str(tmp_path))

    apart(work)


def test_one_that_is_killed_leaves_what_can_be_mounted_again(fuse, tmp_path):
    top = commit(fuse, "low", tar(a=b"1"))
    at = tmp_path / "at"
    at.mkdir()

    def work():
        mounts = fuse.prepare("c", top)
        mount_root(mounts, str(at))
        (at / "b").write_text("2")
        [pid] = processes(tmp_path / "state")
        os.kill(pid, 9)
        gone(tmp_path / "state")
        with pytest.raises(OSError, match="not connected"):
            (at / "b").read_text()
        unmount_root(str(at), mounts)
        mount_root(mounts, str(at))
        assert (at / "b").read_text() == "2"
        unmount_root(str(at), mounts)

    apart(work)
    gone(tmp_path / "state")


@pytest.fixture
def open_device(tmp_path):
    """Have /dev/fuse be everybody's, as on most hosts, in this process alone."""
    place = tmp_path / "dev"
    place.mkdir()
    with own_mounts():
        subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
        os.mknod(place / "fuse", 0o666 | stat.S_IFCHR, os.makedev(10, 229))
        (place / "fuse").chmod(0o666)
        subprocess.run(["mount", "--bind", place / "fuse", "/dev/fuse"], check=True)
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("open_device")
@pytest.mark.parametrize(
    "test",
    [
        name
        for name in vars(SnapshotterSuite)
        if name.startswith("test_") and name not in {"test_layers_on_each_other", "test_hostile_layers_are_refused"}
    ],
)
def test_unprivileged(test, unprivileged, program):
    def work(folder):
        with Store(folder / "metadata.db") as metadata:
            made = FuseOverlay(folder / "state", metadata, program)
            given = {"store": lambda: made, "at": folder / "at", "tmp_path": folder}
            function = getattr(SnapshotterSuite, test)
            wanted = function.__code__.co_varnames[1 : function.__code__.co_argcount]
            function(SnapshotterSuite(), **{name: given[name] for name in wanted})

    unprivileged(work)
