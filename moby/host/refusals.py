"""What of the host stands in the way of an engine's folder, in our words."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from moby.errors import HostUnfit

__all__ = ["host_errors"]

_HINTS = {
    errno.ENOSPC: "make room on that disk, or use another --root",
    errno.EDQUOT: "make room in your quota, or use another --root",
    errno.EACCES: "use a --root that this user may write, or run as its owner",
    errno.EROFS: "use a --root on a disk that can be written",
    errno.EOPNOTSUPP: "the file system of the --root has nothing of that sort; use a --root on another one",
}


@contextmanager
def host_errors(what: str, *, hint: str = "") -> Iterator[None]:
    """Say what was tried where the system refuses: an OSError becomes HostUnfit.

    What would help is told by its number, for folders of the root, unless there is a `hint`.
    """
    try:
        yield
    except OSError as error:
        at = f" at {error.filename}" if error.filename else ""
        helps = hint or _HINTS.get(error.errno or 0, "")
        raise HostUnfit(f"can't {what}{at}: {error.strerror or error}", hint=helps) from error
