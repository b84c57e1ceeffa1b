"""A task's streams: what it says goes to its log and to all who are attached, what they say goes to it.

Output crosses a named pipe, which the container itself has open for both ways: so it meets no closed pipe, and loses
nothing, even where supervisor and keeper are killed at once; the next supervisor opens it by its name. Where nobody
wants it, it isn't read, and stays in the pipe.
"""

import fcntl
import os
import select
import stat
import termios
from array import array
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from moby_supervisor.local.loop import Loop
from moby_supervisor.local.marks import Slot

__all__ = ["CHUNK", "Input", "Output", "Sink"]

CHUNK = 65536
_DRAINED = 32
"""How many chunks are taken at most before an exit is told; a pipe has one, but others may go on to write."""


class Sink(Protocol):
    """Where a task's output is logged."""

    full: bool
    """Whether it wants no more now; it calls back when it does."""

    def expect(self, size: int) -> None:
        """Know, on disk, that so much is about to be read: a process may be killed before it can say so."""
        ...

    def write(self, stream: int, chunk: bytes) -> None:
        """Log what was read at once."""
        ...


def available(fd: int) -> int:
    """Return how many bytes can be read at once; 0 where that isn't known (ioctl_tty(2), FIONREAD)."""
    buffer = array("i", [0])
    try:
        fcntl.ioctl(fd, termios.FIONREAD, buffer)
    except OSError:
        return 0
    return buffer[0]


class _Client:
    """One who reads an output."""

    __slots__ = ("fd", "full", "pending")

    def __init__(self, fd: int, pending: bytes = b"") -> None:
        self.fd = fd
        self.pending: bytes | memoryview = pending
        self.full = False
        """Whether it takes no more now of what is moved to it."""

    @property
    def behind(self) -> bool:
        """Whether it is waited for."""
        return self.full or bool(self.pending)


class Output:
    """One output of a task, until its end."""

    def __init__(
        self, loop: Loop, fd: int, stream: int, sink: Sink | None, slot: Slot, *, discards: bool, keeps: bool
    ) -> None:
        self.fd = fd
        self.ended = False
        self.discards = discards
        """Whether what nobody wants is thrown away."""
        self.waits = False
        """Whether nothing is read, also not for the log, until somebody attaches."""
        self._closing = False
        """Whether what is left is taken along, for those who read late."""
        self._keeps = keeps
        """Whether it is read even so, and kept for the first to attach; else it stays in the pipe."""
        self._kept = b""
        self._loop = loop
        self.stream = stream
        self.sink = sink
        self._slot = slot
        self._clients: list[_Client] = []

    def attach(self) -> int:
        """Return a fresh descriptor of what comes from now on, and of what was kept."""
        theirs, ours = os.pipe2(os.O_CLOEXEC)
        self.waits = False
        client = _Client(ours, self._kept)
        self._keep(b"")
        if self.ended and not client.pending:
            os.close(ours)
            return theirs
        os.set_blocking(ours, False)
        self._clients.append(client)
        # Watched for nothing but its reader's leaving, which is always told (epoll_ctl(2), EPOLLERR).
        self._loop.watch(ours, 0, lambda events: self._left(client))
        if client.pending:
            self._send(client)
        self.update()
        return theirs

    def update(self) -> None:
        """Read from now on, or don't, as things are."""
        if self.ended:
            return
        # Watched for nothing it would still tell its end, each turn; so it isn't watched at all.
        if not self._wanted():
            self._loop.forget(self.fd)
        elif not self._loop.watches(self.fd):
            self._loop.watch(self.fd, select.EPOLLIN, lambda events: self._read())

    def _wanted(self) -> bool:
        if self.ended or self.waits or (self.sink is not None and self.sink.full):
            return False
        if any(each.behind for each in self._clients):
            return False
        if self.sink is not None or self._clients or self.discards:
            return True
        return self._keeps and len(self._kept) < CHUNK

    def drain(self) -> None:
        """Take what is there already."""
        for _ in range(_DRAINED):
            if not self._wanted() or not self._read():
                return

    def _read(self) -> bool:
        """Take what there is to be read at once; whether there was anything."""
        if self.sink is None and not (self._keeps or self._closing) and len(self._clients) == 1:
            return self._move(self._clients[0])
        try:
            size = min(available(self.fd), CHUNK) or CHUNK
            if self.sink is not None:
                self.sink.expect(size)
            chunk = os.read(self.fd, size)
        except OSError as error:  # nothing is there, or nobody inside has the terminal open any more
            chunk = b""
            if isinstance(error, BlockingIOError):
                self._expect_nothing()
                return False
        if not chunk:
            self._expect_nothing()
            self.end()
            return False
        if self.sink is not None:
            self.sink.write(self.stream, chunk)
        if self._clients:
            for client in (*self._clients,):
                client.pending = b"".join((client.pending, chunk)) if client.pending else chunk
                self._send(client)
        elif self.sink is None and not self.discards:
            self._keep(self._kept + chunk)
        self.update()
        return True

    def _move(self, client: _Client) -> bool:
        """Move what there is to the only one who wants it: what is never in this process isn't lost with it."""
        try:
            moved = os.splice(self.fd, client.fd, CHUNK, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            if available(self.fd):
                client.full = True
                self._loop.watch(client.fd, select.EPOLLOUT, lambda events: self._taken(client, events))
                self.update()
            return False
        except BrokenPipeError:
            self._left(client)
            return False
        if not moved:
            self.end()
        return bool(moved)

    def _expect_nothing(self) -> None:
        if self.sink is not None:
            self.sink.expect(0)

    def _keep(self, data: bytes) -> None:
        if self._kept or data:
            self._kept = data
            self._slot.write(Slot.IN_FLIGHT, len(data))

    def _send(self, client: _Client) -> None:
        """Give a client what it takes; it is watched until it has taken all."""
        try:
            client.pending = client.pending[os.write(client.fd, client.pending) :]
        except BlockingIOError:
            client.pending = memoryview(client.pending)
        except OSError:
            self._left(client)
            return
        if client.pending:
            self._loop.watch(client.fd, select.EPOLLOUT, lambda events: self._taken(client, events))

    def _taken(self, client: _Client, events: int) -> None:
        if events & select.EPOLLERR:
            self._left(client)
            return
        client.full = False
        self._send(client)
        if client in self._clients and not client.pending:
            self._loop.watch(client.fd, 0, lambda events: self._left(client))
            if self.ended:
                self._left(client)
        self.update()

    def _left(self, client: _Client) -> None:
        if client in self._clients:
            self._clients.remove(client)
            self._loop.forget(client.fd)
            os.close(client.fd)
            self.update()

    def end(self) -> None:
        """There is no more; clients see the end once they have all."""
        if self.ended:
            return
        self.ended = True
        self._loop.forget(self.fd)
        os.close(self.fd)
        for client in (*self._clients,):
            if not client.pending:
                self._left(client)

    def close(self) -> None:
        """Take what is left, and let go; clients see the end once they have all, however late they read."""
        self._closing = True
        for _ in range(_DRAINED):
            if self.ended or not (self.sink is not None or self._clients) or not self._read():
                break
        self.end()
        self._keep(b"")


class Input:
    """A task's standard input, or what is typed at its terminal."""

    def __init__(self, loop: Loop, fd: int, *, once: bool, on_end: Callable[[], object]) -> None:
        self.fd = fd
        self.ended = False
        self._loop = loop
        self._once = once
        self._on_end = on_end
        self._moves = stat.S_ISFIFO(os.fstat(fd).st_mode)
        """Whether what comes is moved there, so that none of it is lost with this process."""
        self._full = False
        self._first = -1
        self._clients: set[int] = set()
        self._pending: bytes | memoryview = b""
        self._ending = False

    def attach(self) -> int:
        """Return a fresh descriptor to write to."""
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        if self.ended:
            os.close(ours)
            return theirs
        os.set_blocking(ours, False)
        if self._once and self._first < 0:
            self._first = ours
        self._clients.add(ours)
        if not (self._pending or self._full):
            self._hear(ours)
        return theirs

    def _hear(self, client: int) -> None:
        self._loop.watch(client, select.EPOLLIN, lambda events: self._heard(client))

    def _heard(self, client: int) -> None:
        try:
            chunk = self._moved(client) if self._moves else os.read(client, CHUNK)
        except BlockingIOError:
            return
        except BrokenPipeError:  # nobody inside reads it any more
            self.close()
            return
        if not chunk:
            self._left(client)
            if client == self._first:
                self._first = -2  # the number may become another's
                self._ending = True
                self._settle()
            return
        if isinstance(chunk, bytes):
            self._pending = chunk
            self._flush()

    def _moved(self, client: int) -> int:
        """Move what there is on, and return how much; BlockingIOError where that is nothing now."""
        try:
            return os.splice(client, self.fd, CHUNK, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            if available(client):
                self._full = True
                self._settle()
            raise

    def _flush(self) -> None:
        self._full = False
        try:
            self._pending = memoryview(self._pending)[os.write(self.fd, self._pending) :]
        except BlockingIOError:
            pass
        except OSError:  # nobody inside reads it any more
            self.close()
            return
        self._settle()

    def _settle(self) -> None:
        """Wait for what is to be waited for now."""
        if self._pending or self._full:
            for each in self._clients:
                self._loop.forget(each)
            self._loop.watch(self.fd, select.EPOLLOUT, lambda events: self._flush())
            return
        self._loop.forget(self.fd)
        if self._ending:
            self.close()
            return
        for each in self._clients:
            self._hear(each)

    def _left(self, client: int) -> None:
        self._clients.discard(client)
        self._loop.forget(client)
        os.close(client)

    def close(self) -> None:
        """End it: what reads it inside comes to the end, who writes to it is told so."""
        if self.ended:
            return
        self.ended = True
        for each in (*self._clients,):
            self._left(each)
        self._loop.forget(self.fd)
        with suppress(OSError):
            os.close(self.fd)
        self._on_end()
