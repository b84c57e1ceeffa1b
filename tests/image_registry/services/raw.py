"""A service that says just the bytes that it is given, which are no HTTP that a library would write."""

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from attrs import field, frozen

_HELLO = 22
"""What a client that tries TLS begins with (RFC 8446, 5.1)."""


@frozen
class Raw:
    """Answers each request with what `say` returns for its head; where that is an iterable, just one."""

    say: Callable[[str], bytes | Iterable[bytes]]
    heads: list[str] = field(factory=list)
    _listener: socket.socket = field(factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _answer(self, client: socket.socket) -> None:
        client.settimeout(20)
        with client, client.makefile("rb") as file:
            try:
                while (head := _head(file)) is not None:
                    self.heads.append(head)
                    said = self.say(head)
                    if isinstance(said, bytes):
                        client.sendall(said)
                        continue
                    for each in said:
                        client.sendall(each)
                    return
            except OSError:
                return


def _head(file) -> str | None:
    lines = []
    while line := file.readline(1 << 16):
        if line[0] == _HELLO:
            return None
        if line == b"\r\n":
            return "".join(lines)
        lines.append(line.decode("latin-1"))
    return None


@contextmanager
def raw(say: Callable[[str], bytes | Iterable[bytes]]) -> Iterator[Raw]:
    """Lend a service that answers so."""
    found = Raw(say)
    thread = threading.Thread(target=found.serve)
    thread.start()
    try:
        yield found
    finally:
        found.stop()
        thread.join()


def answer(status: int, *headers: str, body: bytes = b"", length: str | None = "") -> bytes:
    """Return an answer with its length, or that one, or with None no length at all."""
    told = () if length is None else (f"Content-Length: {length or len(body)}",)
    return "\r\n".join((f"HTTP/1.1 {status} X", *headers, *told, "", "")).encode("latin-1") + body
