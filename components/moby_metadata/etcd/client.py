"""Calls of gRPC to etcd 3.5, by connections that are kept for the next call."""

import socket
import threading
import time
from collections.abc import Sequence
from typing import NoReturn, TypeVar
from urllib.parse import urlsplit

from moby.errors import HostUnfit, Invalid, Unavailable
from moby.grpc import client as grpc
from moby.grpc.client import Code, Failed, Untaken
from moby.grpc.frames import ProtocolError
from moby.grpc.messages import decode, encode

__all__ = ["Client"]

M = TypeVar("M")
_NO_SPACE = 8
"""The code by which a member refuses writes once its database is full (RESOURCE_EXHAUSTED)."""


class Client:
    """Asks one member after another, the one that answered last first. Thread-safe."""

    def __init__(self, endpoints: Sequence[str], timeout_s: float) -> None:
        self._addresses = [_address(each) for each in endpoints]
        if not self._addresses:
            raise Invalid("metadata/etcd: there is no endpoint", hint="write `endpoints: [http://HOST:2379]`")
        self._timeout_s = timeout_s
        self._idle: list[tuple[int, _Link]] = []
        self._lock = threading.Lock()
        self._first = 0

    def ask(self, method: str, request: object, kind: type[M], *, repeatable: bool = False) -> M:
        """Call a method, as `KV/Range`; Unavailable where no member answers.

        Of a call that isn't `repeatable` and whose answer is lost nobody can say whether it was made.
        """
        message, first = encode(request), self._first
        problem: Exception | None = None
        for number in range(len(self._addresses) + 1):
            at = (first + number) % len(self._addresses)
            link = self._link(at)
            try:
                link.reach()
            except OSError as error:
                problem = error
                continue
            try:
                found = decode(kind, link.call(method, message))
            except Failed as failed:
                self._keep(at, link)
                if failed.code != Code.UNAVAILABLE:
                    _refuse(failed)
                self._first, problem = at + 1, failed  # one without a leader, as another may have
                if repeatable:
                    continue
                break
            except (OSError, ProtocolError, Invalid) as error:
                link.close()
                problem = error
                if repeatable or isinstance(error, Untaken):
                    continue
                break
            self._keep(at, link)
            return found
        if isinstance(problem, Failed):
            _refuse(problem)
        names = ", ".join(f"{host}:{port}" for host, port in self._addresses)
        raise Unavailable(f"no etcd answers at {names}: {problem}", hint="see whether its members run") from problem

    def close(self) -> None:
        """Close all connections that no call is using."""
        with self._lock:
            for _, each in self._idle:
                each.close()
            self._idle.clear()

    def _keep(self, at: int, link: "_Link") -> None:
        """Have a connection be used by the next call."""
        self._first = at
        with self._lock:
            self._idle.append((at, link))

    def _link(self, at: int) -> "_Link":
        """Return a connection to a member that nobody uses, perhaps one that is still to be made."""
        with self._lock:
            for number, (whose, idle) in enumerate(self._idle):
                if whose == at:
                    del self._idle[number]
                    return idle
        return _Link(*self._addresses[at], self._timeout_s)


class _Link(grpc.Client):
    """A connection to a member, for one call at a time; one that lay idle, and was closed meanwhile, is made anew."""

    most_bytes = 1 << 31

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        super().__init__(f"{host}:{port}", "", patience_s=0)
        self._member = (host, port)
        self._timeout_s = timeout_s

    def reach(self) -> None:
        """Connect; OSError where nobody listens."""
        self._connected()

    def call(self, method: str, message: bytes) -> bytes:
        """Send a message, and return the one that comes; errors as `Client.ask` tells them apart."""
        return self._exchange(self._connected(), method, message, time.monotonic() + self._timeout_s)

    def _dial(self) -> socket.socket:
        sock = socket.create_connection(self._member, self._timeout_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def _head(self, method: str) -> tuple[tuple[str, str], ...]:
        return (
            (":method", "POST"), (":scheme", "http"), (":path", f"/etcdserverpb.{method}"),
            (":authority", self.address), ("te", "trailers"), ("content-type", "application/grpc"),
        )  # fmt: skip


def _address(endpoint: str) -> tuple[str, int]:
    parts = urlsplit(endpoint)
    if parts.scheme != "http" or not parts.hostname or not parts.port:
        raise Invalid(f"metadata/etcd: {endpoint!r} is no endpoint", hint="write http://HOST:PORT")
    return parts.hostname, parts.port


def _refuse(failed: Failed) -> NoReturn:
    if failed.code == _NO_SPACE:
        raise HostUnfit(
            f"etcd takes no more: {failed.message}", hint="compact and defragment it, or raise its quota"
        ) from failed
    raise Unavailable(f"etcd refuses: {failed.message}", hint="see the log of its members") from failed
