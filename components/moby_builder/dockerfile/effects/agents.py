"""ssh agents for RUN: a socket inside, whose every connection is one to the client's agent."""

import selectors
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from moby.errors import MobyError

__all__ = ["Agent"]

_CHUNK = 64 << 10


class Agent:
    """Serves a socket at `path` from entering to leaving it; `connect` returns a descriptor of a new connection."""

    def __init__(self, path: Path, connect: Callable[[], int]) -> None:
        self._path = path
        self._connect = connect
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> "Agent":
        self._listener.bind(str(self._path))
        self._listener.listen(16)
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        with self._lock:
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _start(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name="ssh-agent", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                inside, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(inside)
            self._start(lambda inside=inside: self._serve(inside))  # type: ignore[misc]

    def _serve(self, inside: socket.socket) -> None:
        with inside:
            try:
                outside = socket.socket(fileno=self._connect())
            except (MobyError, OSError):
                return  # the program inside sees that nobody answers
            with outside:
                with self._lock:
                    self._open.add(outside)
                _pump(inside, outside)
                with self._lock:
                    self._open -= {inside, outside}


def _pump(one: socket.socket, other: socket.socket) -> None:
    """Pass bytes on in both directions until both have ended."""
    with selectors.DefaultSelector() as selector:
        selector.register(one, selectors.EVENT_READ, other)
        selector.register(other, selectors.EVENT_READ, one)
        while selector.get_map():
            for key, _ in selector.select():
                source, target = key.fileobj, key.data
                assert isinstance(source, socket.socket)
                try:
                    data = source.recv(_CHUNK)
                    if data:
                        target.sendall(data)
                        continue
                    target.shutdown(socket.SHUT_WR)
                except OSError:
                    return
                selector.unregister(source)
