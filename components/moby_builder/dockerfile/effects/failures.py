"""What a refused system call is to who builds: the host's fault, or the step's."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from moby.contracts.builder import BuildFailed
from moby.errors import HostUnfit

__all__ = ["failures"]

_HOST = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM}


@contextmanager
def failures(doing: str) -> Iterator[None]:
    """Say what a system call was refused for: HostUnfit for a full disk and the like, else BuildFailed."""
    try:
        yield
    except OSError as error:
        at = error.filename if isinstance(error.filename, str) else ""
        text = f"{doing}{' ' + at if at else ''}: {(error.strerror or str(error)).lower()}"
        if error.errno == errno.ELOOP:
            raise BuildFailed("too many links") from error
        if error.errno in _HOST:
            raise HostUnfit(text, hint="make room on the disk of the engine's root") from error
        raise BuildFailed(text) from error
