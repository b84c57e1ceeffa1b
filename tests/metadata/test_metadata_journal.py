import fcntl
import os
import signal
import stat
import subprocess
import sys
import threading

import pytest
from moby_metadata.journal import journal, store
from moby_metadata.journal.plugin import Config, make
from moby_metadata.journal.store import Store

from moby.contracts.ambient import Place
from moby.errors import Corrupt, HostUnfit, Unavailable, Unsupported
from moby.testing.metadata import MetadataSuite
from moby.testing.metadata_mutants import MUTANTS


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state/metadata.journal"


class TestJournal(MetadataSuite):
    @pytest.fixture
    def store(self, path):
        return lambda: Store(path)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.name}-{mutant.test}")
def test_mutant_is_caught(mutant, path):
    with pytest.raises(BaseException) as caught:  # an assertion, pytest.fail, or what the fault raises
        getattr(MetadataSuite(), mutant.test)(lambda: mutant.wrap(Store(path)), *mutant.given)
    assert not isinstance(caught.value, KeyboardInterrupt | AttributeError | TypeError)


def test_the_part_makes_one(tmp_path):
    place = Place(tmp_path / "state", tmp_path / "run", tmp_path / "cache")
    make(Config(durable=True), place=place).bucket("b").put("k", 1)
    assert make(Config(), place=place).bucket("b").get("k") == 1
    assert stat.S_IMODE((tmp_path / "state/metadata.journal").stat().st_mode) == 0o600


def test_it_is_written_anew(path, monkeypatch):
    monkeypatch.setattr(store, "_REWRITTEN_BYTES", 1000)
    one, two = Store(path), Store(path)
    for number in range(200):
        one.bucket("b").put("k", number)
        two.bucket("b").put("l", number)
    assert path.stat().st_size < 1200
    assert one.bucket("b").items() == two.bucket("b").items() == (("k", 199), ("l", 199))
    assert Store(path).bucket("b").get("k") == 199


_KILLED = """
import os, signal, sys
from pathlib import Path
from moby_metadata.journal import journal
from moby_metadata.journal.store import Store
store = Store(Path(sys.argv[1]))
store.bucket("b").put("done", 1)
def half(fd, data, at):
    os.pwrite(fd, data[:len(data) * 2 // 3], at)
    os.kill(os.getpid(), signal.SIGKILL)
journal._write = half
store.bucket("b").put("done", 2)
"""


def test_a_kill_within_a_line_takes_that_change_only(path):
    open_before = Store(path)
    open_before.bucket("b").put("k", 1)
    done = subprocess.run([sys.executable, "-c", _KILLED, path], check=False)
    assert done.returncode == -signal.SIGKILL
    for each in (open_before, Store(path)):
        assert each.bucket("b").items() == (("done", 1), ("k", 1))
    open_before.bucket("b").put("more", 3)
    assert Store(path).bucket("b").items() == (("done", 1), ("k", 1), ("more", 3))


def test_one_that_was_moved_away(path):
    one = Store(path)
    one.bucket("b").put("k", 1)
    path.unlink()
    assert one.bucket("b").get("k") is None
    one.bucket("b").put("l", 2)
    assert Store(path).bucket("b").items() == (("l", 2),)


def test_what_is_damaged(path):
    Store(path).bucket("b").put("k", 1)
    Store(path).bucket("b").put("l", 2)
    good = path.read_bytes()
    path.write_bytes(good.replace(b'"k"', b'"x"'))
    with pytest.raises(Corrupt, match="damaged at byte"):
        Store(path).bucket("b").get("k")
    path.write_bytes(b"no journal\n" + good)
    with pytest.raises(Corrupt, match="no journal"):
        Store(path).buckets()
    path.write_bytes(good.replace(b"journal 1", b"journal 2"))
    with pytest.raises(Unsupported, match="format 2"):
        Store(path).buckets()
    path.write_bytes(good[:5])
    assert Store(path).buckets() == ()


def test_what_the_host_refuses(path, unprivileged, monkeypatch):
    def work(folder):
        (folder / "state").mkdir(mode=0o500)
        with pytest.raises(HostUnfit, match="Permission denied"):
            Store(folder / "state/metadata.journal").bucket("b").put("k", 1)

    unprivileged(work)
    full = Store(path)
    full.bucket("b").put("k", 1)

    def write(fd, data, at):
        os.pwrite(fd, data[:5], at)
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch, pytest.raises(HostUnfit, match="No space left"):
        patch.setattr(journal, "_write", write)
        full.bucket("b").put("k", 2)
    full.bucket("b").put("l", 3)
    assert Store(path).bucket("b").items() == (("k", 1), ("l", 3))


def test_a_writer_that_takes_too_long(path, monkeypatch):
    monkeypatch.setattr(journal, "_WAIT_S", 0.05)
    monkeypatch.setattr(store, "_WAIT_S", 0.05)
    one, failures = Store(path), []
    one.bucket("b").put("k", 1)
    with path.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match="another writer"):
            one.bucket("b").put("k", 2)

    def write():
        try:
            one.bucket("b").put("k", 3)
        except Unavailable as error:
            failures.append(error)

    with one.transaction():
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert "another thread" in str(failures[0])
