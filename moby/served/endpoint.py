"""Answering for a part that has a loop of its own: nothing here blocks, and answers come in any order."""

import select
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from moby.contracts.ambient import Log
from moby.errors import Invalid, MobyError, Unsupported
from moby.served import answering, handshake, wire
from moby.served.methods import Interface, Method
from moby.served.outgoing import LOOPS

__all__ = ["Endpoint", "Request"]


class Endpoint:
    """The socket of a served part, for its own loop; an epoll descriptor over the listener and all connections."""

    def __init__(
        self,
        listener: socket.socket,
        interface: Interface,
        part: object,
        log: Log,
        woken: int,
        rest: Callable[[], None],
    ) -> None:
        self.ending = False
        self._interface = interface
        self._part = part
        self._log = log
        self._listener = listener
        self._woken = woken
        self.rest = rest
        self._epoll = select.epoll()
        self._epoll.register(listener, select.EPOLLIN)
        self._epoll.register(woken, select.EPOLLIN)
        self._connections: dict[int, _Connection] = {}

    def fileno(self) -> int:
        """Return the descriptor to watch."""
        return self._epoll.fileno()

    def requests(self) -> Sequence["Request"]:
        """Return the calls that have come in whole since, oldest first."""
        found: list[Request] = []
        for fd, events in self._epoll.poll(0):
            if fd == self._woken:
                self.ending = True
                self._epoll.modify(fd, 0)
            elif fd == self._listener.fileno():
                self._accept()
            elif (connection := self._connections.get(fd)) is not None:
                self._turn(connection, events, found)
        return found

    def close(self) -> None:
        """Close all; answers that were not sent are lost."""
        for each in [*self._connections.values()]:
            self._drop(each)
        self._epoll.close()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(BlockingIOError, ConnectionError):
            while True:
                sock, _ = self._listener.accept()
                sock.setblocking(False)
                try:
                    wire.check_peer(sock)
                except MobyError as error:
                    self._log.warning("a caller was sent away", error=str(error))
                    sock.close()
                    continue
                connection = self._connections[sock.fileno()] = _Connection(sock)
                self._epoll.register(sock, connection.events())

    def _turn(self, connection: "_Connection", events: int, found: list["Request"]) -> None:
        try:
            if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR) and not connection.leaving:
                connection.read()
                self._take(connection, found)
            connection.flush()
        except (ConnectionError, EOFError):
            self._drop(connection)
        except MobyError as error:
            self._log.warning("a caller was sent away", error=str(error))
            connection.push(*answering.failure(error))
            connection.leaving = True
            with suppress(ConnectionError):
                connection.flush()
        self.watch(connection)

    def _take(self, connection: "_Connection", found: list["Request"]) -> None:
        while (message := connection.reader.next()) is not None:
            body, fds = message
            try:
                if connection.waiting:
                    raise Invalid("a second call on a connection before the first was answered")
                data = wire.message_of(body, fds)
                if not connection.greeted:
                    self._greet(connection, data)
                elif (request := self._request(connection, data, fds)) is not None:
                    fds = []  # the request's from here on
                    found.append(request)
            finally:
                wire.close_all(fds)

    def _greet(self, connection: "_Connection", said: Any) -> None:
        if error := handshake.refusal(self._interface, said):
            raise error
        connection.greeted = True
        connection.push(wire.pack(handshake.greeting(self._interface)), [])

    def _request(self, connection: "_Connection", data: Any, fds: list[int]) -> "Request | None":
        """Return a call for the part; what it needn't be asked is answered here."""
        try:
            call = answering.read_call(self._interface, self._part, data, fds, self.rest)
            if isinstance(call, answering.Packed):
                connection.push(*call)
                return None
            if call.method.lives:
                raise Unsupported(f"{call.method.name}: {LOOPS}")
            connection.waiting = True
            return Request(self, connection, *call, fds)
        except MobyError as error:
            connection.push(*answering.failure(error))
        return None

    def finish(self, connection: "_Connection", packed: answering.Packed, fds: list[int]) -> None:
        """Send an answer, as far as it goes now."""
        wire.close_all(fds)
        connection.waiting = False
        if connection.sock.fileno() < 0:
            wire.close_all(packed[1])
            return
        connection.push(*packed)
        try:
            connection.flush()
        except ConnectionError:
            self._drop(connection)
        self.watch(connection)

    def watch(self, connection: "_Connection") -> None:
        """Wait for what a connection needs now; end it where it is leaving and all is sent."""
        if connection.sock.fileno() < 0:
            return
        if connection.leaving and not connection.unsent:
            self._drop(connection)
        elif connection.events() != connection.watched:
            connection.watched = connection.events()
            self._epoll.modify(connection.sock, connection.watched)

    def _drop(self, connection: "_Connection") -> None:
        if connection.sock.fileno() < 0:
            return
        del self._connections[connection.sock.fileno()]
        connection.close()


class Request:
    """A call, to be answered once."""

    def __init__(
        self, endpoint: Endpoint, connection: "_Connection", method: Method, arguments: dict[str, Any], fds: list[int]
    ) -> None:
        self.method = method.name
        self.arguments: Mapping[str, Any] = arguments
        self._endpoint = endpoint
        self._connection = connection
        self._method = method
        self._fds: list[int] | None = fds

    def answer(self, value: object = None) -> None:
        """Send what the method returns."""
        if self.method == answering.RECLAIM:
            try:
                self._endpoint.rest()
            except Exception as error:
                self.fail(error)
                return
        self._finish(answering.success(self._method, value))

    def fail(self, error: Exception) -> None:
        """Send an error."""
        self._finish(answering.failure(error))

    def _finish(self, packed: answering.Packed) -> None:
        if self._fds is None:
            raise RuntimeError(f"{self.method} was answered twice")
        fds, self._fds = self._fds, None
        self._endpoint.finish(self._connection, packed, fds)


class _Connection:
    """One caller: what he sent and isn't a whole message yet, and what he is still to be sent."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.reader = wire.Reader()
        self.greeted = False
        self.leaving = False
        self.waiting = False
        self.unsent: deque[tuple[memoryview, list[int]]] = deque()
        self.watched = self.events()

    def events(self) -> int:
        """Return what epoll is to watch for."""
        return (0 if self.leaving else select.EPOLLIN) | (select.EPOLLOUT if self.unsent else 0)

    def read(self) -> None:
        """Read what is there; EOFError at the end."""
        try:
            data, fds = wire.read_some(self.sock)
        except BlockingIOError:
            return
        if not data:
            raise EOFError
        self.reader.feed(data, fds)

    def push(self, data: bytes, fds: list[int]) -> None:
        """Take a message to send, and its descriptors to close."""
        self.unsent.append((memoryview(data), fds))

    def flush(self) -> None:
        """Send what goes now; ConnectionError where nobody can read it any more."""
        while self.unsent:
            data, fds = self.unsent[0]
            try:
                sent = wire.send_first(self.sock, data, fds)
            except BlockingIOError:
                return
            wire.close_all(fds)
            if sent < len(data):
                self.unsent[0] = (data[sent:], [])
            else:
                self.unsent.popleft()

    def close(self) -> None:
        """Close all that is his."""
        self.reader.close()
        for _, fds in self.unsent:
            wire.close_all(fds)
        self.unsent.clear()
        self.sock.close()
