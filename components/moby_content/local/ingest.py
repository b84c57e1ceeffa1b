"""A blob on its way in: a folder with its bytes and its name, whose lock is its writer's."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from moby.contracts.content import Blob, Ingest
from moby.contracts.types import Digest
from moby.errors import Conflict, Corrupt, Invalid, NotFound
from moby.host.locks import locked
from moby.host.refusals import host_errors
from moby.oci.digest import CHUNK_BYTES, sha256
from moby_content.local.hashing import Hashing
from moby_content.local.leases import FileLease
from moby_content.local.proofs import Proofs

__all__ = ["FileWriter", "drop", "folder_of", "read"]

_LONGEST_REF = 1024


def folder_of(ingests: Path, ref: str) -> Path:
    """Return where a ref's bytes are; Invalid for one that is none."""
    if not 0 < len(ref.encode("utf-8", "surrogateescape")) <= _LONGEST_REF:
        raise Invalid(f"ref {ref[:80]!r} must be 1 to {_LONGEST_REF} bytes")
    return ingests / sha256(ref.encode("utf-8", "surrogateescape")).hex[:32]


def read(folder: Path) -> Ingest:
    """Return what an ingest's folder holds; FileNotFoundError where it went."""
    found = (folder / "data").stat()
    ref = (folder / "ref").read_bytes().decode("utf-8", "surrogateescape")
    return Ingest(ref, found.st_size, found.st_mtime_ns)


def drop(folder: Path) -> None:
    """Remove an ingest; the caller has its lock."""
    for name in ("ref", "data"):
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):  # another one begins anew
        folder.rmdir()


class FileWriter:
    """See the contract."""

    def __init__(
        self, folder: Path, ref: str, lease: FileLease, blobs: Path, lock: Path, algorithm: str, proofs: Proofs
    ) -> None:
        self._folder = folder
        self._lease = lease
        self._blobs = blobs / algorithm
        self._lock = lock
        self._algorithm = algorithm
        self._proofs = proofs
        self._hash = Hashing(algorithm)
        self.offset_bytes = 0
        self._fd = self._open(ref)
        try:
            while chunk := os.read(self._fd, CHUNK_BYTES):
                self._hash.update(chunk)
                self.offset_bytes += len(chunk)
        except BaseException:
            self.close()
            raise

    def _open(self, ref: str) -> int:
        """Open the bytes and lock them; one that was dropped meanwhile is begun anew."""
        while True:
            with suppress(FileExistsError):  # which `exist_ok` raises where it goes right then
                self._folder.mkdir(mode=0o700)
            fd = -1
            try:
                fd = os.open(self._folder / "data", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(fd), (self._folder / "data").stat()):  # else it went, or is a blob now
                    (self._folder / "ref").write_bytes(ref.encode("utf-8", "surrogateescape"))
                    return fd
            except FileNotFoundError:
                pass
            except BlockingIOError:
                os.close(fd)
                raise Conflict(f"{ref!r} is being written by another one", hint="wait for it") from None
            if fd >= 0:
                os.close(fd)

    def write(self, data: bytes | memoryview) -> None:
        """Append."""
        self._check_open()
        self._hash.update(data)
        view = memoryview(data)
        with host_errors("write a blob"):
            while view:
                written = os.write(self._fd, view)
                self.offset_bytes += written
                view = view[written:]

    def commit(self, digest: Digest | None = None, *, size_bytes: int | None = None) -> Blob:
        """Make it a blob."""
        self._check_open()
        found = Digest(self._algorithm, self._hash.hexdigest())
        wrong = ""
        if self._hash.bytes != self.offset_bytes:
            wrong = "was written in part alone"
        elif size_bytes is not None and size_bytes != self.offset_bytes:
            wrong = f"has {self.offset_bytes} bytes, not {size_bytes}"
        elif digest is not None and digest != found:
            wrong = f"hashes to {found}"
        if wrong:
            self.abort()
            raise Corrupt(f"blob {digest or found} isn't what it should be: it {wrong}", hint="fetch it again")
        with host_errors("store a blob"):
            self._keep(found)
        with suppress(OSError):
            self._folder.rmdir()
        self.close()
        return Blob(found, self.offset_bytes)

    def _keep(self, digest: Digest) -> None:
        """Make what came a blob, held by the lease."""
        with locked(self._lock, exclusive=False):
            self._lease.hold_locked(digest)
            (self._folder / "ref").unlink(missing_ok=True)
            (self._folder / "data").replace(self._blobs / digest.hex)
            self._proofs.note(digest, self._fd)

    def abort(self) -> None:
        """Drop what came."""
        if self._fd >= 0:
            try:
                drop(self._folder)
            finally:
                self.close()

    def close(self) -> None:
        """Let another one go on."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)
            self._hash.end()

    def _check_open(self) -> None:
        if self._fd < 0:
            raise NotFound("this writer was closed", hint="begin another one")
