"""Notices of changes to files (inotify(7)), for one who waits for a file to grow."""

import ctypes
import os

from moby.host.syscalls import call, libc

__all__ = ["Watch"]

_MODIFY, _ATTRIBUTES, _DELETED, _MOVED = 0x2, 0x4, 0x400, 0x800
_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC


class Watch:
    """A descriptor, `fd`, that becomes readable when the file of another one is written, renamed or removed.

    OSError as inotify_init1(2): EMFILE where this user has too many already.
    """

    def __init__(self, fd: int) -> None:
        self.fd = call(libc.inotify_init1, _NONBLOCK_CLOEXEC)
        path = ctypes.c_char_p(f"/proc/self/fd/{fd}".encode())
        try:
            call(libc.inotify_add_watch, self.fd, path, _MODIFY | _ATTRIBUTES | _DELETED | _MOVED)
        except OSError:
            self.close()
            raise

    def clear(self) -> None:
        """Forget the changes so far."""
        try:
            while os.read(self.fd, 65536):
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Stop watching."""
        os.close(self.fd)
