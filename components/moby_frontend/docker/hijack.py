"""Connections taken over from HTTP: a client's bytes to a program's input, a program's output to the client."""

import fcntl
import os
import select
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from moby.contracts.log_driver import STDERR, STDOUT, frame
from moby.contracts.supervisor import Streams
from moby.errors import Invalid
from moby_frontend.docker.call import Call
from moby_frontend.docker.carried import Carried

__all__ = ["DetachKeys", "Pump", "head", "keys"]

_CHUNK = 64 << 10
_HEAD_S = 2.0
"""A loaded machine may keep a client from running for longer than a tenth of a second."""
_CUT_S = 0.1
"""How long a killed process may take to close all that it had open."""
_SMALL = 4096
"""What a pipe that is ready surely takes (PIPE_BUF, pipe(7)); a stdin is written so much at once, never waiting."""
DEFAULT_KEYS = "ctrl-p,ctrl-q"
_RAW = "application/vnd.docker.raw-stream"
_FRAMED = "application/vnd.docker.multiplexed-stream"


def head(call: Call, *, terminal: bool) -> bytes:
    """Return the head of the answer that turns a connection into a stream: 101 where it was asked for, else 200."""
    upgraded = "upgrade" in call.headers
    framed = upgraded and not terminal and call.version >= (1, 42)
    kind = f"Content-Type: {_FRAMED if framed else _RAW}\r\n"
    common = "".join(f"{name}: {value}\r\n" for name, value in call.link.common_headers())
    if upgraded:
        return f"HTTP/1.1 101 UPGRADED\r\n{kind}Connection: Upgrade\r\nUpgrade: tcp\r\n{common}\r\n".encode()
    return f"HTTP/1.1 200 OK\r\n{kind}{common}\r\n".encode()


def keys(text: str) -> bytes:
    """Return the bytes of detach keys, as `ctrl-p,ctrl-q`, docker's own where none are said; Invalid names one."""
    found = b""
    for each in (text or DEFAULT_KEYS).split(","):
        if len(each) == 1:
            found += each.encode()
        elif each.startswith("ctrl-") and len(each) == 6 and (each[5].isalpha() or each[5] in "@[\\]^_"):
            found += bytes((ord(each[5].upper()) & 0x1F,))
        else:
            raise Invalid(f"Invalid escape keys ({text}) provided: Unknown character: '{each}'")
    return found


def _await_taken(sock: socket.socket) -> None:
    """Wait, for a moment at most, until a local client has taken the head of the answer.

    Clients that read heads through a buffer, as docker-py does, lose what lies behind them already (SIOCOUTQ, unix(7)).
    """
    limit = time.monotonic() + _HEAD_S
    while sock.family == socket.AF_UNIX and time.monotonic() < limit:
        if not struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))[0]:
            return
        time.sleep(0.0005)


class DetachKeys:
    """Looks for detach keys in what is typed, and holds back what may become them."""

    def __init__(self, wanted: bytes) -> None:
        self._wanted = wanted
        self._seen = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Return what is to be passed on, and whether the keys were typed."""
        out = bytearray()
        for byte in data:
            if byte != self._wanted[self._seen]:
                out += self._wanted[: self._seen]
                self._seen = 0
                if byte != self._wanted[0]:
                    out.append(byte)
                    continue
            self._seen += 1
            if self._seen == len(self._wanted):
                return bytes(out), True
        return bytes(out), False


class Pump:
    """Carries bytes between a client and a program until the output ends, the client has gone, or typed the keys.

    It owns the streams and the connection, and closes them. The ends of the input half and the output half are apart.
    Where the streams are cut, and `carried`, others are to come, which `run` is given by its `last`.
    """

    def __init__(
        self,
        sock: socket.socket,
        streams: Streams,
        ending_fd: int,
        *,
        terminal: bool,
        carried: Carried | None = None,
    ) -> None:
        self._sock, self._streams, self._ending_fd, self._terminal = sock, streams, ending_fd, terminal
        self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._carried = carried
        self._renewed = threading.Condition()
        """Held where the program's input is written to, or replaced."""
        self._over = False
        self._deaf: Streams | None = None
        """Those by which the program reads no more."""
        self._until_eof = self._left = False
        self.detached = False

    def run(
        self,
        early: bytes,
        *,
        stdin: bool,
        stdout: bool = True,
        stderr: bool = True,
        detach: bytes = b"",
        until_eof: bool = False,
        receive: Callable[[bytes], bytes | None] | None = None,
        wrap: Callable[[int, bytes], bytes] | None = None,
        last: Callable[[socket.socket], Streams | None] | None = None,
    ) -> None:
        """Carry bytes; `last` is called before the client is told of the end, and may return streams that go on.

        With `until_eof` it is over once the client ends its half, since the program's input goes on without it.
        `receive` and `wrap` change what comes and what goes, where it isn't docker's own framing.
        """
        self._until_eof = until_eof
        thread = None
        if stdin or receive:
            seen = DetachKeys(detach) if detach else None
            thread = threading.Thread(target=self._input, args=(early, stdin, seen, receive), name="input", daemon=True)
            thread.start()
        try:
            while True:
                with suppress(OSError):
                    self._output(stdout, stderr, wrap or self._framed, heard=thread is None)
                fresh = last(self._sock) if last and not (self.detached or self._left) else None
                if fresh is None:
                    break
                self._renew(fresh)
        finally:
            os.eventfd_write(self._stop, 1)
            with self._renewed:
                self._over = True
                self._renewed.notify_all()
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)
            if thread is not None:
                thread.join()
            self._discard()
            self._sock.close()
            for fd in {*_all(self._streams), self._unread} - {-1, self._closed}:
                os.close(fd)
            os.close(self._stop)

    _closed = -1
    """What the input closed already."""
    _unread = -1
    """The other end of that, by which what nobody has read can be had back."""

    def _renew(self, fresh: Streams) -> None:
        """Go on with other streams; what of the input nobody has read goes there first."""
        with self._renewed:
            old, closed = self._streams, self._closed >= 0
            unread = self._unread if closed else _other_end(old.stdin)
            with suppress(OSError):  # it reads no more
                if unread >= 0 and fresh.stdin >= 0:
                    _move(unread, fresh.stdin)
            for fd in {*_all(old), unread} - {-1, self._closed}:
                os.close(fd)
            self._streams, self._closed, self._unread = fresh, -1, -1
            if self._carried is not None:
                self._carried.renewed()
            if closed:
                self._close_stdin()
            self._renewed.notify_all()

    def _close_stdin(self) -> None:
        stdin = self._streams.stdin
        if stdin >= 0:
            self._unread, self._closed = _other_end(stdin), stdin
            os.close(stdin)

    def _discard(self) -> None:
        """Take what nobody wants any more: a socket that is closed on unread bytes resets the client's end."""
        with suppress(OSError):
            for _ in range(64):
                if not self._sock.recv(_CHUNK, socket.MSG_DONTWAIT):
                    return

    def _framed(self, stream: int, data: bytes) -> bytes:
        return data if self._terminal else frame(stream, len(data)) + data

    # Output ---------------------------------------------------------------------------------------------------------

    def _output(self, stdout: bool, stderr: bool, wrap: Callable[[int, bytes], bytes], *, heard: bool) -> None:
        """Send output until all of it has ended; what the client says is `heard` here where nobody wants it."""
        open_ = {self._streams.stdout: (STDOUT, stdout), self._streams.stderr: (STDERR, stderr)}
        open_.pop(-1, None)
        poll = select.poll()
        for fd in open_:
            poll.register(fd, select.POLLIN)
        for fd in (self._ending_fd, self._stop):
            poll.register(fd, select.POLLIN)
        # POLLHUP and POLLERR: it has gone, and hasn't just ended its half.
        poll.register(self._sock, select.POLLIN if heard else 0)
        first = True
        while open_:
            for fd, events in poll.poll():
                if fd == self._sock.fileno() and events == select.POLLIN:
                    if not self._heard():
                        poll.modify(self._sock, 0)
                    continue
                if fd not in open_:
                    return
                try:
                    data = os.read(fd, _CHUNK)
                except OSError:  # EIO of a terminal that nobody has open
                    data = b""
                if not data:
                    poll.unregister(fd)
                    del open_[fd]
                    continue
                stream, wanted = open_[fd]
                if wanted:
                    if first:
                        _await_taken(self._sock)
                    first = False
                    self._sock.sendall(wrap(stream, data))

    def _heard(self) -> bool:
        """Throw away what the client says; False at the end of its half."""
        try:
            return bool(self._sock.recv(_CHUNK, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return True

    # Input ----------------------------------------------------------------------------------------------------------

    def _input(
        self,
        early: bytes,
        wanted: bool,
        detach: DetachKeys | None,
        receive: Callable[[bytes], bytes | None] | None,
    ) -> None:
        """Pass on what the client sends until it ends its half; then the program's input ends too."""
        try:
            data = early or self._received()
            while data:
                passed = receive(data) if receive else data
                if passed is None:
                    break
                if detach and wanted:
                    passed, self.detached = detach.feed(passed)
                if wanted and not self._pass_on(passed):
                    return
                if self.detached:
                    os.eventfd_write(self._stop, 1)
                    return
                data = self._received()
        except OSError:
            pass
        if wanted and self._until_eof:
            self._left = True
            os.eventfd_write(self._stop, 1)
        elif wanted and not self._terminal:
            with self._renewed:
                self._close_stdin()

    def _received(self) -> bytes:
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        poll.register(self._stop, select.POLLIN)
        found = dict(poll.poll())
        return b"" if self._stop in found else self._sock.recv(_CHUNK)

    def _pass_on(self, data: bytes) -> bool:
        """Write to the program's input; return whether it takes more, and nobody has told to stop."""
        view = memoryview(data)
        while view:
            streams = self._streams
            if streams.stdin < 0:
                return True
            poll = select.poll()
            poll.register(streams.stdin, select.POLLOUT)
            poll.register(self._stop, select.POLLIN)
            if self._stop in dict(poll.poll()):
                return False
            try:
                with self._renewed:
                    if self._streams is streams:
                        view = view[os.write(streams.stdin, view[:_SMALL]) :]
            except BrokenPipeError:
                if not self._awaits_others(streams):
                    return True  # it reads no more; what follows is thrown away, and its output still comes
                with self._renewed:
                    self._renewed.wait_for(lambda: self._over or self._streams is not streams)  # noqa: B023
            except BlockingIOError:
                continue
        return True

    def _awaits_others(self, streams: Streams) -> bool:
        """Whether nobody reads these because they were cut, which is seen a moment later at times."""
        if self._carried is None or self._deaf is streams:
            return False
        limit = time.monotonic() + _CUT_S
        while self._streams is streams and not self._carried.is_cut():
            if time.monotonic() > limit:
                self._deaf = streams
                return False
            time.sleep(_CUT_S / 50)
        return True


def _all(streams: Streams) -> set[int]:
    return {streams.stdin, streams.stdout, streams.stderr}


def _other_end(fd: int) -> int:
    """Return the end by which a pipe is read whose other end this is; -1 where it is none."""
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC) if fd >= 0 else -1
    except OSError:
        return -1


def _move(source: int, target: int) -> None:
    """Move what is in a pipe to another, which is empty and as large."""
    with suppress(BlockingIOError):
        while data := os.read(source, _CHUNK):
            view = memoryview(data)
            while view:
                view = view[os.write(target, view) :]
