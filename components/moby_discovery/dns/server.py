"""Answers queries for names, in the namespaces of sandboxes."""

import select
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from moby.contracts.discovery import Resolver
from moby.values import field, frozen
from moby_discovery.dns import messages
from moby_discovery.dns.loop import Loop
from moby_discovery.dns.names import Names
from moby_discovery.dns.upstream import Upstream

__all__ = ["Room", "Server"]

_AT_A_TIME = 64
_MOST_REPLIES = 1024
_MOST_CLIENTS = 64
_IDLE_S = 10.0
_LONGEST = 65535


@frozen
class Room:
    """What a sandbox's names are served with."""

    sandbox: str
    namespace: int
    """Its network namespace; this, and both sockets, are closed with the room."""
    udp: socket.socket
    tcp: socket.socket
    resolver: Resolver
    replies: dict[bytes, bytes] = field(factory=dict)
    """By query, both without their ids."""
    clients: "dict[int, _Client]" = field(factory=dict)


class Server:
    """The rooms; used with the loop's lock held."""

    def __init__(self, loop: Loop, names: Names) -> None:
        self._loop = loop
        self._names = names
        self._upstream = Upstream(loop)
        self._rooms: dict[str, Room] = {}
        self._turn = 0

    def open(self, room: Room) -> None:
        """Begin to answer in a room, in place of another of the same sandbox, whose sockets it may have."""
        self._rooms[room.sandbox] = room
        self._loop.watch(room.udp.fileno(), select.EPOLLIN, partial(self._datagrams, room))
        self._loop.watch(room.tcp.fileno(), select.EPOLLIN, partial(self._accept, room))

    def close(self, sandbox: str) -> None:
        """End it."""
        room = self._rooms.pop(sandbox, None)
        if room is None:
            return
        self._upstream.drop(sandbox)
        for client in [*room.clients.values()]:
            client.close()
        for sock in (room.udp, room.tcp):
            self._loop.unwatch(sock.fileno())

    def close_all(self) -> None:
        """End all."""
        for sandbox in [*self._rooms]:
            self.close(sandbox)
        self._upstream.drop_all()

    def names_changed(self) -> None:
        """Forget replies that may be others now."""
        for room in self._rooms.values():
            room.replies.clear()

    def _datagrams(self, room: Room, _: int) -> None:
        for _ in range(_AT_A_TIME):
            try:
                data, peer = room.udp.recvfrom(messages.MOST_BYTES)
            except BlockingIOError:
                return
            except OSError:
                continue  # an error of an earlier reply: its asker has gone
            known = room.replies.get(data[2:])
            if known is not None:
                _send(room.udp, data[:2] + known, peer)
            else:
                self.respond(room, data, False, partial(_send, room.udp, peer=peer))

    def respond(self, room: Room, data: bytes, tcp: bool, send: Callable[[bytes], None]) -> None:
        """Send the reply to a query, now or later; nothing for what is none."""
        question = messages.parse(data)
        if question is None:
            return
        found = self._found(room.sandbox, question)
        if not found:
            self._forward(room, question, data, tcp, send)
            return
        self._turn += 1
        at = self._turn % len(found)
        reply = messages.answer(
            question, (*found[at:], *found[:at]), most_bytes=_LONGEST if tcp else question.most_bytes
        )
        if len(found) == 1 and not tcp and len(room.replies) < _MOST_REPLIES:
            room.replies[data[2:]] = reply[2:]
        send(reply)

    def _found(self, sandbox: str, question: messages.Question) -> tuple[str, ...]:
        if question.kind != messages.PTR:
            return self._names.addresses(sandbox, question.name)
        name = self._names.name(sandbox, address) if (address := messages.reverse_address(question.name)) else ""
        return (name,) if name else ()

    def _forward(
        self, room: Room, question: messages.Question, data: bytes, tcp: bool, send: Callable[[bytes], None]
    ) -> None:
        def tell(reply: bytes) -> None:
            send(reply or messages.failure(question, messages.SERVER_FAILURE))

        servers = room.resolver.servers
        self._upstream.ask(room.sandbox, -1 if room.resolver.from_host else room.namespace, servers, data, tcp, tell)

    def _accept(self, room: Room, _: int) -> None:
        try:
            sock, _peer = room.tcp.accept()
        except OSError:
            return
        if len(room.clients) >= _MOST_CLIENTS:
            sock.close()
            return
        sock.setblocking(False)
        _Client(self, self._loop, room, sock)


class _Client:
    """A connection over TCP: messages with their length before them (RFC 1035 section 4.2.2, RFC 7766)."""

    def __init__(self, server: Server, loop: Loop, room: Room, sock: socket.socket) -> None:
        self._server = server
        self._loop = loop
        self._room = room
        self._sock = sock
        self._got = b""
        self._unsent = b""
        self._active = True
        room.clients[sock.fileno()] = self
        loop.watch(sock.fileno(), select.EPOLLIN, self._turn)
        loop.after(_IDLE_S, self._expire)

    def close(self) -> None:
        """End it."""
        if self._sock.fileno() >= 0:
            del self._room.clients[self._sock.fileno()]
            self._loop.unwatch(self._sock.fileno())
            self._sock.close()

    def _turn(self, events: int) -> None:
        try:
            if events & select.EPOLLOUT:
                self._flush()
            if events & ~select.EPOLLOUT:
                self._read()
        except BlockingIOError:
            return
        except OSError:
            self.close()

    def _read(self) -> None:
        got = self._sock.recv(1 << 16)
        if not got:
            self.close()
            return
        self._active = True
        self._got += got
        while len(self._got) >= 2 and len(self._got) >= (end := 2 + int.from_bytes(self._got[:2], "big")):
            data, self._got = self._got[2:end], self._got[end:]
            self._server.respond(self._room, data, True, self._push)

    def _push(self, reply: bytes) -> None:
        if self._sock.fileno() < 0:
            return
        if len(self._unsent) > 16 * _LONGEST:  # asks and doesn't read
            self.close()
            return
        self._unsent += len(reply).to_bytes(2, "big") + reply
        with suppress(BlockingIOError):
            try:
                self._flush()
            except BlockingIOError:
                raise
            except OSError:
                self.close()

    def _flush(self) -> None:
        self._unsent = self._unsent[self._sock.send(self._unsent) :] if self._unsent else b""
        events = select.EPOLLIN | (select.EPOLLOUT if self._unsent else 0)
        self._loop.watch(self._sock.fileno(), events, self._turn)

    def _expire(self) -> None:
        if self._sock.fileno() < 0:
            return
        if not self._active:
            self.close()
            return
        self._active = False
        self._loop.after(_IDLE_S, self._expire)


def _send(sock: socket.socket, reply: bytes, peer: tuple[str, int]) -> None:
    with suppress(OSError):  # who asks and doesn't read loses it, as with any datagram
        sock.sendto(reply, peer)
