"""Large layers of an overlay, each of which a process of its own unpacks."""

import errno
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest
from moby_snapshotter.overlay import unpacking, worker, workers
from moby_snapshotter.overlay.snapshots import Overlay

from moby.errors import Corrupt, HostUnfit, Invalid
from moby.oci.pack import marks_of
from moby.testing.snapshotter import SnapshotterSuite, commit, file, folder, tar

LARGE = tar(folder("d"), *(file(f"d/{number}", os.urandom(1 << 20)) for number in range(12)))


@pytest.fixture
def always(monkeypatch):
    """Have small layers unpacked that way, too."""
    monkeypatch.setattr(unpacking, "_SMALL_BYTES", -1)


@pytest.fixture
def overlay(tmp_path, metadata):
    return Overlay(tmp_path / "state", metadata)


@pytest.mark.slow
@pytest.mark.usefixtures("always")
class TestOverlayByProcesses(SnapshotterSuite):
    """The same suite, each layer by a process."""

    @pytest.fixture
    def store(self, tmp_path, metadata):
        return lambda: Overlay(tmp_path / "state", metadata)


@pytest.fixture
def started(monkeypatch):
    """The processes that were started."""
    found = []

    class Noted(subprocess.Popen):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            found.append(self)

    monkeypatch.setattr(subprocess, "Popen", Noted)
    return found


def test_a_large_layer_has_a_process_and_a_small_one_none(overlay, started):
    commit(overlay, "small", tar(a=b"1" * 100_000))
    assert started == []
    commit(overlay, "large", LARGE, "small")
    assert [each.returncode for each in started] == [0]
    assert overlay.usage("large").size_bytes == 12 << 20


class Pausing(io.BytesIO):
    """A layer that calls something before its last part."""

    def __init__(self, data, action):
        super().__init__(data)
        self.action = action

    def read(self, size=-1):
        if self.tell() > len(self.getvalue()) - (2 << 20):
            self.action()
        return super().read(size)


def test_one_that_is_free_takes_the_next_layer(overlay, started):
    blocked, go_on = threading.Event(), threading.Event()

    def pause():
        blocked.set()
        assert go_on.wait(60)

    overlay.prepare("a")
    applying = threading.Thread(target=overlay.apply, args=("a", Pausing(LARGE, pause)))
    applying.start()
    assert blocked.wait(60)
    for key in ("b", "c"):
        commit(overlay, key, LARGE)
    assert [each.poll() for each in started] == [None, None]
    go_on.set()
    applying.join(60)
    assert [each.returncode for each in started] == [0, 0]
    assert overlay.usage("c").size_bytes == 12 << 20


def test_a_file_is_read_from_where_it_stands(overlay, started, tmp_path):
    path = tmp_path / "layer"
    path.write_bytes(b"before" + LARGE)
    overlay.prepare("a")
    with path.open("rb", buffering=0) as layer:
        layer.seek(6)
        assert overlay.apply("a", layer).size_bytes == 12 << 20
        assert layer.read(1) == b""
    assert [each.returncode for each in started] == [0]


def test_a_file_that_can_not_be_mapped_is_read(monkeypatch, tmp_path):
    """As on file systems that have no such thing."""

    def refused(*_, **__):
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr(worker.mmap, "mmap", refused)
    (tmp_path / "layer").write_bytes(b"abcd")
    with (tmp_path / "layer").open("rb", buffering=0) as layer:
        layer.seek(1)
        assert worker._source(layer.fileno()).read(10) == b"bcd"


def test_one_that_reads_a_file_and_is_ended_is_told_of(overlay, started, tmp_path):
    path = tmp_path / "layer"
    path.write_bytes(LARGE[:-1024] + tar(file(".wh.x", b"")))
    commit(overlay, "below", tar(file("y", b"")))
    overlay.prepare("a", "below")
    with path.open("rb", buffering=0) as layer, pytest.raises(HostUnfit, match="ended with -9"):
        overlay.apply("a", layer, lambda: started[0].send_signal(signal.SIGKILL))


def test_one_for_which_nobody_waits_ends(tmp_path, started):
    inside, outside = os.pipe()
    root = os.open(tmp_path, os.O_RDONLY)
    try:
        one = workers.Worker()
        task = {"owners": os.geteuid() == 0, "bytes": 1 << 30, "entries": 1000, "marks": marks_of(userxattr=True)}
        asked = json.dumps(task).encode()
        socket.send_fds(one._control, [asked], [inside, root, root])
        os.close(inside)
        os.write(outside, LARGE[: 1 << 16])
        ending = threading.Thread(target=one.end)
        ending.start()
        with pytest.raises(BrokenPipeError):
            for start in range(1 << 16, len(LARGE), 1 << 16):
                os.write(outside, LARGE[start : start + (1 << 16)])
        ending.join(60)
        assert started[0].returncode == 0
        assert len(list(tmp_path.rglob("*"))) < 12
    finally:
        os.close(outside)
        os.close(root)


def test_one_that_is_ended_is_told_of(overlay, started):
    overlay.prepare("a")
    with pytest.raises(HostUnfit, match="ended with -9") as caught:
        overlay.apply("a", Pausing(LARGE, lambda: started[0].send_signal(signal.SIGKILL)))
    assert "memory" in caught.value.hint
    overlay.remove("a")


def test_a_damaged_layer_is_damaged_though_its_tar_is_whole(overlay, started):
    def broken():
        raise Corrupt("blob sha256:1 is damaged")

    overlay.prepare("a")
    with pytest.raises(Corrupt, match="is damaged"):
        overlay.apply("a", Pausing(LARGE, broken))
    assert started[0].returncode is not None


def test_a_hostile_layer_is_refused_in_the_same_words(overlay, started, monkeypatch):
    hostile = LARGE[:-1024] + tar(file(".wh.", b""))
    told = []
    for key, small in (("beside", 8 << 20), ("here", 1 << 30)):
        monkeypatch.setattr(unpacking, "_SMALL_BYTES", small)
        overlay.prepare(key)
        with pytest.raises(Invalid, match="names nothing") as caught:
            overlay.apply(key, io.BytesIO(hostile))
        told.append((caught.value.message, caught.value.hint))
    assert told[0] == told[1]
    assert len(started) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system of its own takes root")
def test_a_full_disk(tmp_path, metadata):
    state = tmp_path / "state"
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "none", str(state)], check=True)
    try:
        overlay = Overlay(state, metadata)
        overlay.prepare("a")
        with pytest.raises(HostUnfit, match="can't unpack 'd/"):
            overlay.apply("a", io.BytesIO(LARGE))
        overlay.remove("a")
        assert [each.name for each in state.iterdir() if each.is_dir()] == []
    finally:
        subprocess.run(["umount", str(state)], check=True)


def test_an_error_of_the_system_comes_as_it_is():
    answer = b'{"error": "OSError", "errno": 24, "message": "Too many open files", "path": null}'
    with pytest.raises(OSError, match="Too many open files") as caught:
        workers._usage(answer, None)
    assert caught.value.errno == errno.EMFILE


def test_none_can_be_started(overlay, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))
    overlay.prepare("a")
    with pytest.raises(HostUnfit, match=r"can't unpack a layer at .*nowhere"):
        overlay.apply("a", io.BytesIO(LARGE))


def test_what_was_killed_may_still_be_writing_and_is_waited_for(overlay, tmp_path):
    """A process that unpacks holds a lock, by which nothing is removed under it."""
    blocked, go_on = threading.Event(), threading.Event()

    def pause():
        blocked.set()
        assert go_on.wait(60)

    overlay.prepare("a")
    applying = threading.Thread(target=overlay.apply, args=("a", Pausing(LARGE, pause)))
    applying.start()
    assert blocked.wait(60)
    (tmp_path / "state/0left").mkdir()
    with overlay:
        assert (tmp_path / "state/0left").exists()
    go_on.set()
    applying.join(60)
    overlay.reclaim()
    assert not (tmp_path / "state/0left").exists()
