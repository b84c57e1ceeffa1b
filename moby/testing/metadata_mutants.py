"""Mutants of a store of metadata: each breaks one promise of the contract, and names the test that must see it."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from moby.contracts.metadata import Bucket, Metadata
from moby.errors import Conflict, Invalid
from moby.testing.mutants import Mutant

__all__ = ["MUTANTS"]


class _Documents:
    """A bucket that passes everything on; subclasses break one promise each."""

    def __init__(self, bucket: Bucket) -> None:
        self.inner = bucket

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class _Broken:
    """A store that passes everything on."""

    Documents: type[_Documents] = _Documents

    def __init__(self, metadata: Metadata) -> None:
        self.metadata = metadata

    def bucket(self, name: str) -> Bucket:
        """Wrap."""
        return self.Documents(self.metadata.bucket(name))

    def buckets(self) -> tuple[str, ...]:
        """Pass on."""
        return self.metadata.buckets()

    def transaction(self) -> AbstractContextManager[None]:
        """Pass on."""
        return self.metadata.transaction()

    def snapshot(self) -> AbstractContextManager[None]:
        """Pass on."""
        return self.metadata.snapshot()


class _LosesNumbers(_Broken):
    class Documents(_Documents):
        def put(self, key: str, document: Any) -> None:
            self.inner.put(key, json.loads(json.dumps(document).replace("-2.5", "-2")))


class _Merges(_Broken):
    class Documents(_Documents):
        def put(self, key: str, document: Any) -> None:
            old = self.inner.get(key)
            both = isinstance(old, dict) and isinstance(document, dict)
            self.inner.put(key, {**old, **document} if both else document)


class _Caches(_Broken):
    """Keeps what it got, and hands that out again."""

    def __init__(self, metadata: Metadata) -> None:
        super().__init__(metadata)
        self.kept: dict[tuple[str, str], Any] = {}

    def bucket(self, name: str) -> Bucket:
        kept = self.kept

        class Cached(_Documents):
            def put(self, key: str, document: Any) -> None:
                self.inner.put(key, document)
                kept[name, key] = document

            def get(self, key: str) -> Any:
                return kept[name, key] if (name, key) in kept else self.inner.get(key)

        return Cached(self.metadata.bucket(name))


class _SortsText(_Broken):
    class Documents(_Documents):
        def put_text(self, key: str, text: str) -> None:
            self.inner.put_text(key, json.dumps(json.loads(text), sort_keys=True))


class _InsertReplaces(_Broken):
    class Documents(_Documents):
        def insert(self, key: str, document: Any) -> None:
            self.inner.put(key, document)


class _InsertRefusesAndReplaces(_Broken):
    class Documents(_Documents):
        def insert(self, key: str, document: Any) -> None:
            taken = self.inner.get(key) is not None
            self.inner.put(key, document)
            if taken:
                raise Conflict(f"{key} is taken")


class _DeletesSilently(_Broken):
    class Documents(_Documents):
        def delete(self, key: str) -> bool:
            self.inner.delete(key)
            return True


class _OneBucket(_Broken):
    def bucket(self, name: str) -> Bucket:
        self.metadata.bucket(name)
        return self.metadata.bucket("all")


class _Unsorted(_Broken):
    class Documents(_Documents):
        def keys(self, prefix: str = "") -> tuple[str, ...]:
            return tuple(sorted(self.inner.keys(prefix), key=lambda key: key.encode("utf-16-be")))


class _IncludesAfter(_Broken):
    class Documents(_Documents):
        def items(self, prefix: str = "", *, after: str = "", limit: int = 0) -> tuple[tuple[str, Any], ...]:
            found = [each for each in self.inner.items(prefix) if each[0] >= after]
            return tuple(found[: limit or None])


class _NoLimit(_Broken):
    class Documents(_Documents):
        def texts(self, prefix: str = "", *, after: str = "", limit: int = 0) -> tuple[tuple[str, str], ...]:
            return self.inner.texts(prefix, after=after)


class _TakesAnyKey(_Broken):
    class Documents(_Documents):
        def put(self, key: str, document: Any) -> None:
            try:
                self.inner.put(key, document)
            except Invalid:
                self.inner.put(key.encode("utf-8", "replace").hex()[:200] or "-", document)


class _TakesAnyDocument(_Broken):
    class Documents(_Documents):
        def put(self, key: str, document: Any) -> None:
            try:
                self.inner.put(key, document)
            except Invalid:
                self.inner.put(key, repr(document).encode("utf-8", "replace").decode())


class _NoTransactions(_Broken):
    def transaction(self) -> AbstractContextManager[None]:
        return nullcontext()


class _CommitsAlways(_Broken):
    """Keeps what was written before an exception."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        failure = None
        with self.metadata.transaction():
            try:
                yield
            except BaseException as error:
                failure = error
        if failure is not None:
            raise failure


class _ForgivesInner(_Broken):
    depth = 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self.depth:
            yield
            return
        self.depth = 1
        try:
            with self.metadata.transaction():
                yield
        finally:
            self.depth = 0


class _InsertSpoilsTransaction(_Broken):
    def bucket(self, name: str) -> Bucket:
        metadata = self.metadata

        class Spoiling(_Documents):
            def insert(self, key: str, document: Any) -> None:
                with metadata.transaction():
                    self.inner.insert(key, document)

        return Spoiling(metadata.bucket(name))


class _NoSnapshots(_Broken):
    def snapshot(self) -> AbstractContextManager[None]:
        return nullcontext()


MUTANTS = (
    Mutant(_LosesNumbers, "test_what_was_put_is_there"),
    Mutant(_Merges, "test_put_replaces"),
    Mutant(_Caches, "test_a_document_is_a_copy"),
    Mutant(_SortsText, "test_text_is_what_was_put"),
    Mutant(_InsertReplaces, "test_insert_takes_a_free_key_only"),
    Mutant(_InsertRefusesAndReplaces, "test_insert_takes_a_free_key_only"),
    Mutant(_DeletesSilently, "test_delete"),
    Mutant(_OneBucket, "test_buckets_are_apart"),
    Mutant(_Unsorted, "test_order_and_ranges"),
    Mutant(_IncludesAfter, "test_order_and_ranges"),
    Mutant(_NoLimit, "test_order_and_ranges"),
    Mutant(_TakesAnyKey, "test_keys_that_are_none", ("a\0b",)),
    Mutant(_TakesAnyDocument, "test_documents_that_are_none", ("\ud800",)),
    Mutant(_NoTransactions, "test_a_transaction_is_whole"),
    Mutant(_NoTransactions, "test_counting_by_many_loses_nothing"),
    Mutant(_CommitsAlways, "test_an_exception_takes_all_back"),
    Mutant(_ForgivesInner, "test_a_failed_one_inside_takes_both_back"),
    Mutant(_NoTransactions, "test_one_inside_another"),
    Mutant(_InsertSpoilsTransaction, "test_a_refused_insert_leaves_the_transaction"),
    Mutant(_NoSnapshots, "test_a_snapshot_is_one_moment"),
)
