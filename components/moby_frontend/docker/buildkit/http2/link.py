"""A connection over a socket: one thread reads it, any thread opens streams, sends and receives on them."""

import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress

from moby.errors import Unavailable
from moby_frontend.docker.buildkit.http2.connection import Chunk, Connection, Event, Headers, Reset, WentAway
from moby_frontend.docker.buildkit.http2.frames import Code, ProtocolError

__all__ = ["Given", "Link", "Stream"]

_READ = 256 << 10
_ENDING_MS = 100
"""How often a connection that is to end looks whether it still is of use."""
SERVER_WINDOW = 256 << 10
CLIENT_WINDOW = 4 << 20
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
                else:
                    link.let_go()
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
        self._poll: select.poll | None = None
        self._patience_ms: int | None = None

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

    def let_go(self) -> None:
        """Send what is held back, and hold nothing back any more, by who has the lock."""
        held, self._held = self._held, None
        self.transmit(b"".join(held or ()))

    def transmit(self, data: bytes) -> None:
        """Send bytes, by who has the lock."""
        if self._held is not None:
            self._held.append(data)
        elif data:
            try:
                self._sock.sendall(data)
            except OSError as error:
                raise Given(f"the client has gone: {error.strerror or error}") from error

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
        try:
            self._take(early)
            while self._readable(ending_fd, needed):
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

    def _readable(self, ending_fd: int, needed: Callable[[], bool]) -> bool:
        """Wait until there is something to read; return whether that is of use."""
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._sock, select.POLLIN)
            self._poll.register(ending_fd, select.POLLIN)
        while True:
            found = [fd for fd, _ in self._poll.poll(self._patience_ms)]
            if self._sock.fileno() in found:
                return True
            if found:
                self._poll.unregister(ending_fd)
                self._patience_ms = _ENDING_MS
            if not needed():
                return False

    def _take(self, data: bytes) -> None:
        lost: list[Callable[[], None]] = []
        begun: list[Stream] = []
        with self.lock:
            for event in self.connection.receive(data):
                self._event(event, lost, begun)
            self.transmit(self.connection.pending())
        for call in lost:
            call()
        for stream in begun:
            assert self._accept is not None
            self._accept(stream)

    def _event(self, event: Event, lost: list[Callable[[], None]], begun: list[Stream]) -> None:
        if isinstance(event, WentAway):
            self._away = True
            return
        stream = self._streams.get(event.stream)
        if stream is None:
            if isinstance(event, Headers):
                stream = self._streams[event.stream] = Stream(self, event.stream, event.headers)
                stream.ended = event.ended
                begun.append(stream)
            elif event.stream == 0:
                for each in self._streams.values():
                    each.changed.notify_all()
            return
        if isinstance(event, Reset):
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
            self._closed = True
            left = list(self._streams.values())
            for each in left:
                self.fail(each, Given("the client has gone"))
        for each in left:
            if each.lost:
                each.lost()
