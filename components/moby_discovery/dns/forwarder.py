"""Carries what reaches a held port to its container, where no rule of the firewall has led it there (`::1`)."""

import errno
import os
import resource
import select
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial

from moby_discovery.dns.loop import Loop

__all__ = ["Forwarder"]

_PIPE_BYTES = 1 << 16
_MOVES = 32
_DATAGRAM_BYTES = 65535
_MOST_PEERS = 1024
_SHARE = 12
"""A connection takes six descriptors, and half of what the process may have are left to names and held ports."""
_UNLIMITED = 1 << 20
UDP_IDLE_S = 90.0
"""After which a peer that sends no more datagrams is forgotten, as docker-proxy does."""


class Forwarder:
    """The connections under way, in a loop of their own. A held port is watched from `add` on, to `remove`."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._watched: dict[int, _Peers | None] = {}
        self._pairs: set[_Pair] = set()
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._room = (limit if limit != resource.RLIM_INFINITY else _UNLIMITED) // _SHARE
        """How many connections more there may be; anybody on this host can make them."""

    def add(self, sock: socket.socket, targets: Sequence[str], port: int) -> None:
        """Forward what comes to a socket to a port of the first target that its family reaches, else of the first."""
        with self._loop.lock:
            self.remove(sock)
            if not targets or sock.proto not in (socket.IPPROTO_TCP, socket.IPPROTO_UDP):
                return
            alike = [each for each in targets if (":" in each) == (sock.family == socket.AF_INET6)]
            target = ((alike or list(targets))[0], port)
            if sock.proto == socket.IPPROTO_TCP:
                self._watched[sock.fileno()] = None
                self._loop.watch(sock.fileno(), select.EPOLLIN, partial(self._accept, sock, target))
            else:
                peers = self._watched[sock.fileno()] = _Peers(self._loop, sock, target)
                self._loop.watch(sock.fileno(), select.EPOLLIN, peers.take)

    def remove(self, sock: socket.socket) -> None:
        """Take no more; connections that are under way go on."""
        with self._loop.lock:
            if sock.fileno() in self._watched:
                peers = self._watched.pop(sock.fileno())
                self._loop.unwatch(sock.fileno())
                if peers is not None:
                    peers.close()

    def close(self) -> None:
        """Take no more, and end what is under way."""
        with self._loop.lock:
            for fd, peers in self._watched.items():
                self._loop.unwatch(fd)
                if peers is not None:
                    peers.close()
            self._watched.clear()
            for each in [*self._pairs]:
                each.close()

    def _accept(self, sock: socket.socket, target: tuple[str, int], _: int) -> None:
        for _ in range(64):
            try:
                connection, _peer = sock.accept()
            except OSError:
                return
            with suppress(OSError):
                self._join(connection, target)

    def _join(self, connection: socket.socket, target: tuple[str, int]) -> None:
        """Carry a connection on, or reset it where that can't be."""
        connection.setblocking(False)
        with ExitStack() as undo:
            undo.callback(_reset, connection)
            if self._room <= 0:
                return
            other = socket.socket(_family(target), socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            undo.callback(other.close)
            if other.connect_ex(target) in (0, errno.EINPROGRESS):
                self._pairs.add(_Pair(self._loop, connection, other, self._parted))
                self._room -= 1
                undo.pop_all()

    def _parted(self, pair: "_Pair") -> None:
        self._pairs.discard(pair)
        self._room += 1


def _family(target: tuple[str, int]) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in target[0] else socket.AF_INET


def _reset(sock: socket.socket) -> None:
    """Close a connection so that its peer learns that it failed."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


class _Pair:
    """Two connections, and the bytes between them, which the kernel moves (splice(2))."""

    def __init__(
        self, loop: Loop, client: socket.socket, server: socket.socket, parted: "Callable[[_Pair], None]"
    ) -> None:
        self._loop = loop
        self._parted = parted
        self._connected = False
        self._socks = (client, server)
        with ExitStack() as undo:
            there = _Way(client, server)
            undo.callback(there.close)
            back = _Way(server, client)
            undo.callback(back.close)
            self._ways = (there, back)
            loop.watch(server.fileno(), select.EPOLLOUT, self._turn)
            undo.pop_all()

    def close(self) -> None:
        """End both."""
        self._close(reset=False)

    def _turn(self, _: int) -> None:
        try:
            if not self._connected:
                code = self._socks[1].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    raise OSError(code, os.strerror(code))
                self._connected = True
            for way in self._ways:
                way.move()
            over = all(way.over for way in self._ways)
            if not over:
                self._watch()
        except OSError:
            self._close(reset=True)
            return
        if over:
            self._close(reset=False)

    def _watch(self) -> None:
        """Have the loop look out for what there is to do next; OSError where it can't for more."""
        for at, sock in enumerate(self._socks):
            out, back = self._ways[at], self._ways[1 - at]
            events = (select.EPOLLIN if out.wants_input else 0) | (select.EPOLLOUT if back.wants_room else 0)
            if events:
                self._loop.watch(sock.fileno(), events, self._turn)
            else:  # else an end that is known already would be told again and again
                self._loop.unwatch(sock.fileno())

    def _close(self, *, reset: bool) -> None:
        for way in self._ways:
            way.close()
        for sock in self._socks:
            self._loop.unwatch(sock.fileno())
            _reset(sock) if reset else sock.close()
        self._parted(self)


class _Way:
    """One direction: from a socket through a pipe into another."""

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self._source = source
        self._sink = sink
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._held = 0
        self._ended = False
        self.over = False

    @property
    def wants_input(self) -> bool:
        """Whether more is to be read."""
        return not self._ended and self._held == 0

    @property
    def wants_room(self) -> bool:
        """Whether something is to be written."""
        return self._held > 0

    def move(self) -> None:
        """Move what there is, but no more than leaves the others their turn."""
        for _ in range(_MOVES):
            if self.over:
                return
            if self._held:
                try:
                    self._held -= os.splice(self._read, self._sink.fileno(), self._held, flags=os.SPLICE_F_NONBLOCK)
                except BlockingIOError:
                    return
            elif self._ended:
                self.over = True
                with suppress(OSError):
                    self._sink.shutdown(socket.SHUT_WR)
            else:
                try:
                    got = os.splice(self._source.fileno(), self._write, _PIPE_BYTES, flags=os.SPLICE_F_NONBLOCK)
                except BlockingIOError:
                    return
                self._held += got
                self._ended = got == 0

    def close(self) -> None:
        """Give the pipe back."""
        os.close(self._read)
        os.close(self._write)


class _Peers:
    """Who sends datagrams to a held port: a socket for each, by which the container answers."""

    def __init__(self, loop: Loop, sock: socket.socket, target: tuple[str, int]) -> None:
        self._loop = loop
        self._sock = sock
        self._target = target
        self._out: dict[tuple[str, int], socket.socket] = {}
        self._active: set[tuple[str, int]] = set()

    def take(self, _: int) -> None:
        """Carry what has come towards the container."""
        for _ in range(64):
            try:
                data, peer = self._sock.recvfrom(_DATAGRAM_BYTES)
            except OSError:
                return
            out = self._out.get(peer) or self._meet(peer)
            self._active.add(peer)
            if out is not None:
                with suppress(OSError):
                    out.send(data)

    def close(self) -> None:
        """Forget all."""
        for peer in [*self._out]:
            self._part(peer)

    def _meet(self, peer: tuple[str, int]) -> socket.socket | None:
        if len(self._out) >= _MOST_PEERS:
            return None
        out = socket.socket(_family(self._target), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            out.connect(self._target)
        except OSError:
            out.close()
            return None
        self._out[peer] = out
        self._loop.watch(out.fileno(), select.EPOLLIN, partial(self._back, peer))
        self._loop.after(UDP_IDLE_S, partial(self._expire, peer, out))
        return out

    def _back(self, peer: tuple[str, int], _: int) -> None:
        for _ in range(64):
            try:
                data = self._out[peer].recv(_DATAGRAM_BYTES)
            except OSError:
                return
            self._active.add(peer)
            with suppress(OSError):
                self._sock.sendto(data, peer)

    def _expire(self, peer: tuple[str, int], out: socket.socket) -> None:
        if self._out.get(peer) is not out:
            return
        if peer in self._active:
            self._active.discard(peer)
            self._loop.after(UDP_IDLE_S, partial(self._expire, peer, out))
        else:
            self._part(peer)

    def _part(self, peer: tuple[str, int]) -> None:
        out = self._out.pop(peer)
        self._loop.unwatch(out.fileno())
        out.close()
