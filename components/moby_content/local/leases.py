"""Leases: a locked file of digests each; the kernel gives the lock up with its holder, however that ended.

One that ends while a collection runs is left for that one to see: what it held may have been published after the
collection had asked for what is in use.
"""

import fcntl
import os
import secrets
import threading
from contextlib import suppress
from pathlib import Path

from moby.contracts.types import Digest
from moby.errors import Invalid
from moby.host.locks import locked

__all__ = ["FileLease", "Leased", "sweep"]


class FileLease:
    """A lease whose file is `folder/RANDOM`; `lock` orders it with collections, of which `collecting` tells."""

    def __init__(self, folder: Path, lock: Path, collecting: Path) -> None:
        self._path = folder / secrets.token_hex(8)
        self._lock = lock
        self._collecting = collecting
        self._mutex = threading.Lock()
        with locked(lock, exclusive=False):
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX)

    def hold_locked(self, digest: Digest) -> None:
        """Note a digest; the caller holds the lock."""
        with self._mutex:
            if self._fd < 0:
                raise Invalid("the lease has ended")
            os.write(self._fd, f"{digest}\n".encode())

    def close(self) -> None:
        """Let go."""
        with self._mutex:
            if self._fd < 0:
                return
            fd, self._fd = self._fd, -1
        try:
            if not _is_locked(self._collecting):
                self._path.unlink(missing_ok=True)
        finally:
            os.close(fd)


class Leased:
    """What all leases hold, those that ended during this collection included; each is read on from where it was."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, int] = {}
        self._digests: set[str] = set()

    def now(self) -> set[str]:
        """Return digests as texts; the caller keeps others from holding any."""
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError), path.open("rb") as file:
                file.seek(self._read.get(path.name, 0))
                whole, newline, _ = file.read().rpartition(b"\n")
                self._digests.update(whole.decode("ascii", "replace").splitlines())
                self._read[path.name] = self._read.get(path.name, 0) + len(whole) + len(newline)
        return self._digests


def sweep(folder: Path) -> None:
    """Remove the leases of holders that are gone; only while nobody begins one."""
    for path in folder.iterdir():
        if not _is_locked(path):
            path.unlink(missing_ok=True)


def _is_locked(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)
