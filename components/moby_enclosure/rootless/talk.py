"""What is said between who is inside, or wants to be, and the gate: a packet out, one in, descriptors with it."""

import errno
import os
import socket
from pathlib import Path

from moby.errors import Unavailable

__all__ = ["MOST_FDS", "VERSION", "Talk", "listen"]

VERSION = 1
"""Of what is said; a gate answers its neighbours too."""
MOST_FDS = 3
_LONGEST = 4096
_PATIENCE_S = 30.0
_SOCKET = "gate.socket"


def listen(folder: Path) -> socket.socket:
    """Return the gate's end, at which its user alone may ask; whoever has the gate's lock may replace one."""
    path = folder / _SOCKET
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    at = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener.bind(f"/proc/self/fd/{at}/{_SOCKET}")  # whose path may be longer than a socket's
    finally:
        os.close(at)
    path.chmod(0o600)
    listener.listen(64)
    return listener


class Talk:
    """One conversation with the gate; it counts as somebody inside for as long as it is open.

    FileNotFoundError where no gate has been in this folder, ConnectionError where it has ended.
    """

    def __init__(self, folder: Path) -> None:
        at = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        try:
            self._sock.settimeout(_PATIENCE_S)
            self._sock.connect(f"/proc/self/fd/{at}/{_SOCKET}")
        except BaseException:
            self._sock.close()
            raise
        finally:
            os.close(at)

    def ask(self, *fields: str) -> list[int]:
        """Say something, and return the descriptors that are the answer; OSError where that is an error number."""
        try:
            self._sock.send("\0".join(fields).encode())
            answer, fds, _, _ = socket.recv_fds(self._sock, _LONGEST, MOST_FDS, socket.MSG_CMSG_CLOEXEC)
        except TimeoutError as error:
            raise Unavailable("the engine's gate doesn't answer", hint="see its log in the run folder") from error
        if not answer:
            raise ConnectionResetError(errno.ECONNRESET, "the gate has gone")
        word, _, number = answer.decode().partition("\0")
        if word == "errno":
            raise OSError(int(number), os.strerror(int(number)))
        return list(fds)

    def close(self) -> None:
        """End it."""
        self._sock.close()
