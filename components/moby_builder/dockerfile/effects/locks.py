"""Locks of what builds keep in folders: files, whose locks go with whoever has them."""

import fcntl
import os
from pathlib import Path

__all__ = ["taken"]


def taken(path: Path) -> int | None:
    """Take a file's lock alone; return the descriptor that holds it until it is closed, None where somebody has it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd
