"""Descriptors that a container gets: the standard streams, those of socket activation, and `--preserve-fds`."""

from __future__ import annotations

import fcntl
import os

from moby.contracts.streams import Stdio
from moby.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moby_runtime.native.cli.main import Call


__all__ = ["activated", "stdio"]


def activated() -> int:
    """Return how many sockets this process was activated with, from 3 on (sd_listen_fds(3))."""
    count = os.environ.get("LISTEN_FDS", "")
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or not count.isdigit():
        return 0
    return int(count)


def stdio(call: Call, *, terminal: bool, sockets: int = 0) -> Stdio:
    """Return our own streams, or a terminal that is to be made, and what is passed on besides.

    Invalid where a descriptor that is to be passed on isn't open.
    """
    asked = call.number("preserve-fds")
    if asked < 0:
        raise Invalid(f"--preserve-fds must not be negative: {asked}")
    extra = tuple(range(3, 3 + sockets + asked))
    for fd in extra:
        if not _inherited(fd):
            what = "LISTEN_FDS" if fd < 3 + sockets else f"--preserve-fds {asked}"
            raise Invalid(f"descriptor {fd}, which {what} is to pass on, is not open")
    return Stdio(terminal=True, extra=extra) if terminal else Stdio(0, 1, 2, extra=extra)


def _inherited(fd: int) -> bool:
    """Whether a descriptor came from the caller: what this process opens itself closes on exec."""
    try:
        return not fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    except OSError:
        return False
