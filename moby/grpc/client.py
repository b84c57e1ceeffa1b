"""Calls of gRPC, to containerd where nobody says else, one at a time: a connection for each process."""

import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TypeVar
from urllib.parse import unquote

from moby.errors import Invalid, MobyError, Unavailable
from moby.grpc.connection import Chunk, Connection, Headers, Reset, WentAway
from moby.grpc.frames import ProtocolError
from moby.grpc.messages import decode, encode

__all__ = ["Client", "Code", "Failed", "Untaken"]

M = TypeVar("M")
_WINDOW = 1 << 20
_READ = 1 << 16
_PREFIX_BYTES = 5
_MOST_BYTES = 16 << 20
_AGAIN_S = 0.02
_SOON_S = 0.01
"""How long what the other side is told, as that a ping came, may wait to go with something else."""
_QUIET_S = 120.0
"""How long a stream may be silent."""
_REPEATABLE = frozenset({"Get", "List", "ListPids", "Version", "Wait"})
"""Calls that change nothing."""


class Code:
    """How calls end (google.rpc.Code), as far as it matters here."""

    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    UNAVAILABLE = 14


class Failed(MobyError):
    """A call that was answered with an error: its code and its words."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Untaken(ConnectionResetError):
    """The other side is ending, and says that it hasn't begun a call: it can be made elsewhere."""


class Client:
    """Makes calls in one namespace of a containerd. A copy of the process makes its own connection."""

    most_bytes = _MOST_BYTES
    """Of an answer."""

    def __init__(self, address: str, namespace: str, *, patience_s: float = 10.0) -> None:
        self.address = address
        self.namespace = namespace
        self._patience_s = patience_s
        self._owner = 0
        self._sock: socket.socket | None = None
        self._connection = Connection(client=True, window=_WINDOW)
        self._going = False
        """Whether the other side said that it takes no more calls by this connection."""

    def ask(self, method: str, request: object, kind: type[M], *, timeout_s: float = 120.0) -> M:
        """Make a call of one message each way. Failed is containerd's error; Unavailable that it doesn't answer."""
        try:
            return decode(kind, self._asked(method, encode(request), time.monotonic() + timeout_s))
        except (OSError, ProtocolError, Invalid) as error:
            self.close()
            raise Unavailable(
                f"containerd at {self.address} doesn't answer {method}: {error}",
                hint="see whether it runs, and its log",
            ) from (None if isinstance(error, TimeoutError) else error)

    def _asked(self, method: str, message: bytes, until: float) -> bytes:
        """Make a call; again, where containerd went meanwhile and the call changes nothing."""
        patient = time.monotonic() + self._patience_s
        while True:
            try:
                return self._exchange(self._connected(), method, message, until)
            except ConnectionError:
                # One that is being killed still takes connections for a moment.
                if method.rpartition("/")[2] not in _REPEATABLE or time.monotonic() > patient:
                    raise
                self.close()
                time.sleep(_AGAIN_S)

    def answers(self) -> bool:
        """Say whether somebody listens there."""
        with socket.socket(socket.AF_UNIX) as sock:
            try:
                sock.connect(self.address)
            except OSError:
                return False
            return True

    def close(self) -> None:
        """Let go of the connection; the next call makes another."""
        if self._sock is not None and self._owner == os.getpid():
            self._sock.close()
        elif self._sock is not None:
            self._sock.detach()  # its number is another's here
        self._sock = None

    def _connected(self) -> socket.socket:
        """Return this process's connection, a new one where there is none, or where containerd has gone since."""
        if self._sock is not None and self._owner == os.getpid() and not self._ended(self._sock):
            return self._sock
        self.close()
        until = time.monotonic() + self._patience_s
        while True:
            try:
                sock = self._dial()
                break
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(_AGAIN_S)  # it is being started, perhaps again
        self._owner, self._sock, self._going = os.getpid(), sock, False
        self._connection = Connection(client=True, window=_WINDOW)
        sock.sendall(self._connection.begin())
        return sock

    def _ended(self, sock: socket.socket) -> bool:
        """Whether the other end is gone, or said that it goes; what else it has said meanwhile is answered."""
        sock.settimeout(None)  # with a time it would wait for something to come
        try:
            while not self._going and (received := sock.recv(_READ, socket.MSG_DONTWAIT)):
                self._going = any(isinstance(each, WentAway) for each in self._connection.receive(received))
        except BlockingIOError:
            return False
        except (OSError, ProtocolError):
            return True
        return True

    def _dial(self) -> socket.socket:
        """Return a new connection; OSError where nobody listens."""
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(self.address)
        except OSError:
            sock.close()
            raise
        return sock

    def stream(self, method: str, requests: Iterable[object], kind: type[M]) -> Iterator[M]:
        """Make a call of several messages, either way, by a connection of its own, and yield what comes.

        Failed and Unavailable as `ask`, by the end at the latest. Whoever closes the iterator gives the call up.
        """
        inner = Client(self.address, self.namespace, patience_s=self._patience_s)
        try:
            yield from (decode(kind, each) for each in inner._streamed(method, map(encode, requests)))
        except (OSError, ProtocolError, Invalid) as error:
            raise Unavailable(
                f"containerd at {self.address} doesn't answer {method}: {error}",
                hint="see whether it runs, and its log",
            ) from (None if isinstance(error, TimeoutError) else error)
        finally:
            inner.close()

    def _streamed(self, method: str, messages: Iterator[bytes]) -> Iterator[bytes]:
        sock, connection = self._connected(), self._connection
        sock.settimeout(_QUIET_S)
        number, data = connection.open(self._head(method))
        sock.sendall(data)
        left, more, came, ended = memoryview(b""), True, b"", False
        trailers: dict[str, str] = {}
        while not ended:
            if not left and more:
                message = next(messages, None)
                more = message is not None
                left = memoryview(_framed(message) if message is not None else b"")
                if not more:
                    sock.sendall(connection.data(number, b"", end=True))
                continue
            room = connection.room(number)
            if left and room:
                piece, left = left[:room], left[room:]
                sock.sendall(connection.data(number, bytes(piece)))
                continue
            for event in self._events(sock.recv(_READ), number):
                if isinstance(event, Chunk):
                    came += event.data
                    _told(sock, connection.taken(number, event.size))
                if isinstance(event, Headers):
                    trailers.update(event.headers)
                ended = ended or event.ended
            _told(sock, connection.pending())
            while (whole := _first(came)) is not None:
                came = came[len(whole) + 5 :]
                yield whole
        if came:
            raise Invalid("an answer that is cut short")
        _judge(trailers)

    def _events(self, received: bytes, number: int) -> Iterator[Chunk | Headers]:
        """Yield what bytes that came mean for a stream."""
        if not received:
            raise ConnectionResetError("it has closed the connection")
        ended = False
        for event in self._connection.receive(received):
            if isinstance(event, WentAway):
                self._going = True
                if number > event.last and not ended:
                    raise Untaken("it is ending")
            if isinstance(event, Reset) and event.stream == number and not ended:  # else it wants no more of a request
                raise ConnectionResetError(f"it gave the call up ({event.code})")
            if isinstance(event, Chunk | Headers) and event.stream == number:
                ended = event.ended
                yield event

    def _head(self, method: str) -> tuple[tuple[str, str], ...]:
        return (
            (":method", "POST"), (":scheme", "http"), (":path", f"/containerd.services.{method}"),
            (":authority", "localhost"), ("te", "trailers"), ("content-type", "application/grpc"),
            ("containerd-namespace", self.namespace),
        )  # fmt: skip

    def _exchange(self, sock: socket.socket, method: str, message: bytes, until: float) -> bytes:
        """Send a message, and return the one that comes."""
        connection = self._connection
        number, out = connection.open(self._head(method))
        left = memoryview(_framed(message))
        found, ended = bytearray(), False
        trailers: dict[str, str] = {}
        while not ended:
            room = connection.room(number)
            if left and room:
                piece, left = left[:room], left[room:]
                out += connection.data(number, bytes(piece), end=not left)
            if out:
                sock.settimeout(_rest_s(until))
                sock.sendall(connection.pending() + out)
                out = b""
            for event in self._events(self._received(sock, until), number):
                if isinstance(event, Chunk):
                    found += event.data
                    if len(found) > self.most_bytes + _PREFIX_BYTES:
                        raise Invalid("an answer that isn't one message")
                    _told(sock, connection.taken(number, event.size))
                if isinstance(event, Headers):
                    trailers.update(event.headers)
                ended = ended or event.ended
        return _judged(bytes(found), trailers, self.most_bytes)

    def _received(self, sock: socket.socket, until: float) -> bytes:
        """Wait for bytes; what the other side is to be told goes with the next call, unless this one takes long."""
        if self._connection.owes:
            sock.settimeout(min(_SOON_S, _rest_s(until)))
            try:
                return sock.recv(_READ)
            except TimeoutError:
                _told(sock, self._connection.pending())
        sock.settimeout(_rest_s(until))
        return sock.recv(_READ)


def _rest_s(until: float) -> float:
    """Return how long a call may take yet, as a socket is told so."""
    return max(0.001, until - time.monotonic())


def _told(sock: socket.socket, data: bytes) -> None:
    """Tell the other side what it doesn't wait for; one that has gone may have said all before."""
    if data:
        with suppress(ConnectionError):
            sock.sendall(data)


def _framed(message: bytes) -> bytes:
    """Return a message as gRPC sends it."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def _first(came: bytes) -> bytes | None:
    """Return the first message of what came, once it is whole; Invalid for what is none."""
    if len(came) < 5:
        return None
    size = int.from_bytes(came[1:5], "big")
    if came[0] or size > _MOST_BYTES:
        raise Invalid("an answer that isn't of messages")
    return came[5 : size + 5] if len(came) >= size + 5 else None


def _judge(trailers: dict[str, str]) -> None:
    """Failed where a call ended with an error."""
    status = trailers.get("grpc-status", "")
    if not status.isdigit():
        raise Invalid("an answer without a status")
    if status != "0":
        raise Failed(int(status), unquote(trailers.get("grpc-message", "")))


def _judged(found: bytes, trailers: dict[str, str], most_bytes: int) -> bytes:
    """Return an answer's message; Failed where the call ended otherwise."""
    _judge(trailers)
    size = int.from_bytes(found[1:5], "big")
    if len(found) != size + 5 or found[0] or size > most_bytes:
        raise Invalid("an answer that isn't one message")
    return found[5:]
