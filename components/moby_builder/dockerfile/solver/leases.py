"""Leases: which records builds that are going on need, by locks of the kernel on places of one file.

They hold between processes too, end with the process that has them, and taking one costs a microsecond.
"""

import fcntl
import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Lease", "Leases"]

_FLOCK = struct.Struct("@hhqqi4x")
"""struct flock of fcntl(2), with 64 bits."""
_PLACES = 1 << 62


class Lease:
    """Keeps records from being pruned, until it is closed or its process dies. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def hold(self, record_id: str) -> bool:
        """Keep a record from here on, if it is there still; False while somebody removes it."""
        return _lock(self._fd, fcntl.F_RDLCK, record_id)

    def close(self) -> None:
        """Let all go."""
        os.close(self._fd)


class Leases:
    """The leases of an engine, whichever process has them."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "leases"

    def open(self) -> Lease:
        """Begin a lease."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Lease(self._path)

    def in_use(self, record_id: str) -> bool:
        """Whether a build needs a record."""
        lease = self.open()
        try:
            asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _place(record_id), 1, 0)
            found = fcntl.fcntl(lease._fd, fcntl.F_OFD_GETLK, asked)
        finally:
            lease.close()
        return bool(_FLOCK.unpack(found)[0] != fcntl.F_UNLCK)

    @contextmanager
    def seized(self, record_id: str) -> Iterator[bool]:
        """Have a record to oneself, so that it can be removed; False where a build needs it."""
        lease = self.open()
        try:
            yield _lock(lease._fd, fcntl.F_WRLCK, record_id)
        finally:
            lease.close()


def _lock(fd: int, kind: int, record_id: str) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, _place(record_id), 1, 0))
    except BlockingIOError:
        return False
    return True


def _place(record_id: str) -> int:
    return int.from_bytes(hashlib.sha256(record_id.encode()).digest()[:8], "big") % _PLACES
