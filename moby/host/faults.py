"""What the kernel answers that any call may meet, wherever it is in the code, told from a bug of ours."""

import errno
import os

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


def host_fault(error: OSError) -> HostUnfit | None:
    """Return an OSError that nobody expected as what the host can't; None where it must be a bug."""
    if error.errno in _HINTS:
        where = f"{error.filename}: " if error.filename else ""
        return HostUnfit(f"the host can't: {where}{error.strerror}", hint=_HINTS[error.errno])
    if isinstance(error, FileNotFoundError) and _current_folder_is_gone():
        return HostUnfit("the current folder isn't there any more", hint="change to a folder that is there (cd)")
    return None


def _current_folder_is_gone() -> bool:
    try:
        os.getcwd()  # Path.cwd() costs an import of pathlib
    except FileNotFoundError:
        return True
    return False
