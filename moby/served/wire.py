"""Messages over a Unix stream socket: a length, how many descriptors come with it, and JSON.

Descriptors go with the first byte of a message (SCM_RIGHTS, unix(7)). Both ends check that the other is of their own
user, or root. Sizes are bounded before anything is kept.
"""

import contextlib
import errno
import json
import os
import socket
import stat
import struct
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from moby.errors import Conflict, Invalid, Unavailable

__all__ = [
    "BESIDE", "LONGEST", "MOST", "MOST_FDS", "VERSION", "Closed", "Given", "Reader", "body", "check_peer", "close_all",
    "connect", "framed", "listen", "message_of", "pack", "read_some", "receive", "send", "send_first", "short", "take",
    "text_of", "unpack",
]  # fmt: skip

VERSION = 1
"""Of how messages are framed and calls are written; both neighbours of a version are answered."""
LONGEST = 1 << 24
MOST = 1 << 26
"""Bytes of a message that lies in a file beside another (`message_of`)."""
BESIDE = "beside"
"""The one name of a message that says just where the file is."""
MOST_FDS = 253
"""That the kernel takes at once (SCM_MAX_FD)."""
_HEAD = struct.Struct("!IH")
_CHUNK = 65536
_PIECE = 1 << 20
_SPACE = socket.CMSG_SPACE(MOST_FDS * 4)
_CUT = int(socket.MSG_CTRUNC)
_ENCODE = json.JSONEncoder(separators=(",", ":")).encode


class Closed(ConnectionError):
    """The other side has closed the connection; `begun` says whether it may have read what it was sent."""

    def __init__(self, *, begun: bool) -> None:
        super().__init__("the other side has closed the connection")
        self.begun = begun


def pack(message: Any, fds: Sequence[int] = ()) -> bytes:
    """Return a message's bytes; Invalid where it is too long, or holds what JSON can't."""
    return framed(text_of(message), fds)


def text_of(message: Any) -> bytes:
    """Return a message as JSON; Invalid where that can't hold it."""
    try:
        return _ENCODE(message).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"this can't be passed to another process: {error}") from error


def framed(body: bytes, fds: Sequence[int]) -> bytes:
    """Return a message's bytes, of its JSON; Invalid where it is too long."""
    if len(body) > LONGEST or len(fds) > MOST_FDS:
        raise Invalid(f"too much at once for another process: {len(body)} bytes, {len(fds)} descriptors")
    return _HEAD.pack(len(body), len(fds)) + body


def body(value: Any, fds: Sequence[int]) -> bytes:
    """Return a value as JSON, where no descriptors can come along; Invalid where it has some."""
    if fds:
        raise Invalid("this can't be passed to another process: descriptors don't come along in a stream")
    return pack(value)[_HEAD.size :]


def unpack(body: bytes | bytearray) -> Any:
    """Return what a message says; Invalid where it isn't JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"a message of another process can't be read: {error}") from error


def message_of(body: bytes, fds: list[int]) -> Any:
    """Return what a message says, which for a long one lies in a file beside it; Invalid where it isn't JSON."""
    found = unpack(body)
    if isinstance(found, dict) and found.keys() == {BESIDE}:
        found = unpack(_read_beside(take(found[BESIDE], fds)))
    return found


def _read_beside(fd: int) -> bytes:
    """Return what is in a file, and close it; whoever was sent it before may have read it."""
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MOST:
            raise Invalid(f"what lies beside a message of another process is no file of at most {MOST} bytes")
        parts, size = [], 0
        while size < found.st_size and (part := os.pread(fd, min(_PIECE, found.st_size - size), size)):
            parts.append(part)
            size += len(part)
    except OSError as error:
        raise Invalid(f"what lies beside a message of another process can't be read: {error.strerror}") from error
    finally:
        os.close(fd)
    return b"".join(parts)


def send(sock: socket.socket, data: bytes, fds: Sequence[int] = ()) -> None:
    """Send a packed message; Closed where nobody can read it any more."""
    try:
        sent = send_first(sock, data, fds)
        if sent < len(data):
            sock.sendall(memoryview(data)[sent:])
    except (BrokenPipeError, ConnectionResetError) as error:
        raise Closed(begun=False) from error


def send_first(sock: socket.socket, data: bytes | memoryview, fds: Sequence[int]) -> int:
    """Send as much of a message as goes at once, its descriptors with the first byte; return how much went."""
    if not fds:
        return sock.send(data)
    return sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))])


class Reader:
    """Puts messages together out of what comes in. `feed` raises Invalid where the other side breaks the framing."""

    def __init__(self, longest: int = LONGEST) -> None:
        self._longest = longest
        self._data = bytearray()
        self._fds: list[int] = []

    def feed(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Take what was read; the descriptors are the reader's from now on."""
        self._data += data
        self._fds += fds
        if len(self._fds) > MOST_FDS:
            raise Invalid("another process sent more descriptors than it announced")

    def next(self) -> tuple[bytes, list[int]] | None:
        """Return the next whole message and its descriptors, which are the caller's to close; None while none is."""
        if len(self._data) < _HEAD.size:
            return None
        length, count = _HEAD.unpack_from(self._data)
        if length > self._longest or count > MOST_FDS:
            raise Invalid(f"another process sent a message of {length} bytes and {count} descriptors")
        if len(self._data) < _HEAD.size + length:
            return None
        if count > len(self._fds):
            raise Invalid("another process sent fewer descriptors than it announced")
        body = bytes(self._data[_HEAD.size : _HEAD.size + length])
        del self._data[: _HEAD.size + length]
        fds, self._fds = self._fds[:count], self._fds[count:]
        return body, fds

    @property
    def empty(self) -> bool:
        """Whether nothing of a message is there."""
        return not self._data and not self._fds

    def close(self) -> None:
        """Close the descriptors that nobody took."""
        close_all(self._fds)
        self._fds = []


def read_some(sock: socket.socket) -> tuple[bytes, list[int]]:
    """Read what is there, and the descriptors with it, which close on exec; Invalid where some were lost."""
    data, ancillary, flags, _ = sock.recvmsg(_CHUNK, _SPACE, socket.MSG_CMSG_CLOEXEC)
    fds: list[int] = []
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            found = array("i")
            found.frombytes(payload[: len(payload) - len(payload) % found.itemsize])
            fds += found
    if flags & _CUT:
        close_all(fds)
        raise Unavailable("this process has too many descriptors open to take another", hint="raise `ulimit -n`")
    return data, fds


def receive(sock: socket.socket, reader: Reader) -> tuple[Any, list[int]]:
    """Wait for the next message; Closed where the other side ends first."""
    while (found := reader.next()) is None:
        try:
            data, fds = read_some(sock)
        except ConnectionResetError as error:  # it ended with what we sent unread
            raise Closed(begun=False) from error
        if not data:
            raise Closed(begun=True)
        reader.feed(data, fds)
    body, fds = found
    try:
        return message_of(body, fds), fds
    except BaseException:
        close_all(fds)
        raise


def close_all(fds: Sequence[int]) -> None:
    """Close descriptors, whatever became of each."""
    for fd in fds:
        if fd >= 0:
            with contextlib.suppress(OSError):
                os.close(fd)


def take(place: Any, fds: list[int]) -> int:
    """Return the descriptor at a place of a message's, which is the caller's to close from now on."""
    if type(place) is not int or not 0 <= place < len(fds) or fds[place] < 0:
        raise Invalid(f"a message of another process: expected a descriptor, got {str(place)[:40]!r}")
    fd, fds[place] = fds[place], -1
    return fd


class Given(list[int]):
    """Descriptors of an answer: those that its value holds are the caller's, whom a call's are lent to just for it."""

    def __init__(self, fds: Sequence[int]) -> None:
        super().__init__(fds)
        self.held: list[int] = []


def check_peer(sock: socket.socket) -> None:
    """Raise Conflict unless the other side is of our own user, or root (SO_PEERCRED, unix(7))."""
    _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if uid not in (os.geteuid(), 0):
        raise Conflict(f"a process of another user ({uid}) is at the other end of a socket of ours")


def connect(path: Path) -> socket.socket:
    """Connect to a socket of our own user; OSError as connect(2), where nobody listens ECONNREFUSED or ENOENT."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with short(path) as name:
            sock.connect(name)
        check_peer(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def listen(path: Path) -> socket.socket:
    """Listen at a path that only our own user may reach; a file that nobody listens at is replaced.

    Conflict where somebody else does.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        _bind(sock, path)
        path.chmod(0o600)
        sock.listen(512)
    except BaseException:
        sock.close()
        raise
    return sock


@contextmanager
def short(path: Path) -> Iterator[str]:
    """Yield a name for a socket's path that fits an address, which holds 107 bytes (unix(7))."""
    text = str(path)
    if len(os.fsencode(text)) < 108:
        yield text
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _bind(sock: socket.socket, path: Path) -> None:
    try:
        connect(path).close()
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno != errno.ECONNREFUSED:
            raise
        path.unlink(missing_ok=True)
    else:
        raise Conflict(f"another process listens at {path} already", hint="end that one first")
    with short(path) as name:
        sock.bind(name)
