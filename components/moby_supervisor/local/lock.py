"""One supervisor at a time in a folder: the one that was started last, since its keeper knows that one.

A keeper that is killed just when it has started a supervisor can't have told the next keeper of it.
"""

import fcntl
import os
import signal
import struct
from contextlib import suppress
from pathlib import Path

from moby.errors import Unavailable
from moby.host import processes

__all__ = ["take"]

_FLOCK = struct.Struct("hhqqi4x")
"""struct flock (fcntl(2)): type, whence, start, length, pid."""
_PATIENCE_S = 10.0


def take(folder: Path) -> int:
    """Lock a folder for as long as the result is open, in place of whichever process has it, which is killed.

    No child inherits such a lock. Unavailable where that process doesn't end.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not _locked(fd):
            _end_holder(fd, folder)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _locked(fd: int) -> bool:
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _holder(fd: int) -> int:
    """Return the pid of who has the lock; 0 where nobody has."""
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    return 0 if kind == fcntl.F_UNLCK else int(pid)


def _end_holder(fd: int, folder: Path) -> None:
    pid = _holder(fd)
    if not pid:
        return
    with suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        try:
            if _holder(fd) != pid:  # only after opening does it say whose descriptor it is
                return
            processes.send_signal(pidfd, signal.SIGKILL)
            if not processes.wait_ended(pidfd, _PATIENCE_S):
                raise Unavailable(f"another supervisor, {pid}, has {folder} and doesn't end", hint=f"end {pid}")
        finally:
            os.close(pidfd)
