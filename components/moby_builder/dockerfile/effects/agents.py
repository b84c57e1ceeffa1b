"""ssh agents for RUN: a socket inside, whose every connection is one to the client's agent."""

import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from moby.errors import MobyError

__all__ = ["Agent"]

_CHUNK = 64 << 10
_MOST_CONNECTIONS = 32
"""At the same time; who connects besides waits, so that a step can't take all of an engine's threads."""


class Agent:
    """Serves a socket at `path` from entering to leaving it; `connect` returns a descriptor of a new connection."""

    def __init__(self, path: Path, connect: Callable[[], int]) -> None:
        self._path = path
        self._connect = connect
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._thread = threading.Thread(target=self._accept, name="ssh-agent", daemon=True)
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        self._serving = 0
        self._over = False

    def __enter__(self) -> "Agent":
        self._listener.bind(str(self._path))
        self._listener.listen(16)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        with self._changed:
            self._over = True
            for each in self._open:
                _hang_up(each)
            self._changed.notify_all()
        self._thread.join()
        with self._changed:
            self._changed.wait_for(lambda: not self._serving)
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while self._begin():
            try:
                inside, _ = self._listener.accept()
            except OSError:
                self._end()
                return
            threading.Thread(target=self._serve, args=(inside,), name="ssh-agent", daemon=True).start()

    def _begin(self) -> bool:
        """Wait until one more connection may be served; False where none is any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._over or self._serving < _MOST_CONNECTIONS)
            self._serving += not self._over
            return not self._over

    def _end(self) -> None:
        with self._changed:
            self._serving -= 1
            self._changed.notify_all()

    def _serve(self, inside: socket.socket) -> None:
        try:
            # The program inside sees it where nobody answers.
            with (
                self._known(inside), suppress(MobyError, OSError),
                self._known(socket.socket(fileno=self._connect())) as outside,
            ):  # fmt: skip
                _pump(inside, outside)
        finally:
            self._end()

    @contextmanager
    def _known(self, connection: socket.socket) -> Iterator[socket.socket]:
        """Have a connection hung up at the end of all, and closed at that of the block."""
        with connection:
            with self._changed:
                self._open.add(connection)
                if self._over:
                    _hang_up(connection)
            try:
                yield connection
            finally:
                with self._changed:
                    self._open.discard(connection)


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


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
