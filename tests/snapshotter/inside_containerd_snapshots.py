"""What is tried inside a sandbox, where containerd runs; test_containerd_snapshots.py runs this file there."""

import io
import subprocess
import threading
from contextlib import closing

import pytest
from moby_metadata.sqlite.store import Store
from moby_snapshotter.containerd import plugin, snapshots
from moby_snapshotter.containerd.service import Service
from moby_snapshotter.containerd.snapshots import Containerd
from peers.tried import containerd

from moby.contracts.ambient import Place
from moby.errors import Conflict, HostUnfit, NotFound, Unavailable
from moby.grpc.client import Client
from moby.testing.mounted import mounted
from moby.testing.snapshotter import SnapshotterSuite, commit, tar


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with containerd(tmp_path_factory.mktemp("c")) as address:
        yield address


@pytest.fixture
def metadata(tmp_path):
    with Store(tmp_path / "metadata.db") as store:
        yield store


@pytest.fixture(params=["overlayfs", "native"])
def service(address, request):
    service = Service(Client(address, "moby"), request.param)
    service.name = request.param
    with closing(service):
        yield service


@pytest.fixture
def snapshotter(tmp_path, metadata, service, address):
    part = Containerd(tmp_path / "state", metadata, service, service.name)
    yield part
    _cleared(part)
    assert keys(address, part.name) == {}


def keys(address, snapshotter):
    """What containerd's own client sees, by key."""
    words = ["ctr", "-a", address, "-n", "moby", "snapshots", "--snapshotter", snapshotter, "ls"]
    found = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    return {line.split()[0]: line.split()[-1] for line in found.splitlines()[1:]}


def _cleared(part):
    while part.list():
        for each in part.list():
            try:
                part.remove(each.key)
            except Conflict:
                continue


class TestContainerdSnapshots(SnapshotterSuite):
    @pytest.fixture
    def store(self, snapshotter, tmp_path, metadata, service):
        return lambda: Containerd(tmp_path / "state", metadata, service, service.name)


def test_containerd_s_own_client_sees_them(snapshotter, address):
    top = commit(snapshotter, "low", tar(a=b"1"))
    snapshotter.prepare("c", top)
    snapshotter.view("v", top)
    found = keys(address, snapshotter.name)
    assert sorted(found.values()) == ["Active", "Committed", "View"]
    assert all(each.startswith("moby-") for each in found)


def test_they_outlive_containerd_s_own_collection(snapshotter, address, tmp_path):
    commit(snapshotter, "low", tar(a=b"1"))
    snapshotter.prepare("c", "low")
    subprocess.run(
        ["ctr", "-a", address, "-n", "moby", "content", "prune", "references"], check=True, capture_output=True
    )
    mounted(snapshotter.mounts("c"), tmp_path / "at", lambda root: (root / "b").write_text("2"))
    assert len(keys(address, snapshotter.name)) == 2


def test_what_a_killed_process_left_is_swept(snapshotter, tmp_path, address, service):
    service.prepare(snapshotter._own("0left"), "")
    (tmp_path / "state").mkdir()
    (tmp_path / "state/0left").mkdir()
    with snapshotter:
        assert keys(address, snapshotter.name) == {}
    commit(snapshotter, "low", tar(a=b"1"))


def test_what_was_looked_at_by_a_killed_process_can_be_removed(snapshotter, service, address):
    top = commit(snapshotter, "low", tar(a=b"1"))
    folder = snapshotter._shelf.record(top).folder
    service.view(f"{snapshotter._own(folder)}-0dead", snapshotter._done(folder))
    snapshotter.remove(top)
    assert keys(address, snapshotter.name) == {}


def test_what_is_looked_at_stays_until_then(snapshotter):
    top = commit(snapshotter, "low", tar(**{each: each.encode() * 300_000 for each in "abc"}))
    whole = b"".join(snapshotter.export(top))
    reading = snapshotter.export(top)
    first = next(reading)
    remover = threading.Thread(target=snapshotter.remove, args=(top,))
    remover.start()
    remover.join(0.2)
    assert remover.is_alive()
    assert b"".join((first, *reading)) == whole
    remover.join(60)
    assert not remover.is_alive()


def test_a_commit_that_was_killed_half_way_is_made_again(snapshotter, monkeypatch):
    snapshotter.prepare("c")
    snapshotter.apply("c", io.BytesIO(tar(a=b"1")))

    usual = Service.commit

    def killed(self, name, key):
        usual(self, name, key)
        raise KeyboardInterrupt

    monkeypatch.setattr(Service, "commit", killed)
    with pytest.raises(KeyboardInterrupt):
        snapshotter.commit("low", "c")
    monkeypatch.undo()
    assert snapshotter.stat("c").kind == "active"
    snapshotter.commit("low", "c")
    assert [each.key for each in snapshotter.list()] == ["low"]


def test_one_that_containerd_lost_is_not_committed(snapshotter, service):
    snapshotter.prepare("c")
    snapshotter.apply("c", io.BytesIO(tar(a=b"1")))
    service.remove(snapshotter._own(snapshotter._shelf.record("c").folder))
    with pytest.raises(NotFound, match="can't view"):
        snapshotter.commit("low", "c")
    assert [each.key for each in snapshotter.list()] == ["c"]


def test_changes_of_one_that_is_mounted(snapshotter, tmp_path):
    top = commit(snapshotter, "low", tar(a=b"1"))

    def look(root):
        (root / "b").write_text("2")
        assert [each.path for each in snapshotter.changes("c")] == ["/b"]

    mounted(snapshotter.prepare("c", top), tmp_path / "at", look)


def test_nobody_listens(tmp_path, metadata):
    config = plugin.Config(address=str(tmp_path / "nobody"))
    made = plugin.make(config, metadata=metadata, place=Place(*[tmp_path / "state"] * 3))
    made._service._client._patience_s = 0.1
    (tmp_path / "state").mkdir()
    (tmp_path / "state/0left").mkdir()
    with made, pytest.raises(Unavailable, match=r"doesn't answer snapshots\.v1\.Snapshots/Prepare"):
        made.prepare("a")
    assert (made.name, made.list()) == ("overlayfs", ())


def test_a_snapshotter_that_it_has_not(address, tmp_path, metadata):
    with closing(Service(Client(address, "moby"), "nonesuch")) as service:
        made = Containerd(tmp_path / "state", metadata, service, "nonesuch")
        with pytest.raises((HostUnfit, NotFound), match="containerd's snapshotter nonesuch can't prepare"):
            made.prepare("a")
        assert made.list() == ()


def test_what_is_removed_while_somebody_looks_waits(snapshotter, service, monkeypatch):
    commit(snapshotter, "low", tar(a=b"1"))
    record = snapshotter._shelf.record("low")
    service.view("looking", snapshotter._done(record.folder))
    monkeypatch.setattr(snapshots, "_TRIES", 2)
    with pytest.raises(Conflict, match="can't remove"):
        snapshotter._remove(record.folder)
    monkeypatch.undo()
    threading.Timer(0.1, service.remove, ["looking"]).start()
    snapshotter.remove("low")
    assert snapshotter.list() == ()
