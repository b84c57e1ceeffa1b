"""Renames that Python's standard library lacks."""

import errno
import os
from pathlib import Path

from moby.host.syscalls import call, libc

__all__ = ["exchange"]

_HERE = -100
"""AT_FDCWD."""
_EXCHANGE = 2
"""RENAME_EXCHANGE."""


def exchange(one: Path, other: Path) -> bool:
    """Let two files or folders of one file system trade names, at one instant; False where it can't (renameat2(2))."""
    renameat2 = getattr(libc, "renameat2", None)
    if renameat2 is None:
        return False
    try:
        call(renameat2, _HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EINVAL):
            return False
        raise
    return True
