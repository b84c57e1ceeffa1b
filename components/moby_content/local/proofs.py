"""Which blobs were proven a moment ago, so that what was written just now isn't hashed once more when it is read.

A proof holds for the very file, for as long as its times say that nobody touched it, and for a minute: what is read in
that time comes from the same memory that was hashed.
"""

import os
import threading
import time

from moby.contracts.types import Digest

__all__ = ["Proofs"]

_FOR_S = 60.0
_MOST = 1000
_EXACT_TIMES = (6, 13)
"""Since that kernel every change to a file that was looked at gives it another time (kernel, multigrain timestamps)."""
_EXACT_FILE_SYSTEMS = (0xEF53, 0x58465342, 0x9123683E, 0x01021994)
"""Where that is so: ext4, xfs, btrfs and tmpfs. On others two changes of the same few milliseconds look like one."""
_SECOND = 1_000_000_000

Identity = tuple[int, int, int, int, int]


class Proofs:
    """Blobs by digest, with what their files were when they were proven."""

    def __init__(self) -> None:
        self._change = threading.Lock()
        self._known: dict[Digest, tuple[Identity, float]] = {}
        self._trusts_times = _kernel() >= _EXACT_TIMES

    def note(self, digest: Digest, fd: int) -> None:
        """Remember that a file, which is where it stays by now, holds a blob."""
        if not self._trusts_times or not _tells_every_change(fd):
            return
        with self._change:
            self._known.pop(digest, None)
            while len(self._known) >= _MOST:
                del self._known[next(iter(self._known))]
            self._known[digest] = (_identity(fd), time.monotonic())

    def holds(self, digest: Digest, fd: int, size_bytes: int | None) -> bool:
        """Say whether a file is what was proven to be a blob, and of so many bytes, where that is asked."""
        with self._change:
            known = self._known.get(digest)
        if known is None:
            return False
        identity, since = known
        found = _identity(fd)
        return found == identity and size_bytes in (None, found[2]) and time.monotonic() - since < _FOR_S


def _tells_every_change(fd: int) -> bool:
    """Say whether a file system's times are exact; those of an ext4 made for small inodes have whole seconds only."""
    from moby.host.mounts import file_system  # which brings ctypes, for who writes

    return file_system(fd) in _EXACT_FILE_SYSTEMS and os.fstat(fd).st_ctime_ns % _SECOND != 0


def _identity(fd: int) -> Identity:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _kernel() -> tuple[int, int]:
    major, minor, *_ = os.uname().release.split(".")
    return int(major), int(minor) if minor.isdigit() else 0
