"""The conformance suite of the kind `metadata`; `moby.testing.metadata_mutants` holds what it must fail."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from moby.contracts.metadata import MAX_KEY_BYTES, Metadata
from moby.errors import Conflict, Invalid

__all__ = ["MetadataSuite"]

Open = Callable[[], Metadata]
_DOCUMENT = {"a": [1, -2.5, None, True, "ü\n\U0001f600"], "b": {"c": ""}, "d": []}


class MetadataSuite:
    """What every store of metadata must do. A subclass brings the fixture `store`."""

    @pytest.fixture
    def store(self) -> Open:
        """Return a function that opens the store under test; each call gives another client of the same store."""
        raise NotImplementedError

    def test_what_was_put_is_there(self, store: Open) -> None:
        """As it was given, for every client, those that were open included."""
        other = store().bucket("b")
        assert other.get("k") is None
        assert other.text("k") is None
        store().bucket("b").put("k", _DOCUMENT)
        assert other.get("k") == _DOCUMENT
        assert store().bucket("b").get("k") == _DOCUMENT
        assert store().bucket("b").name == "b"

    def test_put_replaces(self, store: Open) -> None:
        """The whole document."""
        bucket = store().bucket("b")
        bucket.put("k", {"a": 1, "b": 2})
        bucket.put("k", {"a": 3})
        assert bucket.get("k") == {"a": 3}
        assert bucket.count() == 1

    def test_a_document_is_a_copy(self, store: Open) -> None:
        """Changing what was put or got changes nothing stored."""
        bucket = store().bucket("b")
        given: dict[str, Any] = {"a": []}
        bucket.put("k", given)
        given["a"].append(1)
        bucket.get("k")["a"].append(2)
        assert bucket.get("k") == {"a": []}

    def test_text_is_what_was_put(self, store: Open) -> None:
        """JSON text goes in and comes out unread."""
        bucket = store().bucket("b")
        bucket.put_text("k", '{"z":1,"a":"ü"}')
        assert bucket.text("k") == '{"z":1,"a":"ü"}'
        assert bucket.get("k") == {"z": 1, "a": "ü"}
        assert bucket.texts() == (("k", '{"z":1,"a":"ü"}'),)

    def test_insert_takes_a_free_key_only(self, store: Open) -> None:
        """Conflict else, and what is there stays."""
        bucket = store().bucket("b")
        bucket.insert("k", 1)
        with pytest.raises(Conflict, match="k"):
            bucket.insert("k", 2)
        assert bucket.get("k") == 1

    def test_delete(self, store: Open) -> None:
        """Says whether something was there."""
        bucket = store().bucket("b")
        bucket.put("k", 1)
        assert bucket.delete("k") is True
        assert bucket.delete("k") is False
        assert (bucket.get("k"), bucket.keys(), bucket.count()) == (None, (), 0)

    def test_buckets_are_apart(self, store: Open) -> None:
        """One key in two buckets is two documents; only those with documents are named."""
        metadata = store()
        for name in ("b", "a", "ab"):
            metadata.bucket(name).put("k", name)
        metadata.bucket("empty").get("k")
        metadata.bucket("a").delete("k")
        assert metadata.buckets() == ("ab", "b")
        assert (metadata.bucket("ab").get("k"), metadata.bucket("b").get("k")) == ("ab", "b")

    def test_order_and_ranges(self, store: Open) -> None:
        """Sorted by UTF-8 bytes; a prefix, a key to go on after, and a limit choose."""
        bucket = store().bucket("b")
        keys = ["b", "a", "a/2", "a/1", "a/\uffff", "a/\U0001f600", "a0", "%", "_"]
        for number, key in enumerate(keys):
            bucket.put(key, number)
        ordered = tuple(sorted(keys, key=str.encode))
        assert bucket.keys() == ordered
        assert bucket.items() == tuple((key, keys.index(key)) for key in ordered)
        below = tuple(each for each in ordered if each.startswith("a/"))
        assert (bucket.keys("a/"), bucket.count("a/")) == (below, 4)
        assert tuple(key for key, _ in bucket.items("a/", after="a/1", limit=2)) == below[1:3]
        assert tuple(key for key, _ in bucket.texts("a/", after="a/2")) == below[2:]
        assert tuple(key for key, _ in bucket.texts(limit=3)) == ordered[:3]
        assert bucket.keys("%") == ("%",)

    @pytest.mark.parametrize(
        "key",
        ["", "a\0b", "a\U0010ffff", "\ud800", "k" * (MAX_KEY_BYTES + 1)],
        ids=["empty", "nul", "last", "lone", "long"],
    )
    def test_keys_that_are_none(self, store: Open, key: str) -> None:
        """Invalid, as keys and as names of buckets."""
        bucket = store().bucket("b")
        calls: tuple[Callable[[str], object], ...] = (bucket.get, bucket.text, bucket.delete, store().bucket)
        for call in calls:
            with pytest.raises(Invalid):
                call(key)
        with pytest.raises(Invalid):
            bucket.put(key, 1)
        with pytest.raises(Invalid):
            bucket.insert(key, 1)
        with pytest.raises(Invalid):
            bucket.put_text(key, "1")
        bucket.put("k" * MAX_KEY_BYTES, 1)
        assert bucket.count() == 1

    @pytest.mark.parametrize(
        "document", [{1, 2}, float("nan"), "\ud800", object()], ids=["set", "nan", "lone", "object"]
    )
    def test_documents_that_are_none(self, store: Open, document: Any) -> None:
        """Invalid, and what is there stays."""
        bucket = store().bucket("b")
        bucket.put("k", 1)
        with pytest.raises(Invalid):
            bucket.put("k", document)
        with pytest.raises(Invalid):
            bucket.insert("l", document)
        assert bucket.items() == (("k", 1),)

    # Transactions

    def test_a_transaction_is_whole(self, store: Open) -> None:
        """Others see all of it after its end, the thread itself at once."""
        metadata, other = store(), store()
        with metadata.transaction():
            metadata.bucket("a").put("k", 1)
            metadata.bucket("b").put("k", 2)
            assert (metadata.bucket("a").get("k"), metadata.bucket("a").keys()) == (1, ("k",))
            seen: list[Any] = []
            _in_thread(lambda: seen.extend([metadata.bucket("a").get("k"), other.bucket("a").keys()]))
            assert seen == [None, ()]
        assert (other.bucket("a").get("k"), other.bucket("b").get("k")) == (1, 2)

    def test_an_exception_takes_all_back(self, store: Open) -> None:
        """What was there before is there again."""
        metadata = store()
        metadata.bucket("a").put("k", 1)
        with pytest.raises(KeyError), metadata.transaction():
            metadata.bucket("a").put("k", 2)
            metadata.bucket("b").insert("k", 2)
            metadata.bucket("a").delete("k")
            raise KeyError
        assert (metadata.bucket("a").get("k"), metadata.buckets()) == (1, ("a",))
        metadata.bucket("a").put("k", 3)
        assert store().bucket("a").get("k") == 3

    def test_one_inside_another(self, store: Open) -> None:
        """Is part of it."""
        metadata = store()
        with pytest.raises(KeyError), metadata.transaction():
            with metadata.transaction():
                metadata.bucket("b").put("k", 1)
            raise KeyError
        assert metadata.bucket("b").get("k") is None
        with metadata.transaction(), metadata.transaction():
            metadata.bucket("b").put("k", 1)
        assert store().bucket("b").get("k") == 1

    def test_a_failed_one_inside_takes_both_back(self, store: Open) -> None:
        """Conflict at the outer one's end, where the exception was caught between them."""
        metadata = store()

        def inner() -> None:
            with metadata.transaction():
                metadata.bucket("b").put("inner", 1)
                raise KeyError

        with pytest.raises(Conflict), metadata.transaction():
            metadata.bucket("b").put("outer", 1)
            with pytest.raises(KeyError):
                inner()
        assert metadata.bucket("b").keys() == ()

    def test_a_refused_insert_leaves_the_transaction(self, store: Open) -> None:
        """It may be caught, and the rest is stored."""
        metadata = store()
        bucket = metadata.bucket("b")
        bucket.put("k", 1)
        with metadata.transaction():
            bucket.put("l", 2)
            with pytest.raises(Conflict):
                bucket.insert("k", 2)
        assert store().bucket("b").items() == (("k", 1), ("l", 2))

    def test_a_snapshot_is_one_moment(self, store: Open) -> None:
        """Whatever others write meanwhile; afterwards it is seen. Writing inside is a Conflict."""
        metadata, other = store(), store()
        metadata.bucket("b").put("k", 1)
        with metadata.snapshot():
            _in_thread(lambda: other.bucket("b").put("k", 2))
            assert metadata.bucket("b").get("k") == 1
            with pytest.raises(Conflict):
                metadata.bucket("b").put("k", 3)
            with pytest.raises(Conflict), metadata.transaction():
                pass
            with metadata.snapshot():
                assert metadata.bucket("b").items() == (("k", 1),)
        assert metadata.bucket("b").get("k") == 2
        with metadata.transaction(), metadata.snapshot():
            metadata.bucket("b").put("k", 4)
        assert other.bucket("b").get("k") == 4

    def test_counting_by_many_loses_nothing(self, store: Open) -> None:
        """Threads of several clients that read and write in transactions take turns."""
        clients, failures = [store() for _ in range(3)], []

        def count(metadata: Metadata) -> None:
            try:
                for _ in range(10):
                    with metadata.transaction():
                        found = metadata.bucket("b").get("n") or 0
                        time.sleep(0.001)  # in which who doesn't take turns goes wrong
                        metadata.bucket("b").put("n", found + 1)
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=count, args=[client]) for client in clients * 2]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert failures == []
        assert store().bucket("b").get("n") == 60


def _in_thread(call: Callable[[], object]) -> None:
    failures: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
