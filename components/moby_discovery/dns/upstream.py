"""Forwards what no container is called to the name servers of the host or of the user."""

import errno
import os
import select
import socket
from collections.abc import Callable, Sequence
from functools import partial

from moby.host.elsewhere import in_namespace
from moby_discovery.dns.loop import Loop

__all__ = ["Upstream"]

PATIENCE_S = 2.5
"""With a server, before the next one is asked."""
MOST_AT_ONCE = 256
"""Queries of one sandbox that are under way; more are refused, so that it can't take all of the others' descriptors."""
_PORT = 53
_LENGTH_BYTES = 2


class Upstream:
    """Queries under way, of all sandboxes; used with the loop's lock held."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._pending: dict[str, set[_Query]] = {}

    def ask(
        self,
        sandbox: str,
        namespace: int,
        servers: Sequence[str],
        query: bytes,
        tcp: bool,
        tell: Callable[[bytes], None],
    ) -> None:
        """Ask servers in turn; tell the reply as it came, or an empty one where none has answered.

        `namespace` is where from, by its descriptor; -1 is from here.
        """
        there = self._pending.setdefault(sandbox, set())
        if not servers or len(there) >= MOST_AT_ONCE:
            tell(b"")
            return
        asked = _Query(self._loop, namespace, list(servers), query, tcp, tell, lambda: there.discard(asked))
        there.add(asked)
        asked.next_server()

    def drop_all(self) -> None:
        """Forget all queries."""
        for sandbox in [*self._pending]:
            self.drop(sandbox)

    def drop(self, sandbox: str) -> None:
        """Forget the queries of a sandbox."""
        for each in [*self._pending.pop(sandbox, ())]:
            each.end(None)


class _Query:
    """One query under way, with a socket of its own for each server: its port is as hard to guess as its id."""

    def __init__(
        self,
        loop: Loop,
        namespace: int,
        servers: list[str],
        query: bytes,
        tcp: bool,
        tell: Callable[[bytes], None],
        done: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._namespace = namespace
        self._servers = servers
        self._number = query[:2]
        self._data = os.urandom(2) + query[2:]
        self._tcp = tcp
        self._tell = tell
        self._done = done
        self._sock: socket.socket | None = None
        self._unsent = b""
        self._got = b""
        self._over = False

    def next_server(self) -> None:
        """Ask the next one, or give up."""
        while self._servers and not self._over:
            self._close()
            server = self._servers.pop(0)
            try:
                self._send_to(server)
            except OSError:
                continue
            self._loop.after(PATIENCE_S, partial(self._expire, self._sock))
            return
        self.end(b"")

    def end(self, reply: bytes | None) -> None:
        """Tell a reply, or nothing for None, once."""
        if self._over:
            return
        self._over = True
        self._close()
        self._done()
        if reply is not None:
            self._tell(reply)

    def _send_to(self, server: str) -> None:
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        kind = (socket.SOCK_STREAM if self._tcp else socket.SOCK_DGRAM) | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC

        def make() -> socket.socket:
            return socket.socket(family, kind)

        sock = self._sock = make() if self._namespace < 0 else in_namespace(self._namespace, make)
        code = sock.connect_ex((server, _PORT))
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
        self._got = b""
        if self._tcp:
            self._unsent = len(self._data).to_bytes(_LENGTH_BYTES, "big") + self._data
            self._loop.watch(sock.fileno(), select.EPOLLIN | select.EPOLLOUT, self._turn)
        else:
            sock.send(self._data)
            self._loop.watch(sock.fileno(), select.EPOLLIN, self._turn)

    def _turn(self, events: int) -> None:
        sock = self._sock
        if sock is None:
            return
        try:
            if self._unsent and events & select.EPOLLOUT:
                self._unsent = self._unsent[sock.send(self._unsent) :]
                if not self._unsent:
                    self._loop.watch(sock.fileno(), select.EPOLLIN, self._turn)
            if events & (select.EPOLLIN | select.EPOLLERR | select.EPOLLHUP):
                self._take(sock)
        except BlockingIOError:
            return
        except OSError:
            self.next_server()

    def _take(self, sock: socket.socket) -> None:
        got = sock.recv(1 << 16)
        if not self._tcp:
            if self._fits(got):
                self.end(self._number + got[2:])
            return
        if not got:
            raise ConnectionResetError("the server closed before its reply was whole")
        self._got += got
        length = int.from_bytes(self._got[:_LENGTH_BYTES], "big")
        if len(self._got) >= _LENGTH_BYTES + length:
            reply = self._got[_LENGTH_BYTES : _LENGTH_BYTES + length]
            if not self._fits(reply):
                raise ConnectionResetError("the server answered something else")
            self.end(self._number + reply[2:])

    def _fits(self, reply: bytes) -> bool:
        """Whether it answers what was asked: the id, a response, the same question (RFC 5452 section 9.1)."""
        if len(reply) < 12 or reply[:2] != self._data[:2] or not reply[2] & 0x80:
            return False
        at = 12
        while at < len(self._data) and self._data[at]:
            at += self._data[at] + 1
        section = self._data[12 : at + 5]
        return reply[4:6] == b"\0\0" or reply[12 : 12 + len(section)].lower() == section.lower()

    def _expire(self, sock: socket.socket | None) -> None:
        if not self._over and sock is self._sock:
            self.next_server()

    def _close(self) -> None:
        if self._sock is not None:
            self._loop.unwatch(self._sock.fileno())
            self._sock.close()
            self._sock = None
