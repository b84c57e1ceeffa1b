"""Pseudo-terminals of any devpts, made without a name in it (pty(7), ioctl_tty(2))."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct

from moby.host.lean import sockets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["open_pair", "receive"]

_TIOCSPTLCK = 0x40045431
_TIOCGPTPEER = 0x5441
_MULTIPLEXER = os.makedev(5, 2)


def open_pair(open_below: Callable[[str, int], int]) -> tuple[int, int]:
    """Return the two ends, master first, of a new terminal of the devpts that is at /dev/pts of some root.

    `open_below(path, flags)` opens a path of that root, whose owner isn't trusted: what isn't the kernel's
    multiplexer is refused with ENODEV, and not waited for. ENOENT where there is no devpts.
    """
    flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
    master = open_below("/dev/pts/ptmx", flags | os.O_NONBLOCK)
    try:
        found = os.fstat(master)
        if not stat.S_ISCHR(found.st_mode) or found.st_rdev != _MULTIPLEXER:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV), "/dev/pts/ptmx")
        os.set_blocking(master, True)
        fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
        # Not by its name, which whoever owns that root may have put something else over (CVE-2025-52565).
        return master, fcntl.ioctl(master, _TIOCGPTPEER, flags)
    except BaseException:
        os.close(master)
        raise


def receive(sender: sockets.socket) -> int:
    """Return the descriptor that has come by a socket, which closes on exec; -1 where none has. It doesn't wait.

    `socket.recv_fds` takes no notice of its flags.
    """
    flags = sockets.MSG_DONTWAIT | sockets.MSG_CMSG_CLOEXEC
    try:
        _, ancillary, _, _ = sender.recvmsg(4096, sockets.CMSG_SPACE(struct.calcsize("i")), flags)
    except BlockingIOError:
        return -1
    for level, kind, data in ancillary:
        if (level, kind) == (sockets.SOL_SOCKET, sockets.SCM_RIGHTS) and len(data) >= struct.calcsize("i"):
            return int(struct.unpack_from("i", data)[0])
    return -1
