"""An object of a contract whose part is in another process.

Each thread that calls has a connection for the time of its call, so that many are under way at once. Where the other
process was restarted, calls that can't have begun, and those that the contract calls repeatable, are made again;
for others Unavailable says that nobody knows whether they were done.
"""

import errno
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from moby.errors import Corrupt, Unavailable
from moby.served import faults, handshake, wire
from moby.served.calling import perform, value_of
from moby.served.methods import Interface, Method, interface_of
from moby.served.pinned import Pinned

__all__ = ["Client", "client"]

PATIENCE_S = 20.0
"""For the other process to be started again."""
_IDLE = 16
_STEP_S = 0.01


def client(
    protocol: type,
    path: Path,
    *,
    name: str = "",
    revive: Callable[[], None] | None = None,
    patience_s: float = PATIENCE_S,
) -> Any:
    """Return an object of a contract that calls the part behind a socket; nothing is connected yet.

    `revive` is called where nobody listens, to have the part started; then that is waited for. `name` is how errors
    call the part. Thread-safe. The object also has what `LIFECYCLE` names, `reach` and `close`.
    """
    interface = interface_of(protocol)
    made = _class_of(interface)()
    made._connections = Client(interface, path, name or interface.kind, revive, patience_s)
    return made


class Client:
    """The connections of one client object."""

    def __init__(
        self, interface: Interface, path: Path, name: str, revive: Callable[[], None] | None, patience_s: float
    ) -> None:
        self.interface = interface
        self._path = path
        self._name = name
        self._revive = revive
        self._patience_s = patience_s
        self._idle: deque[tuple[socket.socket, wire.Reader]] = deque()
        self._closed = False
        self._process = os.getpid()
        self._pinned = Pinned()
        self._attributes: dict[str, Any] = {}

    def call(self, method: Method, args: Sequence[Any], given: Mapping[str, Any]) -> Any:
        """Make a call, as often as it takes where that is harmless."""
        by = self._pinned.by
        if by is None:
            value = perform(self._name, method, args, given, self._exchange)
        else:
            value = perform(self._name, method, args, given, by, on="")
        return self._adopted(value, method, args, given) if method.lives else value

    def attribute(self, name: str) -> Any:
        """Return an attribute of the part, which stays as it was when it was first read."""
        if name in self.interface.apart:
            return True
        if name not in self._attributes:
            data, received = self._exchange(wire.pack({"get": name}), (), True)
            self._attributes[name] = value_of(self._name, self.interface.attribute_codecs[name][1], data, received)
        return self._attributes[name]

    def reach(self, check: Callable[[], None] = lambda: None) -> None:
        """Wait until the part answers; Unavailable where it doesn't in time, or what `check` raises meanwhile."""
        self._keep(*self._connected(time.monotonic() + self._patience_s, check))

    def close(self) -> None:
        """Close the connections; calls that come later raise Unavailable."""
        self._closed = True
        while self._idle:
            self._idle.pop()[0].close()

    def _adopted(self, value: Any, method: Method, args: Sequence[Any], given: Mapping[str, Any]) -> Any:
        """Have an object that may be had again be had of the next process, where the one that gave it has ended."""
        from moby.served.objects import Distant, Entered

        if isinstance(value, Entered) and method.of_thread:
            return value.of_thread(self._pinned)
        if isinstance(value, Distant):
            value._remote.pinned = self._pinned
            if method.repeatable:
                value._remote.renew = lambda: perform(self._name, method, args, given, self._exchange)._remote
        return value

    def _exchange(self, request: bytes, fds: Sequence[int], repeatable: bool) -> tuple[dict[str, Any], list[int]]:
        deadline = time.monotonic() + self._patience_s
        while True:
            sock, reader = self._connected(deadline)
            try:
                wire.send(sock, request, fds)
                data, received = wire.receive(sock, reader)
            except wire.Closed as closed:
                reader.close()
                sock.close()
                if closed.begun and not repeatable:
                    raise Unavailable(
                        f"{self._name}: its process ended during this call, which may have been done or not",
                        hint="look what state it left, and do it again",
                    ) from closed
                if time.monotonic() > deadline:
                    raise self._away(closed) from closed
            except BaseException:
                reader.close()
                sock.close()  # what comes later would be taken for the answer of another call
                raise
            else:
                self._keep(sock, reader)
                if not isinstance(data, dict):
                    wire.close_all(received)
                    raise Corrupt(f"{self._name}: its answer can't be read")
                return data, received

    def _keep(self, sock: socket.socket, reader: wire.Reader) -> None:
        if self._closed or len(self._idle) >= _IDLE or not reader.empty:
            reader.close()
            sock.close()
        else:
            self._idle.append((sock, reader))

    def _connected(
        self, deadline: float, check: Callable[[], None] = lambda: None
    ) -> tuple[socket.socket, wire.Reader]:
        """Return a connection that nobody uses; a new one where there is none."""
        if self._closed:
            raise Unavailable(f"{self._name}: this engine has been stopped")
        if self._process != os.getpid():  # a copy of the process has copies of its connections, which are in use there
            self._process, idle, self._idle = os.getpid(), self._idle, deque()
            for sock, _ in idle:
                sock.detach()  # by now this may be the number of another file
        try:
            return self._idle.pop()
        except IndexError:
            pass
        revived = False
        while True:
            try:
                sock = wire.connect(self._path)
            except OSError as error:
                if error.errno not in (errno.ECONNREFUSED, errno.ENOENT, errno.EAGAIN):
                    raise
                if time.monotonic() > deadline:
                    raise self._away(error) from error
                check()
                if self._revive is not None and not revived:
                    revived = True
                    self._revive()
                time.sleep(_STEP_S)
                continue
            try:
                return sock, self._greeted(sock)
            except wire.Closed as error:
                sock.close()
                if time.monotonic() > deadline:
                    raise self._away(error) from error
                time.sleep(_STEP_S)
            except BaseException:
                sock.close()
                raise

    def _greeted(self, sock: socket.socket) -> wire.Reader:
        reader = wire.Reader()
        sock.settimeout(self._patience_s)
        try:
            wire.send(sock, wire.pack(handshake.greeting(self.interface)))
            said, fds = wire.receive(sock, reader)
        except TimeoutError as error:
            reader.close()
            raise self._away(error) from error
        except BaseException:
            reader.close()
            raise
        sock.settimeout(None)
        wire.close_all(fds)
        if isinstance(said, dict) and "error" in said:
            raise faults.load(said["error"])
        if refusal := handshake.refusal(self.interface, said):
            raise refusal
        return reader

    def _away(self, why: Exception) -> Unavailable:
        return Unavailable(f"{self._name}: its process isn't there: {why}", hint="see its log, or `doctor`")


_classes: dict[Interface, type] = {}


def _class_of(interface: Interface) -> type:
    found = _classes.get(interface)
    if found is None:
        members: dict[str, Any] = {name: _method(each) for name, each in interface.methods.items()}
        members |= {name: _attribute(name) for name in interface.attributes}
        members |= {"close": lambda self: self._connections.close(), "__slots__": ("_connections",)}
        members["reach"] = lambda self, check: self._connections.reach(check)
        members["__doc__"] = f"A {interface.kind} in another process."
        found = _classes[interface] = type(f"{interface.protocol.__name__}Client", (), members)
    return found


def _method(method: Method) -> Callable[..., Any]:
    def call(self: Any, *args: Any, **given: Any) -> Any:
        return self._connections.call(method, args, given)

    call.__name__ = call.__qualname__ = method.name
    return call


def _attribute(name: str) -> property:
    return property(lambda self: self._connections.attribute(name))
