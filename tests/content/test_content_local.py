import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from moby_content.local import proofs, store
from moby_content.local.leases import Leased
from moby_content.local.plugin import Config, make
from moby_content.local.store import Store

from moby.contracts.ambient import Place
from moby.errors import Corrupt, HostUnfit, Invalid, NotFound
from moby.host import mounts
from moby.host.locks import locked
from moby.host.private_mounts import apart
from moby.oci.digest import Verified, sha256
from moby.testing.content import ContentSuite, put
from moby.testing.content_mutants import MUTANTS


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


class TestLocal(ContentSuite):
    @pytest.fixture
    def store(self, state):
        return lambda: Store(state)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutant_is_caught(mutant, state):
    with pytest.raises(BaseException) as caught:  # an assertion, pytest.fail, or what the fault raises
        getattr(ContentSuite(), mutant.test)(lambda: mutant.wrap(Store(state)), *mutant.given)
    assert not isinstance(caught.value, KeyboardInterrupt | AttributeError | TypeError)


def test_the_part_makes_one(tmp_path):
    content = make(Config(), place=Place(tmp_path / "state", tmp_path / "run", tmp_path / "cache"))
    with content.lease() as lease:
        blob = put(content, b"data", lease)
    assert (tmp_path / "state/blobs/sha256" / blob.digest.hex).read_bytes() == b"data"


def test_many_writers_of_one_ref_take_turns(state):
    content, done = Store(state), []

    def work():
        while not done or len(done) < 6:
            try:
                with content.lease() as lease:
                    done.append(put(content, b"data", lease, ref="same"))
            except Exception as error:
                if "another one" not in str(error):
                    done.extend([error] * 6)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert set(done) == {content.info(sha256(b"data"))}


_KILLED = """
import os, signal, sys
from pathlib import Path
from moby_content.local.store import Store
content = Store(Path(sys.argv[1]))
with content.lease() as lease:
    with content.writer("whole", lease) as writer:
        writer.write(b"whole")
        writer.commit()
    with content.writer("half", lease) as writer:
        writer.write(b"ha")
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_holder_lets_go(state):
    done = subprocess.run([sys.executable, "-c", _KILLED, state], check=False)
    assert done.returncode == -signal.SIGKILL
    content = Store(state)
    assert [each.digest for each in content.list()] == [sha256(b"whole")]
    with content.lease() as lease, content.writer("half", lease) as writer:
        writer.write(b"lf")
        assert writer.commit(sha256(b"half")).size_bytes == 4
        assert [each.digest for each in content.collect(list).blobs] == [sha256(b"whole")]
    assert [each.digest for each in content.collect(list).blobs] == [sha256(b"half")]
    assert list((state / "leases").iterdir()) == []


def test_a_damaged_blob_is_corrupt(state):
    content = Store(state)
    with content.lease() as lease:
        digest = put(content, b"data", lease).digest
    path = state / "blobs/sha256" / digest.hex
    path.write_bytes(b"daxa")
    with pytest.raises(Corrupt, match=digest.hex), content.open(digest) as file:
        while file.read(100):
            pass
    path.unlink()
    path.mkdir()
    with pytest.raises(Corrupt, match="folder"):
        content.open(digest)


def _is_hashed(content, digest, **more):
    """Whether reading a blob proves it once more."""
    with content.open(digest, **more) as file:
        return isinstance(file, Verified)


@pytest.fixture
def trusted(tmp_path, monkeypatch):
    """Take the times of whatever file system the tests are on for exact."""
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        monkeypatch.setattr(proofs, "_EXACT_FILE_SYSTEMS", (mounts.file_system(fd),))
    finally:
        os.close(fd)


def test_what_was_proven_just_now_is_not_hashed_again(state, trusted, monkeypatch):
    monkeypatch.setattr(proofs, "_kernel", lambda: (6, 13))
    content = Store(state)
    with content.lease() as lease:
        digest = put(content, b"data", lease).digest
    assert not _is_hashed(content, digest)
    assert not _is_hashed(content, digest, size_bytes=4)
    assert _is_hashed(content, digest, size_bytes=5)
    assert _is_hashed(Store(state), digest)
    now = time.monotonic()
    monkeypatch.setattr(proofs.time, "monotonic", lambda: now + 61)
    assert _is_hashed(content, digest)


@pytest.mark.parametrize("change", ["touched", "replaced", "linked"])
def test_a_file_that_was_touched_is_hashed_again(state, monkeypatch, change):
    monkeypatch.setattr(proofs, "_kernel", lambda: (6, 13))
    content = Store(state)
    with content.lease() as lease:
        digest = put(content, b"data", lease).digest
    path = state / "blobs/sha256" / digest.hex
    time.sleep(0.05)  # where a file system's times are coarser than this kernel's
    if change == "touched":
        os.utime(path, ns=(0, path.stat().st_mtime_ns))
    elif change == "linked":
        os.link(path, state / "other")
    else:
        (state / "other").write_bytes(b"data")
        (state / "other").replace(path)
    assert _is_hashed(content, digest)


@pytest.mark.parametrize("kind", ["tmpfs", "ramfs"])
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts; the guests cover it")
def test_a_file_that_is_changed_at_once_is_hashed_again(tmp_path, kind):
    """On a file system with coarse times, as ramfs is one, it looks as it did."""

    def work():
        mounts.mount(kind, str(tmp_path), kind)
        content = Store(tmp_path)
        with content.lease() as lease:
            for each in range(20):
                digest = put(content, b"%04d" % each, lease).digest
                with (tmp_path / "blobs/sha256" / digest.hex).open("r+b") as file:
                    file.write(b"evil")
                assert _is_hashed(content, digest)

    apart(work)


def test_a_file_system_that_counts_whole_seconds_is_not_trusted(state, monkeypatch):
    monkeypatch.setattr(proofs, "_kernel", lambda: (6, 13))
    monkeypatch.setattr(proofs, "_SECOND", 1)
    content = Store(state)
    with content.lease() as lease:
        assert _is_hashed(content, put(content, b"data", lease).digest)


def test_proofs_are_for_kernels_whose_times_tell_every_change(state, monkeypatch):
    monkeypatch.setattr(proofs, "_kernel", lambda: (6, 12))
    content = Store(state)
    with content.lease() as lease:
        assert _is_hashed(content, put(content, b"data", lease).digest)


def test_so_many_proofs_are_kept(state, trusted, monkeypatch):
    monkeypatch.setattr(proofs, "_kernel", lambda: (7, 0))
    monkeypatch.setattr(proofs, "_MOST", 2)
    content = Store(state)
    with content.lease() as lease:
        found = [put(content, data, lease).digest for data in (b"1", b"2", b"3")]
    assert [_is_hashed(content, each) for each in found] == [True, False, False]


def test_what_was_written_in_part_alone_becomes_no_blob(state, monkeypatch):
    """Whoever goes on after an error has nothing that its digest doesn't tell of."""
    content = Store(state)
    usual = os.write

    def full(fd, data):
        if len(data) < 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        return usual(fd, data[:4])

    with content.lease() as lease, content.writer("a", lease) as writer:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(HostUnfit, match="No space"):
                writer.write(b"12345678")
        with pytest.raises(Corrupt, match="written in part"):
            writer.commit()
    assert content.list() == content.ingests() == ()


@pytest.mark.parametrize("processors", [1, 2])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_what_is_written_is_hashed_as_it_was_then(state, monkeypatch, processors, kind):
    """Whoever fills one buffer over and over gets the digest of what was in it."""
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    content = Store(state)
    parts = [bytes([number]) * (700 << 10) for number in range(8)]
    with content.lease() as lease, content.writer("a", lease) as writer:
        buffer = bytearray(700 << 10)
        for part in parts:
            buffer[:] = part
            writer.write(part if kind is bytes else kind(buffer) if kind is memoryview else buffer)
        buffer[:] = bytes(len(buffer))
        blob = writer.commit(sha256(b"".join(parts)))
    assert blob.size_bytes == 8 * (700 << 10)


@pytest.mark.parametrize("end", ["close", "abort", "commit"])
def test_hashing_ends_with_the_writer(state, monkeypatch, end):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)

    def hashing():
        return [each for each in threading.enumerate() if each.name == "hash"]

    content = Store(state)
    with content.lease() as lease, content.writer("a", lease) as writer:
        for _ in range(3):
            writer.write(bytes(1 << 20))
        assert len(hashing()) == 1
        getattr(writer, end)()
        assert hashing() == []


def test_a_collection_lets_others_write_between(state, monkeypatch):
    """The lock isn't held for longer than some time, however many blobs there are to be removed."""
    monkeypatch.setattr(store, "_HELD_S", 0)
    content = Store(state)
    with content.lease() as lease:
        digests = [put(content, b"%d" % number, lease).digest for number in range(20)]
    taken = []

    @contextlib.contextmanager
    def counted(path, *, exclusive):
        with locked(path, exclusive=exclusive):
            taken.append((path.name, exclusive))
            yield

    monkeypatch.setattr(store, "locked", counted)
    assert {each.digest for each in content.collect(lambda: digests[:5]).blobs} == set(digests[5:])
    assert taken == [("collecting", True), ("lock", True)] + [("lock", True)] * 15
    assert {each.digest for each in content.list()} == set(digests[:5])


def test_a_collection_reads_on_in_leases(tmp_path):
    """What was read before isn't read again, however long it gets; half a line is left for later."""
    leased, path = Leased(tmp_path), tmp_path / "lease"
    path.write_bytes(b"a\nb\nc")
    assert leased.now() == {"a", "b"}
    path.write_bytes(b"x\ny\nc\nd\n")
    (tmp_path / "other").write_bytes(b"e\n")
    assert leased.now() == {"a", "b", "c", "d", "e"}
    path.unlink()
    assert leased.now() == {"a", "b", "c", "d", "e"}


def test_odd_files_are_no_blobs(state):
    content = Store(state)
    assert content.list() == ()
    (state / "blobs/sha256/README").write_text("?")
    (state / "ingest/stray").write_text("?")
    (state / "leases/odd").write_text("no digest\n")
    assert (content.list(), content.ingests(), content.collect(list).blobs) == ((), (), ())


def test_what_has_ended_is_refused(state):
    content = Store(state)
    with content.lease() as lease, content.writer("a", lease) as writer:
        pass
    with pytest.raises(Invalid, match="ended"):
        lease.hold(sha256(b""))
    for call in (writer.commit, lambda: writer.write(b"x")):
        with pytest.raises(NotFound, match="closed"):
            call()
    writer.abort()


def test_the_lease_of_another_store(state):
    with pytest.raises(Invalid, match="another store"), Store(state).writer("a", object()):
        pass


def test_a_folder_that_may_not_be_written(unprivileged):
    def work(folder):
        (folder / "state").mkdir(mode=0o500)
        with pytest.raises(HostUnfit, match="list blobs"):
            Store(folder / "state").list()

    unprivileged(work)


def test_a_full_disk(state):
    content = Store(state)
    with content.lease() as lease, content.writer("a", lease) as writer:
        real = writer._fd
        writer._fd = os.open("/dev/full", os.O_WRONLY)
        with pytest.raises(HostUnfit, match="No space left"):
            writer.write(b"x")
        os.close(writer._fd)
        writer._fd = real


def test_what_was_only_begun_is_collected(state):
    content = Store(state)
    content.list()
    for name in ("none", "data", "ref"):
        (state / "ingest" / name).mkdir()
    (state / "ingest/data/data").write_bytes(b"1")
    (state / "ingest/ref/ref").write_bytes(b"a")
    assert content.ingests() == ()
    assert content.collect(list).ingests == ()
    assert content.collect(list, idle_s=-60).ingests == ()
    assert list((state / "ingest").iterdir()) == []


@pytest.mark.parametrize("years", [-1, 0, 1])
def test_a_clock_that_jumps_takes_nothing_that_is_in_use(state, monkeypatch, years):
    """Back or ahead: of ingests only what nobody writes is judged by its age; blobs aren't at all."""
    content = Store(state)
    with content.lease() as lease, content.writer("done", lease) as done:
        done.write(b"kept")
        kept = done.commit()
        with content.writer("left", lease) as left:
            left.write(b"1")
        with content.writer("busy", lease) as busy:
            busy.write(b"1")
            now = time.time_ns() + years * 365 * 86400 * 10**9
            monkeypatch.setattr(time, "time_ns", lambda: now)
            gone = content.collect(list)
            assert [each.ref for each in gone.ingests] == (["left"] if years > 0 else [])
            assert gone.blobs == ()
            busy.write(b"2")
            assert busy.commit().size_bytes == 2
        assert kept.digest in {each.digest for each in content.list()}
