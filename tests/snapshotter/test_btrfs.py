"""Snapshots that are subvolumes, on a btrfs in a file."""

import errno
import io
import os
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from moby_metadata.sqlite.store import Store
from moby_snapshotter.btrfs import plugin
from moby_snapshotter.btrfs.snapshots import Btrfs
from peers import binaries

from moby.contracts.ambient import Place
from moby.errors import HostUnfit
from moby.host import btrfs, mounts
from moby.testing.as_user import NOBODY, as_nobody
from moby.testing.mounted import mounted, own_mounts
from moby.testing.snapshotter import SnapshotterSuite, commit, folder, tar
from moby.testing.snapshotter_mutants import MUTANTS


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """A folder on btrfs, which this process alone sees, and which goes with it."""
    if os.geteuid():
        pytest.skip("only root mounts a file system")
    mkfs = binaries.need("mkfs.btrfs", "btrfs")
    base = tmp_path_factory.mktemp("btrfs")
    image, at = base / "image", base / "disk"
    with image.open("wb") as file:
        file.truncate(256 << 20)
    at.mkdir()
    subprocess.run([mkfs, "-q", image], check=True, env=binaries.environment())
    with own_mounts():
        done = subprocess.run(["mount", "-o", "loop,commit=1", image, at], check=False, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"this host mounts no btrfs by a loop device: {done.stderr.strip()}")
        try:
            yield at
        finally:
            subprocess.run(["umount", at], check=True)


@pytest.fixture
def state(disk, request):
    found = disk / f"state-{abs(hash(request.node.nodeid))}"
    found.mkdir()
    return found


@pytest.fixture
def snapshotter(state, metadata):
    return Btrfs(state, metadata)


@pytest.mark.slow
class TestBtrfs(SnapshotterSuite):
    @pytest.fixture
    def store(self, state, metadata):
        return lambda: Btrfs(state, metadata)


_NOT_HERE = ("ahead", "below_raises", "in_place_of_another")
"""Promises of layers that come before those below, and of how overlayfs hides a folder: whole trees do neither."""


@pytest.mark.long
@pytest.mark.parametrize(
    "mutant",
    [each for each in MUTANTS if not any(word in each.test for word in _NOT_HERE)],
    ids=lambda mutant: mutant.name,
)
def test_mutant_is_caught(mutant, tmp_path, metadata, state):
    def store():
        return mutant.wrap(Btrfs(state, metadata))

    given = {"store": store, "at": tmp_path / "mounted", "tmp_path": tmp_path, **dict(mutant.given)}
    test = getattr(SnapshotterSuite(), mutant.test)
    wanted = test.__func__.__code__.co_varnames[1 : test.__func__.__code__.co_argcount]
    with pytest.raises(BaseException) as caught:  # an assertion, pytest.fail, or what the fault raises
        test(**{name: given[name] for name in wanted})
    assert not isinstance(caught.value, KeyboardInterrupt | AttributeError | TypeError)


def is_subvolume(path):
    return path.stat().st_ino == 256  # btrfs(5): the root of each


def test_each_is_a_subvolume_that_shares_what_is_below(snapshotter, state, disk, tmp_path):
    """Ten containers of an image take no more than the image, and are there at once."""
    top = commit(snapshotter, "low", tar(a=os.urandom(20 << 20)))
    os.sync()
    before = os.statvfs(disk).f_bfree
    for number in range(10):
        snapshotter.prepare(f"c{number}", top)
    os.sync()
    assert (before - os.statvfs(disk).f_bfree) * os.statvfs(disk).f_bsize < 10 << 20
    folders = [each / "fs" for each in state.iterdir() if each.is_dir()]
    assert len(folders) == 11
    assert all(map(is_subvolume, folders))
    mounted(snapshotter.mounts("c3"), tmp_path / "at", lambda root: (root / "a").write_text("mine"))
    assert snapshotter.usage("c3").size_bytes == 4
    assert snapshotter.usage("c4").size_bytes == 0
    for number in range(10):
        snapshotter.remove(f"c{number}")
    snapshotter.remove(top)
    assert [each for each in state.iterdir() if each.is_dir()] == []


def test_one_with_subvolumes_of_a_container_s_own_goes_too(snapshotter, state, tmp_path):
    def work(root):
        btrfs.create(str(root), "inner")
        (root / "inner/f").write_text("1")

    mounted(snapshotter.prepare("c"), tmp_path / "at", work)
    snapshotter.remove("c")
    assert [each for each in state.iterdir() if each.is_dir()] == []


def test_one_with_a_snapshot_that_can_t_be_written_goes_too(snapshotter, state, tmp_path):
    """Whoever is root in a container may make one, and none of its files can be removed."""
    program = binaries.need("btrfs", "btrfs")

    def work(root):
        (root / "d").mkdir()
        (root / "d/f").write_text("1")
        words = [program, "-q", "subvolume", "snapshot", "-r", root, root / "d/inner"]
        subprocess.run(words, check=True, env=binaries.environment())

    mounted(snapshotter.prepare("c"), tmp_path / "at", work)
    snapshotter.remove("c")
    assert [each for each in state.iterdir() if each.is_dir()] == []


def test_what_a_killed_process_left_is_swept(snapshotter, state):
    commit(snapshotter, "low", tar(folder("d"), a=b"1"))
    (state / "0left").mkdir()
    btrfs.create(str(state / "0left"), "fs")
    snapshotter.reclaim()
    assert len([each for each in state.iterdir() if each.is_dir()]) == 1


def test_an_ordinary_user_s(state):
    """Which is why the component doesn't ask for root."""
    os.chown(state, NOBODY, NOBODY)

    def work():
        with Store(at / "store.db") as store, Btrfs(at / "kept", store) as snapshotter:
            commit(snapshotter, "one", tar(a=b"1"))
            commit(snapshotter, "two", tar(b=b"2"), "one")
            assert b"".join(snapshotter.export("two"))
            assert all(is_subvolume(each) for each in (at / "kept").rglob("fs"))
            for name in ("two", "one"):
                snapshotter.remove(name)
            assert not list((at / "kept").rglob("fs"))

    with tempfile.TemporaryDirectory() as name:
        at = Path(name)  # where that user gets, unlike the folders of tests
        at.chmod(0o711)
        at = at / "state"
        at.mkdir()
        mounts.mount(str(state), str(at), flags=mounts.FLAGS["bind"])
        try:
            as_nobody(work)
        finally:
            mounts.unmount(str(at))


def test_another_file_system(tmp_path, metadata):
    made = plugin.make(plugin.Config(), metadata=metadata, place=Place(*[tmp_path / "state"] * 3))
    with pytest.raises(HostUnfit, match=r"state isn't on btrfs") as caught:
        made.prepare("a")
    assert "snapshotter/overlay" in caught.value.hint
    assert made.list() == ()


def test_a_full_disk(disk, tmp_path):
    with Store(tmp_path / "other.db") as metadata:
        snapshotter = Btrfs(disk / "full", metadata)
        snapshotter.prepare("a")
        with pytest.raises(HostUnfit, match="can't unpack"):
            snapshotter.apply("a", io.BytesIO(tar(a=os.urandom(300 << 20))))
        snapshotter.remove("a")
        limit = time.monotonic() + 200
        while os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize < 100 << 20:  # the kernel takes its time
            assert time.monotonic() < limit
            os.sync()
        commit(snapshotter, "b", tar(a=b"1"))
        snapshotter.remove("b")


@pytest.mark.parametrize("name", ["", "a/b", "x" * 256])
def test_names_that_are_none(disk, name):
    with pytest.raises(OSError) as caught:
        btrfs.create(str(disk), name)
    assert caught.value.errno == errno.EINVAL
