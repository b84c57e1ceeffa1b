"""A connection over a socket: one thread reads it, any thread opens streams, sends and receives on them.

What the peer has no room for is sent by the thread that reads, once there is; whoever sends it waits for that without
the lock. So that thread always comes to read, and two ends that both have much to say don't wait for each other.
"""

import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress

from moby.errors import Unavailable
from moby_frontend.docker.buildkit.http2.connection import (
    Chunk,
    Connection,
    Event,
    Headers,
    Reset,
    WentAway,
    WindowOpened,
)
from moby_frontend.docker.buildkit.http2.frames import Code, ProtocolError

__all__ = ["Given", "Link", "Stream"]

_READ = 256 << 10
_ENDING_S = 0.1
"""How often a connection that is to end looks whether it still is of use."""
SERVER_WINDOW = 256 << 10
CLIENT_WINDOW = 4 << 20
_MOST_ANSWERS = 1 << 20
"""Bytes of answers to frames that a peer leaves lying; one that only asks is read no further."""
HeaderList = tuple[tuple[str, str], ...]


class Given(Unavailable):
    """A stream was given up, by the peer or here, or its connection has ended."""

    def __init__(self, message: str, code: int = Code.CANCEL) -> None:
        super().__init__(message)
        self.code = code


class Stream:
    """A stream of a link: one thread sends, one receives."""

    def __init__(self, link: "Link", number: int, headers: HeaderList) -> None:
        self._link, self.number = link, number
        self.headers = headers
        """What the peer began with; empty as long as it hasn't."""
        self.trailers: HeaderList = ()
        self.answered = False
        """Whether headers were sent, on a stream that the peer began."""
        self.changed = threading.Condition(link.lock)
        self.chunks: deque[bytes] = deque()
        self.size = 0
        self.ended = False
        self.error: Given | None = None
        self.lost: Callable[[], None] | None = None

    def receive(self, *, wait: bool = True) -> bytes:
        """Return what came, at least a byte but at the end; without `wait` nothing where nothing has. Given."""
        with self._link.lock:
            while wait and not (self.chunks or self.ended or self.error):
                self.changed.wait()
            if self.error and not (self.chunks or self.ended):
                raise self.error
            found = b"".join(self.chunks) if len(self.chunks) > 1 else self.chunks[0] if self.chunks else b""
            self.chunks.clear()
            size, self.size = self.size, 0
            if size:
                self._link.transmit(self._link.connection.taken(self.number, size))
        return found

    def begun(self) -> HeaderList:
        """Return the headers that the peer begins with, once they are there."""
        with self._link.lock:
            while not (self.headers or self.ended or self.error):
                self.changed.wait()
            if self.error and not self.headers:
                raise self.error
            return self.headers

    def send(self, data: bytes, *, end: bool = False) -> None:
        """Send data as the peer has room for them. Given."""
        link, connection = self._link, self._link.connection
        view = memoryview(data)
        with link.lock:
            while True:
                if self.error:
                    raise self.error
                count = min(connection.room(self.number), len(view))
                if count or not view:
                    last = count == len(view)
                    link.transmit(connection.data(self.number, bytes(view[:count]), end=end and last))
                    if last:
                        link.settle(self)
                        return
                    view = view[count:]
                elif not link.let_go():  # else there may be room since
                    self.changed.wait()

    def send_headers(self, headers: Sequence[tuple[str, str]], *, end: bool = False) -> None:
        """Send headers or trailers. Given."""
        with self._link.lock:
            if self.error:
                raise self.error
            self.answered = True
            self._link.transmit(self._link.connection.headers(self.number, headers, end=end))
            self._link.settle(self)

    def together(self) -> AbstractContextManager[None]:
        """Send in one piece what is sent in the block."""
        return self._link.together()

    def when_lost(self, call: Callable[[], None]) -> None:
        """Have something called, once, when the peer gives it up, by the thread that reads; at once where it has."""
        with self._link.lock:
            self.lost = None if self.error else call
        if self.lost is None:
            call()

    def give_up(self, code: Code = Code.CANCEL) -> None:
        """End it now, both ways; what it holds is dropped. A repeated call does nothing."""
        with self._link.lock, suppress(Given):
            self._link.transmit(self._link.connection.reset(self.number, code))
            self._link.fail(self, Given("the call was given up"))


class Link:
    """A connection; `run` reads it, and everything else may be called by any thread meanwhile."""

    def __init__(self, sock: socket.socket, *, client: bool, accept: Callable[[Stream], None] | None = None) -> None:
        self.connection = Connection(client=client, window=CLIENT_WINDOW if client else SERVER_WINDOW)
        self.lock = threading.RLock()
        self._sock, self._accept = sock, accept
        self._streams: dict[int, Stream] = {}
        self._away = False
        self._closed = False
        self._held: list[bytes] | None = None
        """What is to be sent in one piece, at the moment."""
        self._left = bytearray()
        """What is to be sent once there is room."""
        self._answers = 0
        """What of that the thread that reads has said, which waits for nothing; more than is left of it."""
        self._sent = threading.Condition(self.lock)
        self._reader = 0
        """The thread that reads, while it does."""
        self._watch: select.epoll | None = None
        self._watched = select.EPOLLIN
        self._patience_s = -1.0

    def begin(self) -> None:
        """Send what comes first; that the client has gone is found when it is read."""
        with self.lock, suppress(Given):
            self.transmit(self.connection.begin())

    def open(self, headers: Sequence[tuple[str, str]]) -> Stream:
        """Begin a stream; Given once the connection is over."""
        with self.lock:
            if self._closed or self._away:
                raise Given("the client's session has ended")
            number, data = self.connection.open(headers)
            stream = self._streams[number] = Stream(self, number, ())
            self.transmit(data)
        return stream

    @contextmanager
    def together(self) -> Iterator[None]:
        """Send in one piece what is sent in the block, which wakes the peer once; as far as it has room for it."""
        with self.lock:
            self._held = []
            try:
                yield
            finally:
                self.let_go()

    def let_go(self) -> bool:
        """Send what is held back, and hold nothing back any more, by who has the lock; return whether there was any."""
        held, self._held = self._held, None
        self.transmit(b"".join(held or ()))
        return bool(held)

    def transmit(self, data: bytes) -> None:
        """Send bytes, by who has the lock; while there is no room for them, others may have it."""
        if self._held is not None:
            self._held.append(data)
        elif data:
            self._say(data)

    def _say(self, data: bytes) -> None:
        """Send bytes behind those that are left; who doesn't read waits until they have gone."""
        rest = data if self._left else data[self._send(data) :]
        waits = self._reader not in (0, threading.get_ident())
        if rest:
            self._left += rest
            self._answers += 0 if waits else len(rest)
            self._look()
        while waits and self._left and not self._closed:
            self._sent.wait()
        if self._left and self._closed:
            raise Given("the client has gone")

    def _send(self, data: bytes | bytearray) -> int:
        """Send what there is room for; return how many bytes that was."""
        count = 0
        with memoryview(data) as view:
            try:
                while count < len(view):
                    count += self._sock.send(view[count:], socket.MSG_DONTWAIT)
            except BlockingIOError:
                pass
            except OSError as error:
                raise Given(f"the client has gone: {error.strerror or error}") from error
        return count

    def _flush(self) -> None:
        """Send of what is left what there is room for, by who has the lock."""
        del self._left[: self._send(self._left)]
        if not self._left:
            self._answers = 0
            self._sent.notify_all()
        self._look()

    def _look(self) -> None:
        """Have the thread that reads wait for what there is to do, by who has the lock."""
        wanted = select.EPOLLOUT if self._left else 0
        if self._answers <= _MOST_ANSWERS:
            wanted |= select.EPOLLIN
        if self._watch is not None and wanted != self._watched:
            self._watch.modify(self._sock, wanted)
        self._watched = wanted

    def close(self) -> None:
        """End the connection, for whoever waits on it."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def settle(self, stream: Stream) -> None:
        """Let go of a stream that both ends have ended, by who has the lock."""
        if not self.connection.knows(stream.number):
            self._streams.pop(stream.number, None)

    def fail(self, stream: Stream, error: Given) -> None:
        """Tell all who wait on a stream that it is over, by who has the lock."""
        self._streams.pop(stream.number, None)
        stream.error = stream.error or error
        stream.changed.notify_all()

    # The reading thread ---------------------------------------------------------------------------------------------

    def run(self, early: bytes, ending_fd: int, needed: Callable[[], bool]) -> None:
        """Read until the peer has gone, or, once that descriptor is readable, until it isn't needed any more."""
        with select.epoll() as watch:
            with self.lock:
                watch.register(self._sock, self._watched)
                watch.register(ending_fd, select.EPOLLIN)
                self._watch, self._reader = watch, threading.get_ident()
            try:
                self._take(early)
                while self._readable(watch, ending_fd, needed):
                    data = self._sock.recv(_READ)
                    if not data:
                        break
                    self._take(data)
            except (OSError, Given):
                pass
            except ProtocolError as error:
                with self.lock, suppress(OSError, Given):
                    self.transmit(self.connection.leave(error.code, error.message))
            finally:
                self._over()

    def _readable(self, watch: select.epoll, ending_fd: int, needed: Callable[[], bool]) -> bool:
        """Wait until there is something to read, and send what is left meanwhile; return whether reading is of use."""
        while True:
            found = dict(watch.poll(self._patience_s))
            mine = found.get(self._sock.fileno(), 0)
            if mine & select.EPOLLOUT:
                with self.lock:
                    self._flush()
            if mine & ~select.EPOLLOUT:
                return True
            if ending_fd in found:
                watch.unregister(ending_fd)
                self._patience_s = _ENDING_S
            if not mine and not needed():
                return False

    def _take(self, data: bytes) -> None:
        lost: list[Callable[[], None]] = []
        begun: dict[int, Stream] = {}
        opened = False
        with self.lock:
            for event in self.connection.receive(data):
                if isinstance(event, WindowOpened) and event.stream == 0:
                    opened = True
                else:
                    self._event(event, lost, begun)
            for each in self._streams.values() if opened else ():  # once, however often it opened
                each.changed.notify_all()
            self.transmit(self.connection.pending())
        for call in lost:
            call()
        for stream in begun.values():
            assert self._accept is not None
            self._accept(stream)

    def _event(self, event: Event, lost: list[Callable[[], None]], begun: dict[int, Stream]) -> None:
        if isinstance(event, WentAway):
            self._away = True
            return
        stream = self._streams.get(event.stream)
        if stream is None:
            if isinstance(event, Headers):
                stream = self._streams[event.stream] = Stream(self, event.stream, event.headers)
                stream.ended = event.ended
                begun[event.stream] = stream
            return
        if isinstance(event, Reset):
            begun.pop(event.stream, None)  # so that not more are held than may be open at once
            self.fail(stream, Given("the client has given the call up", event.code))
            if stream.lost:
                lost.append(stream.lost)
            return
        if isinstance(event, Headers):
            if stream.headers or event.ended:
                stream.trailers = event.headers
            stream.headers = stream.headers or event.headers
        elif isinstance(event, Chunk):
            stream.size += event.size
            if event.data:
                stream.chunks.append(event.data)
        if isinstance(event, Headers | Chunk) and event.ended:
            stream.ended = True
            self.settle(stream)
        stream.changed.notify_all()

    def _over(self) -> None:
        with self.lock:
            self._closed, self._watch = True, None
            self._sent.notify_all()
            left = list(self._streams.values())
            for each in left:
                self.fail(each, Given("the client has gone"))
        for each in left:
            if each.lost:
                each.lost()
