"""What the kernel answers that any call may meet, wherever it is in the code, told from a bug of ours."""

import errno
import os
from collections.abc import Sequence

from moby.errors import HostUnfit

__all__ = ["host_fault"]

_HINTS = {
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room in your quota",
    errno.EROFS: "name a place on a disk that can be written",
    errno.EIO: "look at the disk, and at the kernel's log",
    errno.ENOMEM: "free memory",
    errno.EMFILE: "raise the limit of open files, as with ulimit -n",
    errno.ENFILE: "raise the limit of open files, fs.file-max, with sysctl",
}
_LITTLE_BYTES = 64 << 20
"""A disk with less than this is taken for the full one: what didn't fit is removed by then."""


def host_fault(error: OSError, folders: Sequence[str] = ()) -> HostUnfit | None:
    """Return an OSError that nobody expected as what the host can't; None where it must be a bug.

    Which of the folders that were written to lies on a full disk is told, since the kernel doesn't for what is open.
    """
    if error.errno in _HINTS:
        place = error.filename or (_full(folders) if error.errno == errno.ENOSPC else "")
        where = f"{place}: " if place else ""
        return HostUnfit(f"the host can't: {where}{error.strerror}", hint=_HINTS[error.errno])
    if isinstance(error, FileNotFoundError) and _current_folder_is_gone():
        return HostUnfit("the current folder isn't there any more", hint="change to a folder that is there (cd)")
    return None


def _full(folders: Sequence[str]) -> str:
    """Return the first folder that has no room; empty where all have."""
    for folder in folders:
        try:
            found = os.statvfs(folder)
        except OSError:
            continue
        if found.f_bavail * found.f_frsize < _LITTLE_BYTES or (found.f_files and not found.f_favail):
            return folder
    return ""


def _current_folder_is_gone() -> bool:
    try:
        os.getcwd()  # Path.cwd() costs an import of pathlib
    except FileNotFoundError:
        return True
    return False
