"""Blobs in a folder; see the contract."""

import fcntl
import io
import os
import time
from collections.abc import Callable, Iterable, Iterator, MutableSequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from moby.contracts.content import Blob, Collected, Ingest, Lease, Writer
from moby.contracts.types import Digest
from moby.errors import Corrupt, Invalid, NotFound
from moby.host.locks import locked
from moby.host.refusals import host_errors
from moby.oci import digest as digests
from moby.oci.digest import Verified
from moby_content.local import ingest as ingests
from moby_content.local.ingest import FileWriter
from moby_content.local.leases import FileLease, Leased, sweep
from moby_content.local.proofs import Proofs

__all__ = ["Store"]

_HELD_S = 0.02
"""How long the lock is held that whoever writes needs at times."""
_APART_S = 0.002
"""How long it is free then: flock(2) isn't fair, and who waits for it has to run to get it."""
_ALGORITHMS = ("sha256", "sha384", "sha512")


class _Lease(FileLease):
    def __init__(self, folder: Path, lock: Path, collecting: Path, has: Callable[[Digest], bool]) -> None:
        super().__init__(folder, lock, collecting)
        self._has = has

    def hold(self, digest: Digest) -> bool:
        """Keep a blob from here on; whether it is there."""
        with host_errors("hold a blob"), locked(self._lock, exclusive=False):
            self.hold_locked(digest)
            return self._has(digest)


class Store:
    """Blobs in a folder."""

    def __init__(self, state: Path) -> None:
        self._blobs = state / "blobs"
        self._ingest = state / "ingest"
        self._leases = state / "leases"
        self._lock = state / "lock"
        self._collecting = state / "collecting"
        self._proofs = Proofs()
        self._ready = False

    @contextmanager
    def lease(self) -> Iterator[Lease]:
        """Begin a lease."""
        with self._using("begin a lease"):
            lease = _Lease(self._leases, self._lock, self._collecting, self._has)
        try:
            yield lease
        finally:
            lease.close()

    @contextmanager
    def writer(self, ref: str, lease: Lease, *, algorithm: str = "sha256") -> Iterator[Writer]:
        """Begin, or go on with, a blob."""
        if not isinstance(lease, FileLease):
            raise Invalid("the lease is another store's")
        if algorithm not in _ALGORITHMS:
            raise Invalid(f"unknown digest algorithm {algorithm[:40]!r}", hint=f"known are {', '.join(_ALGORITHMS)}")
        folder = ingests.folder_of(self._ingest, ref)
        with self._using("write a blob"):
            writer = self._begun(folder, ref, lease, algorithm)
        try:
            yield writer
        finally:
            writer.close()

    def ingests(self) -> tuple[Ingest, ...]:
        """Return all that is on its way in."""
        with self._using("list what is on its way in"):
            return tuple(sorted(found for _, found in self._all_ingests()))

    def info(self, digest: Digest) -> Blob:
        """Return what is known of a blob."""
        with self._using("find a blob"):
            try:
                return Blob(digest, self._path(digest).stat().st_size)
            except FileNotFoundError:
                raise self._missing(digest) from None

    def open(self, digest: Digest, *, size_bytes: int | None = None) -> BinaryIO:
        """Open a blob, which is proven at its end, unless it was a moment ago: as a plain file then."""
        with self._using("open a blob"):
            try:
                file = io.FileIO(self._path(digest))
            except FileNotFoundError:
                raise self._missing(digest) from None
            except IsADirectoryError:
                hint = "remove it, and fetch it again"
                raise Corrupt(f"blob {digest} in {self._blobs} is a folder", hint=hint) from None
        if self._proofs.holds(digest, file.fileno(), size_bytes):
            return file
        return Verified(file, digest, size_bytes=size_bytes)  # type: ignore[return-value]

    def list(self) -> tuple[Blob, ...]:
        """Return all blobs."""
        with self._using("list blobs"):
            return tuple(sorted(self._all_blobs()))

    def delete(self, digest: Digest) -> None:
        """Remove a blob."""
        with self._using("remove a blob"):
            self._remove(digest)

    def collect(self, roots: Callable[[], Iterable[Digest]], *, idle_s: float = 86400.0) -> Collected:
        """Remove what is neither among the roots nor leased."""
        with self._using("collect blobs"), locked(self._collecting, exclusive=True):
            with locked(self._lock, exclusive=True):
                sweep(self._leases)
            used = set(roots())
            left = [each for each in self._all_blobs() if each.digest not in used]
            gone: list[Blob] = []
            leased = Leased(self._leases)
            while left:
                with locked(self._lock, exclusive=True):
                    gone += self._remove_some(left, leased.now())
                if left:
                    time.sleep(_APART_S)
            dropped = self._drop_idle(time.time_ns() - int(idle_s * 1e9))
            return Collected(tuple(sorted(gone)), tuple(sorted(dropped)))

    def _remove_some(self, left: MutableSequence[Blob], kept: set[str]) -> Iterator[Blob]:
        """Remove blobs off the end of a list, for as long as the lock may be held; yield each that wasn't kept."""
        until = time.monotonic() + _HELD_S
        while left:
            blob = left.pop()
            if str(blob.digest) not in kept:
                self._remove(blob.digest)
                yield blob
            if time.monotonic() > until:
                return

    def _drop_idle(self, before_ns: int) -> Iterator[Ingest]:
        for folder, found in tuple(self._all_ingests(half=True)):
            if found.updated_ns > before_ns:
                continue
            with suppress(FileNotFoundError, BlockingIOError):
                fd = os.open(folder / "data", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    ingests.drop(folder)
                finally:
                    os.close(fd)
                if found.ref:
                    yield found

    def _all_ingests(self, *, half: bool = False) -> Iterator[tuple[Path, Ingest]]:
        """Yield folders and what they hold; `half` those too that a killed process had only begun, with no name."""
        for folder in self._ingest.iterdir():
            try:
                yield folder, ingests.read(folder)
            except NotADirectoryError:
                continue
            except FileNotFoundError:
                with suppress(FileNotFoundError):
                    if half and folder.is_dir():
                        yield folder, Ingest("", 0, folder.stat().st_mtime_ns)

    def _all_blobs(self) -> Iterator[Blob]:
        for algorithm in _ALGORITHMS:
            with os.scandir(self._blobs / algorithm) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError, Invalid):
                        found = digests.parse(f"{algorithm}:{entry.name}")
                        yield Blob(found, entry.stat(follow_symlinks=False).st_size)

    def _begun(self, folder: Path, ref: str, lease: FileLease, algorithm: str) -> FileWriter:
        return FileWriter(folder, ref, lease, self._blobs, self._lock, algorithm, self._proofs)

    def _has(self, digest: Digest) -> bool:
        return self._path(digest).exists()

    def _remove(self, digest: Digest) -> None:
        self._path(digest).unlink(missing_ok=True)

    def _path(self, digest: Digest) -> Path:
        return self._blobs / digest.algorithm / digest.hex

    def _missing(self, digest: Digest) -> NotFound:
        return NotFound(f"blob {digest} isn't in {self._blobs}", hint="fetch it again")

    @contextmanager
    def _using(self, what: str) -> Iterator[None]:
        with host_errors(what):
            if not self._ready:
                for each in (*(self._blobs / algorithm for algorithm in _ALGORITHMS), self._ingest, self._leases):
                    each.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._ready = True
            yield
