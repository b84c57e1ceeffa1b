import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading

import pytest
from moby_metadata.sqlite import connections
from moby_metadata.sqlite.plugin import Config, make
from moby_metadata.sqlite.store import Store

from moby.contracts.ambient import Place
from moby.contracts.metadata import host_id
from moby.errors import Corrupt, HostUnfit, Invalid, Unavailable, Unsupported
from moby.testing.metadata import MetadataSuite
from moby.testing.metadata_mutants import MUTANTS


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state/metadata.db"


@pytest.fixture(autouse=True)
def opened(monkeypatch):
    """Closes what the tests open: a warning of an unclosed database is an error."""
    found = []
    real = sqlite3.connect

    def connect(*arguments, **options):
        found.append(real(*arguments, **options))
        return found[-1]

    monkeypatch.setattr(sqlite3, "connect", connect)
    yield found
    for each in found:
        each.close()


class TestSqlite(MetadataSuite):
    @pytest.fixture
    def store(self, path):
        return lambda: Store(path)


class TestSqliteDurable(MetadataSuite):
    @pytest.fixture
    def store(self, path):
        return lambda: Store(path, durable=True)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.name}-{mutant.test}")
def test_mutant_is_caught(mutant, path):
    with pytest.raises(BaseException) as caught:  # an assertion, pytest.fail, or what the fault raises
        getattr(MetadataSuite(), mutant.test)(lambda: mutant.wrap(Store(path)), *mutant.given)
    assert not isinstance(caught.value, KeyboardInterrupt | AttributeError | TypeError)


def test_the_part_makes_one_that_is_closed_on_leaving(tmp_path, opened):
    place = Place(tmp_path / "state", tmp_path / "run", tmp_path / "cache")
    with make(Config(durable=True), place=place) as metadata:
        metadata.bucket("b").put("k", 1)
        assert opened[0].execute("PRAGMA synchronous").fetchone() == (2,)
    with pytest.raises(sqlite3.ProgrammingError):
        opened[0].execute("SELECT 1")
    assert make(Config(), place=place).bucket("b").get("k") == 1


def test_what_it_is_on_disk(path):
    Store(path).bucket("b").put("k", 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database.execute("PRAGMA user_version").fetchone() == (connections.FORMAT,)
    assert database.execute("SELECT * FROM documents").fetchall() == [("b", "k", "1")]


def test_connections_are_used_again(path, opened):
    store = Store(path)
    for number in range(20):
        thread = threading.Thread(target=store.bucket("b").put, args=[str(number), number])
        thread.start()
        thread.join()
    assert len(opened) == 1


def test_no_more_connections_are_kept_than_a_few(path, opened):
    store = Store(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "_KEPT", 1)
        with store.snapshot():
            thread = threading.Thread(target=store.bucket("b").get, args=["k"])
            thread.start()
            thread.join()
    assert len(opened) == 2
    opened[1].execute("SELECT 1")
    with pytest.raises(sqlite3.ProgrammingError):
        opened[0].execute("SELECT 1")


def test_a_copy_of_the_process_opens_its_own(path):
    store = Store(path)
    store.bucket("b").put("k", 1)
    with store.snapshot():
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                store._held.connection = None
                store.bucket("b").put("k", 2)
                code = 0
            finally:
                os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert store.bucket("b").get("k") == 2


_KILLED = """
import os, signal, sys
from moby_metadata.sqlite.store import Store
from pathlib import Path
store = Store(Path(sys.argv[1]))
store.bucket("b").put("done", 1)
with store.transaction():
    store.bucket("b").put("done", 2)
    store.bucket("b").put("more", 2)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_takes_nothing_that_was_done_and_leaves_no_half(path):
    store = Store(path)
    store.bucket("b").put("k", 1)
    done = subprocess.run([sys.executable, "-c", _KILLED, path], check=False)
    assert done.returncode == -signal.SIGKILL
    assert store.bucket("b").items() == (("done", 1), ("k", 1))
    store.bucket("b").put("done", 3)
    assert Store(path).bucket("b").get("done") == 3


def test_many_that_make_it_at_once(path):
    code = "import sys; from pathlib import Path; from moby_metadata.sqlite.store import Store;"
    code += "Store(Path(sys.argv[1])).bucket('b').insert(sys.argv[2], 1)"
    started = [subprocess.Popen([sys.executable, "-c", code, path, str(number)]) for number in range(4)]
    assert [each.wait() for each in started] == [0, 0, 0, 0]
    assert Store(path).bucket("b").count() == 4


# What is wrong with it


def test_a_newer_format_is_refused(path):
    Store(path).bucket("b").put("k", 1)
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version={connections.FORMAT + 1}")
    database.commit()
    with pytest.raises(Unsupported, match="format 2"):
        Store(path).bucket("b").get("k")


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4096])
def test_no_database_is_corrupt(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(Corrupt, match="damaged") as caught, Store(path):
        pass
    assert str(path) in caught.value.hint


def test_damaged_pages_are_corrupt(path):
    with Store(path) as store:
        for number in range(100):
            store.bucket("b").put(str(number), "x" * 3000)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    with pytest.raises(Corrupt):
        Store(path).bucket("b").items()


def test_a_folder_that_may_not_be_written(unprivileged):
    def work(folder):
        (folder / "state").mkdir(mode=0o500)
        with pytest.raises(HostUnfit, match="metadata"):
            Store(folder / "state/metadata.db").bucket("b").get("k")
        with pytest.raises(HostUnfit, match="Permission denied"):
            Store(folder / "state/more/metadata.db").bucket("b").get("k")

    unprivileged(work)


def test_a_full_disk(path):
    store = Store(path)
    store.bucket("b").put("k", 1)
    with store._connections.lend() as connection:
        connection.execute("PRAGMA max_page_count=4")
    with pytest.raises(HostUnfit, match="full"):
        store.bucket("b").put("l", "x" * 100_000)
    assert store.bucket("b").items() == (("k", 1),)
    assert store.bucket("b").delete("k")


def test_another_writer_that_takes_too_long(path, monkeypatch):
    monkeypatch.setattr(connections, "_WAIT_S", 0.05)
    one, two = Store(path), Store(path)
    two.bucket("b").get("k")
    with one.transaction():
        with pytest.raises(Unavailable, match="another writer"):
            two.bucket("b").put("k", 1)
        assert two.bucket("b").get("k") is None
    two.bucket("b").put("k", 1)


def test_another_thread_that_takes_too_long(path, monkeypatch):
    monkeypatch.setattr("moby_metadata.sqlite.store._WAIT_S", 0.05)
    store, failures = Store(path), []

    def write():
        try:
            store.bucket("b").put("k", 1)
        except Unavailable as error:
            failures.append(error)

    with store.transaction():
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert "another thread" in str(failures[0])


def test_a_list_of_five_hundred_is_not_read(path, monkeypatch):
    bucket = Store(path).bucket("b")
    monkeypatch.setattr("json.loads", None)
    for number in range(500):
        bucket.put_text(f"{number:03}", '{"n":1}')
    assert len(bucket.texts()) == 500


def test_one_that_engines_share(tmp_path):
    places = [Place(tmp_path / each / "state", tmp_path / "run", tmp_path / "cache") for each in ("one", "two")]
    shared = Config(path=str(tmp_path / "shared.db"))
    with make(shared, place=places[0]) as one, make(shared, place=places[1]) as two:
        one.bucket("b").put("k", 1)
        assert two.bucket("b").get("k") == 1
    with pytest.raises(Invalid, match=r"shared\.db is no absolute path"):
        make(Config(path="shared.db"), place=places[0])


def test_a_host_is_known_by_one_name(path, tmp_path):
    """Of a bucket's own, kept in its store, and no other host's."""
    ours, again, others = Store(path), Store(path), Store(tmp_path / "others/metadata.db")
    found = [host_id(ours, "a"), host_id(again, "a"), host_id(ours, "b"), host_id(others, "a")]
    assert found[0] == found[1]
    assert len(set(found)) == 3
