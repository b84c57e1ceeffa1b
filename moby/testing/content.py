"""The conformance suite of the kind `content`; `moby.testing.content_mutants` holds what it must fail."""

import hashlib
import threading
from collections.abc import Callable

import pytest

from moby.contracts.content import Blob, Content, Lease
from moby.contracts.types import Digest
from moby.errors import Conflict, Corrupt, Invalid, NotFound
from moby.oci.digest import sha256

__all__ = ["ContentSuite", "put"]

Open = Callable[[], Content]
_ABSENT = sha256(b"absent")


def put(content: Content, data: bytes, lease: Lease, ref: str = "") -> Blob:
    """Store a blob under a lease."""
    with content.writer(ref or f"put-{sha256(data).hex}", lease) as writer:
        writer.write(data)
        return writer.commit()


class ContentSuite:
    """What every store of content must do. A subclass brings the fixture `store`."""

    @pytest.fixture
    def store(self) -> Open:
        """Return a function that opens the store under test; each call gives another client of the same store."""
        raise NotImplementedError

    def test_what_was_written_is_there(self, store: Open) -> None:
        """For every client, from the commit on and not before."""
        data = b"x" * 3_000_000
        digest = sha256(data)
        with store().lease() as lease, store().writer("a", lease) as writer:
            for start in range(0, len(data), 1_000_000):
                assert writer.offset_bytes == start
                writer.write(memoryview(data)[start : start + 1_000_000])
            assert store().list() == ()
            assert writer.commit(digest, size_bytes=len(data)) == Blob(digest, len(data))
        with store().open(digest, size_bytes=len(data)) as file:
            assert file.read() == data
        assert store().info(digest) == Blob(digest, len(data))
        assert store().ingests() == ()

    def test_an_empty_blob(self, store: Open) -> None:
        """Is one."""
        with store().lease() as lease:
            blob = put(store(), b"", lease)
        with store().open(blob.digest, size_bytes=0) as file:
            assert file.read() == b""

    def test_list_is_sorted(self, store: Open) -> None:
        """By digest, each once, whatever wrote it how often."""
        with store().lease() as lease:
            blobs = {put(store(), data, lease) for data in (b"b", b"a", b"cc", b"a")}
        assert store().list() == tuple(sorted(blobs))

    def test_other_algorithms(self, store: Open) -> None:
        """The digest is the writer's algorithm's; Invalid for an unknown one."""
        with store().lease() as lease, store().writer("a", lease, algorithm="sha512") as writer:
            writer.write(b"x")
            digest = writer.commit().digest
            with pytest.raises(Invalid), store().writer("b", lease, algorithm="md5"):
                pass
        assert digest == Digest("sha512", hashlib.sha512(b"x").hexdigest())
        with store().open(digest) as file:
            assert file.read() == b"x"

    def test_absent_ones(self, store: Open) -> None:
        """NotFound; to remove one is fine."""
        for call in (store().info, store().open):
            with pytest.raises(NotFound, match=_ABSENT.hex):
                call(_ABSENT)
        store().delete(_ABSENT)

    @pytest.mark.parametrize("wrong", ["digest", "longer", "shorter"])
    def test_a_wrong_blob_is_dropped(self, store: Open, wrong: str) -> None:
        """Corrupt at commit, and nothing of it stays."""
        with store().lease() as lease, store().writer("a", lease) as writer:
            writer.write(b"data")
            digest = _ABSENT if wrong == "digest" else sha256(b"data")
            with pytest.raises(Corrupt, match=digest.hex):
                writer.commit(digest, size_bytes={"digest": 4, "longer": 5, "shorter": 3}[wrong])
        assert (store().list(), store().ingests()) == ((), ())

    def test_a_wrong_size_is_seen_when_read(self, store: Open) -> None:
        """Corrupt by the end."""
        with store().lease() as lease:
            digest = put(store(), b"data", lease).digest
        for size in (3, 5):
            with pytest.raises(Corrupt), store().open(digest, size_bytes=size) as file:
                while file.read(1 << 20):
                    pass

    def test_delete(self, store: Open) -> None:
        """Removes even what is leased; who has it open can read on."""
        with store().lease() as lease:
            digest = put(store(), b"data", lease).digest
            with store().open(digest) as file:
                store().delete(digest)
                assert file.read() == b"data"
            with pytest.raises(NotFound):
                store().info(digest)

    # On the way in

    def test_goes_on_where_it_was(self, store: Open) -> None:
        """After an exception, by another client."""
        with store().lease() as lease:
            with pytest.raises(KeyError), store().writer("a", lease) as writer:
                writer.write(b"da")
                raise KeyError
            [ingest] = store().ingests()
            assert (ingest.ref, ingest.offset_bytes) == ("a", 2)
            assert ingest.updated_ns > 0
            with store().writer("a", lease) as writer:
                assert writer.offset_bytes == 2
                writer.write(b"ta")
                assert writer.commit(sha256(b"data")).size_bytes == 4

    def test_one_writer_a_ref(self, store: Open) -> None:
        """Conflict for a second; another ref is free, and so is this once it is closed."""
        with store().lease() as lease:
            with store().writer("a", lease) as writer:
                with pytest.raises(Conflict, match="a"), store().writer("a", lease):
                    pass
                with store().writer("b", lease) as other:
                    other.abort()
                writer.close()
                writer.close()
                with store().writer("a", lease) as again:
                    again.abort()
            assert store().ingests() == ()

    def test_refs_that_are_none(self, store: Open) -> None:
        """Invalid: empty or too long; any other text is one."""
        with store().lease() as lease:
            for ref in ("", "x" * 1025):
                with pytest.raises(Invalid), store().writer(ref, lease):
                    pass
            for ref in ("../../a", "a/b", "ü", "x" * 1024):
                with store().writer(ref, lease) as writer:
                    writer.write(b"1")
            assert [each.ref for each in store().ingests()] == sorted(["../../a", "a/b", "ü", "x" * 1024])

    def test_an_aborted_one_is_gone(self, store: Open) -> None:
        """It begins anew."""
        with store().lease() as lease:
            with store().writer("a", lease) as writer:
                writer.write(b"data")
                writer.abort()
            assert store().ingests() == ()
            with store().writer("a", lease) as writer:
                assert writer.offset_bytes == 0

    def test_two_write_the_same_blob(self, store: Open) -> None:
        """Under names of their own; both get it."""
        with store().lease() as lease, store().writer("a", lease) as one, store().writer("b", lease) as two:
            for each in (one, two):
                each.write(b"data")
            assert one.commit() == two.commit()
        assert len(store().list()) == 1

    # Collection

    def test_collect_keeps_what_is_in_use(self, store: Open) -> None:
        """And says what went."""
        with store().lease() as lease:
            kept, gone = put(store(), b"kept", lease), put(store(), b"gone", lease)
        collected = store().collect(lambda: [kept.digest, _ABSENT])
        assert collected.blobs == (gone,)
        assert collected.size_bytes == 4
        assert store().list() == (kept,)

    def test_a_lease_keeps(self, store: Open) -> None:
        """What was written under it, what it holds, and what comes after; until it is closed."""
        with store().lease() as other:
            held = put(store(), b"held", other)
        with store().lease() as lease:
            written = put(store(), b"written", lease)
            assert lease.hold(held.digest) is True
            assert lease.hold(_ABSENT) is False
            with store().lease() as third:
                put(store(), b"absent", third)
            assert store().collect(list).blobs == ()
            assert len(store().list()) == 3
            assert written in store().list()
        assert len(store().collect(list).blobs) == 3

    def test_what_is_published_during_a_collection_stays(self, store: Open) -> None:
        """Its lease may end meanwhile, after the roots were asked for; so it is a race that a collection can't win."""
        with store().lease() as lease:
            old = put(store(), b"old", lease)

        def roots() -> list[Digest]:
            with store().lease() as lease:
                assert lease.hold(old.digest)
                put(store(), b"new", lease)
            return []

        assert store().collect(roots).blobs == ()
        assert {each.digest for each in store().list()} == {old.digest, sha256(b"new")}
        assert len(store().collect(list).blobs) == 2

    def test_idle_ingests_are_collected(self, store: Open) -> None:
        """Not those that are young, nor those being written."""
        with store().lease() as lease:
            with store().writer("a", lease) as writer:
                writer.write(b"data")
            with store().writer("b", lease) as busy:
                busy.write(b"x")
                assert store().collect(list).ingests == ()
                [gone] = store().collect(list, idle_s=-60).ingests
                assert (gone.ref, gone.offset_bytes) == ("a", 4)
                assert [each.ref for each in store().ingests()] == ["b"]
                busy.write(b"y")
                assert busy.commit().size_bytes == 2

    def test_writers_and_collections_at_once(self, store: Open) -> None:
        """No blob that a writer published is lost, and all is gone once nothing is in use."""
        content, published, failures, ended = store(), set[Digest](), [], threading.Event()

        def work(number: int) -> None:
            try:
                for each in range(15):
                    with content.lease() as lease:
                        blob = put(content, b"%d" % (each % 5), lease, ref=f"{number}-{each}")
                        published.add(blob.digest)
                    assert content.info(blob.digest) == blob
                    published.discard(blob.digest)
            except BaseException as error:
                failures.append(error)

        def collect() -> None:
            try:
                while not ended.is_set():
                    content.collect(lambda: list(published))
            except BaseException as error:
                failures.append(error)

        collector = threading.Thread(target=collect)
        collector.start()
        work(1)
        ended.set()
        collector.join()
        assert failures == []
        content.collect(list)
        assert content.list() == ()
