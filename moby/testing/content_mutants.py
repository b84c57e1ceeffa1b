"""Mutants of a store of content: each breaks one promise of the contract, and names the test that must see it."""

import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

from moby.contracts.content import Blob, Collected, Ingest, Lease, Writer
from moby.contracts.types import Digest
from moby.errors import Conflict, Corrupt, NotFound
from moby.oci.digest import sha256
from moby.testing.mutants import Broken, Mutant

__all__ = ["MUTANTS"]

_Passing = Broken[Any]


class _Writes(_Passing):
    """A store whose writers are wrapped."""

    Wrapped: type[_Passing] = _Passing

    @contextmanager
    def writer(self, ref: str, lease: Lease, *, algorithm: str = "sha256") -> Iterator[Writer]:
        with self.inner.writer(ref, lease, algorithm=algorithm) as writer:
            yield self.Wrapped(writer)


class _TakesWrongOnes(_Writes):
    class Wrapped(_Passing):
        def commit(self, digest: Digest | None = None, *, size_bytes: int | None = None) -> Any:
            return self.inner.commit()


class _TakesWrongSizes(_Writes):
    class Wrapped(_Passing):
        def commit(self, digest: Digest | None = None, *, size_bytes: int | None = None) -> Any:
            return self.inner.commit(digest)


class _KeepsWrongOnes(_Passing):
    """Has some of a blob still that was none."""

    @contextmanager
    def writer(self, ref: str, lease: Lease, *, algorithm: str = "sha256") -> Iterator[Writer]:
        class Noting(_Passing):
            wrong = False

            def commit(self, digest: Digest | None = None, *, size_bytes: int | None = None) -> Any:
                try:
                    return self.inner.commit(digest, size_bytes=size_bytes)
                except Corrupt:
                    self.wrong = True
                    raise

        with self.inner.writer(ref, lease, algorithm=algorithm) as writer:
            noting = Noting(writer)
            yield noting
        if noting.wrong:
            with self.inner.writer(ref, lease, algorithm=algorithm) as writer:
                writer.write(b"data")


class _ForgetsOnClosing(_Writes):
    class Wrapped(_Passing):
        def close(self) -> None:
            self.inner.abort()

    @contextmanager
    def writer(self, ref: str, lease: Lease, *, algorithm: str = "sha256") -> Iterator[Writer]:
        with self.inner.writer(ref, lease, algorithm=algorithm) as writer:
            try:
                yield writer
            finally:
                writer.abort()


class _AbortKeeps(_Writes):
    class Wrapped(_Passing):
        def abort(self) -> None:
            self.inner.close()


class _ManyWriters(_Passing):
    @contextmanager
    def writer(self, ref: str, lease: Lease, *, algorithm: str = "sha256") -> Iterator[Writer]:
        try:
            with self.inner.writer(ref, lease, algorithm=algorithm) as writer:
                yield writer
        except Conflict:
            with self.inner.writer(ref + "'", lease, algorithm=algorithm) as writer:
                yield writer


class _AlwaysSha256(_Passing):
    @contextmanager
    def writer(self, ref: str, lease: Lease, *, algorithm: str = "sha256") -> Iterator[Writer]:
        with self.inner.writer(ref, lease) as writer:
            yield writer


class _CutsRefs(_Passing):
    @contextmanager
    def writer(self, ref: str, lease: Lease, *, algorithm: str = "sha256") -> Iterator[Writer]:
        with self.inner.writer(ref[:1024] or "-", lease, algorithm=algorithm) as writer:
            yield writer


class _CutsBlobs(_Passing):
    def open(self, digest: Digest, *, size_bytes: int | None = None) -> BinaryIO:
        with self.inner.open(digest, size_bytes=size_bytes) as file:
            return io.BytesIO(file.read()[: 1 << 20])


class _IgnoresSizes(_Passing):
    def open(self, digest: Digest, *, size_bytes: int | None = None) -> BinaryIO:
        return self.inner.open(digest)  # type: ignore[no-any-return]


class _FindsAnything(_Passing):
    def info(self, digest: Digest) -> Blob:
        try:
            return self.inner.info(digest)  # type: ignore[no-any-return]
        except NotFound:
            return Blob(digest, 0)


class _Unsorted(_Passing):
    def list(self) -> tuple[Blob, ...]:
        return self.inner.list()[::-1]  # type: ignore[no-any-return]


class _KeepsDeleted(_Passing):
    def delete(self, digest: Digest) -> None:
        pass


class _CollectsAll(_Passing):
    def collect(self, roots: Callable[[], Iterable[Digest]], *, idle_s: float = 86400.0) -> Collected:
        roots()
        return self.inner.collect(list, idle_s=idle_s)  # type: ignore[no-any-return]


class _CollectsLeased(_Passing):
    def collect(self, roots: Callable[[], Iterable[Digest]], *, idle_s: float = 86400.0) -> Collected:
        used = set(roots())
        gone = tuple(each for each in self.inner.list() if each.digest not in used)
        for each in gone:
            self.inner.delete(each.digest)
        return Collected(gone, self.inner.collect(lambda: used, idle_s=idle_s).ingests)


class _AsksTooEarly(_Passing):
    """Asks what is in use before it begins: what is published in between is lost."""

    def collect(self, roots: Callable[[], Iterable[Digest]], *, idle_s: float = 86400.0) -> Collected:
        used = list(roots())
        return self.inner.collect(lambda: used, idle_s=idle_s)  # type: ignore[no-any-return]


class _CollectsNothing(_Passing):
    def collect(self, roots: Callable[[], Iterable[Digest]], *, idle_s: float = 86400.0) -> Collected:
        return Collected()


class _CollectsYoungIngests(_Passing):
    def collect(self, roots: Callable[[], Iterable[Digest]], *, idle_s: float = 86400.0) -> Collected:
        return self.inner.collect(roots, idle_s=-60)  # type: ignore[no-any-return]


class _Deaf(_Passing):
    """Leases whose holds are forgotten."""

    @contextmanager
    def lease(self) -> Iterator[Lease]:
        class Deaf(_Passing):
            def hold(self, digest: Digest) -> bool:
                with suppress(NotFound):
                    store.info(digest)
                    return True
                return False

        store = self.inner
        with store.lease() as lease:
            lease.hold = Deaf(lease).hold
            yield lease


class _HidesIngests(_Passing):
    def ingests(self) -> tuple[Ingest, ...]:
        return ()


class _ShowsEarly(_Passing):
    """Shows a blob before it is whole."""

    def list(self) -> tuple[Blob, ...]:
        early = [Blob(sha256(each.ref.encode()), each.offset_bytes) for each in self.inner.ingests()]
        return (*self.inner.list(), *early)


MUTANTS = (
    Mutant(_ShowsEarly, "test_what_was_written_is_there"),
    Mutant(_CutsBlobs, "test_what_was_written_is_there"),
    Mutant(_TakesWrongOnes, "test_a_wrong_blob_is_dropped", ("digest",)),
    Mutant(_TakesWrongSizes, "test_a_wrong_blob_is_dropped", ("longer",)),
    Mutant(_KeepsWrongOnes, "test_a_wrong_blob_is_dropped", ("digest",)),
    Mutant(_ForgetsOnClosing, "test_goes_on_where_it_was"),
    Mutant(_HidesIngests, "test_goes_on_where_it_was"),
    Mutant(_AbortKeeps, "test_an_aborted_one_is_gone"),
    Mutant(_ManyWriters, "test_one_writer_a_ref"),
    Mutant(_AlwaysSha256, "test_other_algorithms"),
    Mutant(_CutsRefs, "test_refs_that_are_none"),
    Mutant(_IgnoresSizes, "test_a_wrong_size_is_seen_when_read"),
    Mutant(_FindsAnything, "test_absent_ones"),
    Mutant(_Unsorted, "test_list_is_sorted"),
    Mutant(_KeepsDeleted, "test_delete"),
    Mutant(_CollectsAll, "test_collect_keeps_what_is_in_use"),
    Mutant(_CollectsNothing, "test_collect_keeps_what_is_in_use"),
    Mutant(_CollectsLeased, "test_a_lease_keeps"),
    Mutant(_Deaf, "test_a_lease_keeps"),
    Mutant(_AsksTooEarly, "test_what_is_published_during_a_collection_stays"),
    Mutant(_CollectsYoungIngests, "test_idle_ingests_are_collected"),
)
