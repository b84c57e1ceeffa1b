"""The keeper: a process above served parts, which starts them again, and holds what must not go with them.

It is run on its own, as `python -I -S FILE FOLDER LOCK LINGER`, from a copy in the run folder: standard library only,
and of that what costs no memory, hence the modules with an underscore. Packets (SOCK_SEQPACKET) are fields with zeros
between; every request has one answer, which fits, so that nobody can hold it up. What it must still know when it was
killed is on disk: the parts' commands (`parts/NAME`) and how children ended (`exits`). Descriptors it can't write
down; who gave them gives them again.
"""

import _signal  # type: ignore[import-not-found]  # these two are what signal and socket are made of, without enum and selectors
import _socket
import os
import select
import sys

from moby.served.keeper.files import remove
from moby.served.keeper.holdings import Holdings
from moby.served.keeper.parts import Part, Parts

__all__ = ["LONGEST", "MOST_FDS", "VERSION", "main"]

VERSION = 1
"""Of the packets; both neighbours are answered."""
MOST_FDS = 253
LONGEST = 60_000
SPACE = _socket.CMSG_SPACE(MOST_FDS * 4)


class Connection:
    """One caller."""

    def __init__(self, sock: _socket.socket) -> None:
        self.sock = sock
        self.owner: str | None = None
        self.watches = False


class Keeper:
    """Answers callers about parts and holdings."""

    def __init__(self, linger_s: float) -> None:
        self.connections: dict[int, Connection] = {}
        self.epoll = select.epoll()
        self.listener = listen()
        self.woken, waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        _signal.signal(_signal.SIGCHLD, lambda *_: None)
        _signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        for fd in (self.listener.fileno(), self.woken):
            self.epoll.register(fd, select.EPOLLIN)
        self.holdings = Holdings()
        self.parts = Parts(self.epoll, self.holdings, linger_s)

    def run(self) -> None:
        """Answer until nothing is left to keep."""
        while not self.parts.done():
            for fd, _ in self.epoll.poll(self.parts.pause()):
                if fd == self.woken:
                    os.read(self.woken, 4096)
                    self.reap()
                elif fd == self.listener.fileno():
                    self.accept()
                elif fd in self.parts.by_fd:
                    self.reap()
                    self.parts.ended(self.parts.by_fd[fd])
                elif fd in self.connections:
                    self.turn(self.connections[fd])
            self.parts.look_after()

    def reap(self) -> None:
        """Take the exits of all children, once what was said of them is heard, and tell whoever watches."""
        for connection in list(self.connections.values()):
            while self.turn(connection):
                pass
        told = self.holdings.reap()
        for connection in self.connections.values():
            if connection.watches and connection.owner in told:
                self.answer(connection, b"new")

    def accept(self) -> None:
        """Take a caller of our own user, or root."""
        try:
            fd, _ = self.listener._accept()  # type: ignore[attr-defined]
        except (BlockingIOError, ConnectionError):
            return
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, fd)
        credentials = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
        if int.from_bytes(credentials[4:8], sys.byteorder) not in (os.geteuid(), 0):
            sock.close()
            return
        sock.setblocking(False)
        self.connections[fd] = Connection(sock)
        self.epoll.register(fd, select.EPOLLIN)

    def turn(self, connection: Connection) -> bool:
        """Answer what one caller says next; False where it says nothing now."""
        try:
            data, ancillary, flags, _ = connection.sock.recvmsg(LONGEST + 1, SPACE, _socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return False
        except OSError:
            data, ancillary, flags = b"", [], 0
        fds = [fd for level, kind, payload in ancillary for fd in numbers(payload)]
        try:
            if not data:
                self.leave(connection)
            elif len(data) > LONGEST or flags & (_socket.MSG_CTRUNC | _socket.MSG_TRUNC):
                self.answer(connection, b"error\0too much at once, or too many descriptors open")
            else:
                fds = self.dispatch(connection, data.decode("utf-8", "surrogateescape").split("\0"), fds)
        except (LookupError, ValueError) as error:
            self.answer(connection, f"error\0{type(error).__name__}: {error}".encode("utf-8", "replace"))
        finally:
            for fd in fds:
                os.close(fd)
        return bool(data)

    def leave(self, connection: Connection) -> None:
        """Let a caller go."""
        self.epoll.unregister(connection.sock)
        del self.connections[connection.sock.fileno()]
        connection.sock.close()

    def dispatch(self, connection: Connection, fields: list[str], fds: list[int]) -> list[int]:
        """Do what one packet says, and answer; return the descriptors that nobody took."""
        verb, *rest = fields
        if verb == "hello":
            if abs(int(rest[0]) - VERSION) > 1:
                raise ValueError(f"version {rest[0]} of the packets, and this keeper speaks {VERSION}")
            connection.owner = rest[1]
            self.answer(connection, f"hello\0{VERSION}\0{os.getpid()}".encode())
            return fds
        if connection.owner is None:
            raise ValueError("who are you?")
        if verb == "hold":
            self.holdings.hold(connection.owner, rest[0], fds, [int(each) for each in rest[1:]])
            fds = []
            self.answer(connection, b"ok")
        elif verb == "get":
            self.answer(connection, b"fds", self.holdings.fds[connection.owner, rest[0]])
        elif verb in ("names", "reaped", "status"):
            self.answer(connection, page(verb, self.listed(verb, connection.owner), int(rest[0])))
        elif verb == "release":
            self.holdings.drop(connection.owner, rest[0])
            self.answer(connection, b"ok")
        elif verb == "watch":
            connection.watches = True
            self.answer(connection, b"ok")
        else:
            self.command(connection, verb, rest)
        return fds

    def command(self, connection: Connection, verb: str, rest: list[str]) -> None:
        """Do what an engine says of parts."""
        if verb == "part":
            name, outlives, replace, count = rest[:4]
            command, environ = rest[4 : 4 + int(count)], rest[4 + int(count) :]
            leaving = self.parts.want(Part(name, outlives == "1", command, environ), replace == "1")
            self.answer(connection, b"ok\0%d" % leaving)
        elif verb == "stop":
            part = self.parts.by_name.get(rest[0])
            if part is None:
                self.answer(connection, b"ok")
            else:
                part.waiting.append(lambda: self.answer(connection, b"ok"))
                self.parts.stop(part)
        elif verb == "end":
            self.parts.ending = True
            for part in list(self.parts.by_name.values()):
                self.parts.stop(part)
            self.answer(connection, b"ok")
        else:
            raise ValueError(f"no such word: {verb}")

    def listed(self, verb: str, owner: str) -> list[str]:
        """Return what there is of a word, for this owner."""
        if verb == "names":
            return [name for each, name in self.holdings.fds if each == owner]
        if verb == "reaped":
            return [f"{pid} {status} {at}" for each, _, pid, status, at in self.holdings.exits if each == owner]
        return [
            f"{part.name} {part.pid} {part.failures} {self.holdings.count(part.name)}"
            for part in self.parts.by_name.values()
        ]

    def answer(self, connection: Connection, data: bytes, fds: "list[int] | None" = None) -> None:
        """Send one packet; to a caller who doesn't read, none."""
        rights = b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds or ())
        ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)] if rights else []
        try:
            connection.sock.sendmsg([data], ancillary, _socket.MSG_NOSIGNAL)
        except OSError:
            return


def page(verb: str, items: list[str], start: int) -> bytes:
    """Return what of a list fits into a packet from one place on, and the place to go on from."""
    size, end = 0, start
    while end < len(items) and (size := size + len(items[end].encode("utf-8", "surrogateescape")) + 1) < LONGEST - 100:
        end += 1
    following = str(end) if end < len(items) else ""
    return "\0".join([verb, following, *items[start:end]]).encode("utf-8", "surrogateescape")


def numbers(payload: bytes) -> list[int]:
    """Return the descriptors of a control message."""
    return [int.from_bytes(payload[at : at + 4], sys.byteorder) for at in range(0, len(payload) - 3, 4)]


def listen() -> _socket.socket:
    """Listen at `socket` in this folder; whoever holds the lock may replace what was there."""
    listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK)
    remove("socket")
    listener.bind("socket")
    os.chmod("socket", 0o600)
    listener.listen(128)
    return listener


def main() -> None:
    """Keep, until nothing is left."""
    folder, lock, linger = sys.argv[1:4]
    os.set_inheritable(int(lock), False)
    for number in (_signal.SIGHUP, _signal.SIGINT, _signal.SIGTERM, _signal.SIGPIPE):
        _signal.signal(number, _signal.SIG_IGN)
    os.chdir(folder)
    os.umask(0o077)
    os.makedirs("parts", exist_ok=True)
    Keeper(float(linger)).run()
    remove("socket")


if __name__ == "__main__":
    main()
