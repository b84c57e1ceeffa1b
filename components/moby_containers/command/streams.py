"""A container's streams at the caller's own: frames taken apart, a raw terminal, signals and sizes passed on."""

import os
import select
import signal
import socket
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from moby.errors import Invalid

__all__ = ["Frames", "Session", "is_terminal", "raw", "window", "write_all"]

_HEAD = 8
_DETACH = b"\x10\x11"
"""Ctrl-p, Ctrl-q."""
_PASSED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class Frames:
    """Takes multiplexed output apart (Docker Engine API, attach): bytes in, streams and what is theirs out."""

    def __init__(self) -> None:
        self._kept = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield what is whole: 1 for standard output, 2 for standard error."""
        self._kept += data
        while len(self._kept) >= _HEAD:
            end = _HEAD + int.from_bytes(self._kept[4:_HEAD], "big")
            if len(self._kept) < end:
                return
            yield (2 if self._kept[0] == 2 else 1), self._kept[_HEAD:end]
            self._kept = self._kept[end:]


def write_all(fd: int, data: bytes) -> None:
    """Write all of it."""
    while data:
        data = data[os.write(fd, data) :]


def is_terminal(fd: int) -> bool:
    """Whether a descriptor is a terminal."""
    try:
        return os.isatty(fd)
    except OSError:
        return False


def window() -> tuple[int, int]:
    """Return rows and columns of the caller's terminal; zeros where there is none."""
    for fd in (0, 1, 2):
        with suppress(OSError):
            found = os.get_terminal_size(fd)
            return found.lines, found.columns
    return 0, 0


@contextmanager
def raw(wanted: bool) -> Iterator[None]:
    """Put the caller's terminal into raw mode, and back at the end however that comes."""
    if not wanted or not is_terminal(0):
        yield
        return
    before = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


class Session:
    """One attached connection: `pump` copies both ways until the container's output ends, or the caller detaches."""

    def __init__(
        self, sock: socket.socket, first: bytes, *, terminal: bool, stdin: bool, detach: bytes = _DETACH
    ) -> None:
        self._sock = sock
        self._first = first
        self._terminal = terminal
        self.stdin = stdin
        self._detach = detach
        self._frames = Frames()
        self._typed = b""

    def pump(self) -> bool:
        """Copy; return False where the caller detached."""
        self._out(self._first)
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        if self.stdin:
            poll.register(0, select.POLLIN)
        with self._sock:
            while True:
                for fd, _ in poll.poll():
                    if fd == 0:
                        if not self._type(poll):
                            return False
                    else:
                        data = self._sock.recv(65536)
                        if not data:
                            return True
                        self._out(data)

    def _out(self, data: bytes) -> None:
        if self._terminal:
            write_all(1, data)
            return
        for stream, part in self._frames.feed(data):
            write_all(stream, part)

    def _type(self, poll: select.poll) -> bool:
        """Pass on what was typed; return False for the keys that detach."""
        data = os.read(0, 65536)
        if not data:
            poll.unregister(0)
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)
            return True
        if self._terminal and self._detach:
            for each in data:
                self._typed = (self._typed + bytes([each]))[-len(self._detach) :]
                if self._typed == self._detach:
                    return False
        with suppress(BrokenPipeError):
            self._sock.sendall(data)
        return True


@contextmanager
def passing(send: Callable[[str], None], resize: Callable[[int, int], None] | None) -> Iterator[None]:
    """Pass the caller's signals on, and sizes of its terminal, as long as this lasts.

    They are taken by a thread of their own, since a call to the engine has no place in a handler.
    """
    reads, writes = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(reads, True)
    numbers = [*(() if resize else _PASSED), *((signal.SIGWINCH,) if resize else ())]
    before = {each: signal.signal(each, lambda *_: None) for each in numbers}
    wakeup = signal.set_wakeup_fd(writes, warn_on_full_buffer=False)

    def work() -> None:
        while number := os.read(reads, 1)[:1]:
            if number == b"\0":
                return
            with suppress(Exception):  # the container has ended, or the engine will say so elsewhere
                if number[0] == signal.SIGWINCH and resize:
                    resize(*window())
                else:
                    send(signal.Signals(number[0]).name.removeprefix("SIG"))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        if resize:
            with suppress(Exception):
                resize(*window())
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        os.write(writes, b"\0")
        thread.join()
        for each, handler in before.items():
            signal.signal(each, handler)
        os.close(reads)
        os.close(writes)


def keys(text: str) -> bytes:
    """Read `--detach-keys`: `ctrl-p,ctrl-q`, `a,b`; Invalid for what is none."""
    found = b""
    for each in filter(None, text.split(",")):
        if len(each) == 6 and each.startswith("ctrl-") and each[5] in "abcdefghijklmnopqrstuvwxyz@[\\]^_":
            found += bytes([ord(each[5].upper()) & 0x1F])
        elif len(each) == 1:
            found += each.encode()
        else:
            raise Invalid(f"{text!r} are no keys to detach with", hint="write them as ctrl-p,ctrl-q")
    return found


def flush() -> None:
    """Write out what is buffered, before streams are written to by descriptor."""
    sys.stdout.flush()
    sys.stderr.flush()
