"""Objects with methods that cross, as what they are: a socket, by which the one that has it calls them.

What is given away lives until its socket is closed, or its process ends. What comes as an argument is lent for the
call, or for as long as what the call returned. An object that comes home, as an argument of a later call, is itself.
"""

import contextlib
import os
import secrets
import socket
import threading
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from moby.errors import Corrupt, Invalid, Unavailable, Unsupported
from moby.served import faults, wire
from moby.served.calling import perform, value_of
from moby.served.exchange import Side, at_home, converse
from moby.served.methods import Interface, Method, interface_of
from moby.served.outgoing import Outgoing
from moby.served.pinned import Pinned

__all__ = ["Distant", "Entered", "Remote", "function_codec", "managed_codec", "object_codec"]

Codec = tuple[Callable[[Any, Outgoing], Any], Callable[[Any, list[int]], Any]]
_GONE = "its process has ended, and with it what it had given"


class Remote:
    """The calling end of an object's socket. Thread-safe: calls take turns."""

    def __init__(self, interface: Interface, fd: int, name: str) -> None:
        self.name = name
        self.renew: Callable[[], Remote] | None = None
        """Gets the same object again of a process that was started again, where it may be had again."""
        self.pinned: Pinned | None = None
        """Of the part that it is an object of: which thread's calls go by another socket."""
        self._interface = interface
        self._sock: socket.socket | None = socket.socket(fileno=fd)
        self._reader = wire.Reader()
        self._lock = threading.RLock()
        self._closed = False
        self._fileno = -1

    def call(self, method: Method, args: Sequence[Any], given: Mapping[str, Any]) -> Any:
        """Make a call; Unavailable where the object's process has ended."""
        if self.pinned is not None and (by := self.pinned.by) is not None:
            with self._lock:
                if self._has_ended():  # it isn't asked itself, which would tell
                    self._drop()
                self._connected()
            return perform(self._interface.kind, method, args, given, by, on=self.name)
        with self._lock:
            return perform(self._interface.kind, method, args, given, self.exchange)

    def attribute(self, name: str) -> Any:
        """Return an attribute as it is now."""
        with self._lock:
            data, fds = self.exchange(wire.pack({"get": name}), (), True)
            return value_of(self._interface.kind, self._interface.attribute_codecs[name][1], data, fds)

    def fileno(self, method: Method) -> int:
        """Return the descriptor that an object has, the same one each time; it is closed with it."""
        with self._lock:
            if self._fileno < 0:
                self._fileno = self.call(method, (), {})
            return self._fileno

    def finish(self, method: Method) -> None:
        """Close the object; one whose process has ended is closed."""
        with self._lock:
            if self._closed:
                return
            try:
                with contextlib.suppress(Unavailable):
                    self.call(method, (), {})
            finally:
                self.close()

    def close(self) -> None:
        """Hang up; twice is fine."""
        with self._lock:
            self._closed = True
            self._drop()
            if self._fileno >= 0:
                os.close(self._fileno)
                self._fileno = -1

    def __del__(self) -> None:
        if hasattr(self, "_closed"):
            self.close()

    def _drop(self) -> None:
        if self._sock is not None:
            self._reader.close()
            self._sock.close()
            self._sock = None

    def exchange(self, request: bytes, fds: Sequence[int], repeatable: bool) -> tuple[dict[str, Any], list[int]]:
        """Send a request, again where that is harmless, and return the answer."""
        for last in (False, True):
            sock = self._connected()
            try:
                wire.send(sock, request, fds)
                data, received = wire.receive(sock, self._reader)
            except wire.Closed as closed:
                self._drop()
                if last or self.renew is None or (closed.begun and not repeatable):
                    raise Unavailable(
                        f"{self._interface.kind}: {_GONE}", hint="look what is there, and begin again"
                    ) from closed
            except BaseException:
                self._drop()  # what comes later would be taken for the answer of another call
                raise
            else:
                if not isinstance(data, dict):
                    wire.close_all(received)
                    raise Corrupt(f"{self._interface.kind}: its answer can't be read")
                return data, received
        raise AssertionError("not reached")

    def _has_ended(self) -> bool:
        """Whether the other end of its socket is closed."""
        if self._sock is None:
            return False
        try:
            return not self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except ConnectionError:
            return True

    def _connected(self) -> socket.socket:
        if self._closed:
            raise Unavailable(f"{self._interface.kind}: it was closed")
        if self._sock is not None:
            return self._sock
        if self.renew is None:
            raise Unavailable(f"{self._interface.kind}: {_GONE}")
        fresh = self.renew()
        self.name, sock, self._reader = fresh.name, fresh._connected(), fresh._reader
        self._sock, fresh._sock = sock, None
        return sock


class Distant:
    """What every object is that stands for one of another process."""

    __slots__ = ("_remote",)

    def __init__(self, remote: Remote) -> None:
        self._remote = remote


def remote_of(value: object) -> Remote | None:
    """Return the calling end of an object that stands for another process's; None for any other."""
    return value._remote if isinstance(value, Distant) else None


def object_codec(hint: type) -> Codec:
    """Return how objects of a Protocol are carried."""
    interface = interface_of(hint)

    def encode(value: Any, out: Outgoing) -> Any:
        if (remote := remote_of(value)) is not None:
            return {"at": -1, "id": remote.name}
        return _given(interface, value, out)

    def decode(data: Any, fds: list[int]) -> Any:
        if isinstance(data, dict) and data.get("at") == -1:
            found = at_home.get(str(data.get("id")))
            if found is None or found.interface is not interface:
                raise Invalid(f"this {interface.kind} isn't of this process, or it was closed")
            return found.part
        return _class_of(interface)(_received(interface, data, fds))

    return encode, decode


def function_codec(hint: Any) -> Codec:
    """Return how functions are carried, which are called by position."""
    parameters, result = typing.get_args(hint)
    if parameters is ... or len(parameters) >= len(_TEMPLATES):
        raise Unsupported(f"{hint} can't be passed to another process")
    call = types.FunctionType(_TEMPLATES[len(parameters)].__code__, {}, "call")
    result = None if result is object else result
    call.__annotations__ = {**dict(zip("abc", parameters, strict=False)), "return": result}
    interface = Interface(type("Function", (), {"call": call}))
    method = interface.methods["call"]

    def decode(data: Any, fds: list[int]) -> Any:
        remote = _received(interface, data, fds)
        return lambda *args: remote.call(method, args, {})

    return lambda value, out: _given(interface, _Function(value), out), decode


def managed_codec(hint: Any) -> Codec:
    """Return how context managers are carried; an error that leaves one goes with it."""

    def enter(self: Any) -> Any: ...

    def leave(self: Any, error: Any) -> Any: ...

    enter.__annotations__ = {"return": typing.get_args(hint)[0]}
    leave.__annotations__ = {"error": Any, "return": bool}
    interface = Interface(type("ContextManager", (), {"enter": enter, "leave": leave}))
    return (
        lambda value, out: _given(interface, _Managed(value), out),
        lambda data, fds: Entered(interface, _received(interface, data, fds)),
    )


def _none(self: Any) -> Any: ...
def _one(self: Any, a: Any) -> Any: ...
def _two(self: Any, a: Any, b: Any) -> Any: ...


_TEMPLATES = (_none, _one, _two)


class _Function:
    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def call(self, **given: Any) -> Any:
        return self._function(*(given[name] for name in sorted(given)))


class _Managed:
    """A context manager on its own side; it is left when the other side is gone, and closes what it lent itself."""

    lends = True

    def __init__(self, manager: AbstractContextManager[Any]) -> None:
        self._manager = manager
        self._inside = False

    def enter(self) -> Any:
        found = self._manager.__enter__()
        self._inside = True
        return found

    def leave(self, error: Any) -> bool:
        self._inside = False
        if error is None:
            self._manager.__exit__(None, None, None)
            return False
        raised = faults.load(error)
        return bool(self._manager.__exit__(type(raised), raised, raised.__traceback__))

    def close(self) -> None:
        if self._inside:
            self.leave(faults.dump(Unavailable("the process that was in it has ended")))


class Entered(AbstractContextManager[Any]):
    """A context manager that is in another process."""

    def __init__(self, interface: Interface, remote: Remote) -> None:
        self._methods = interface.methods
        self._remote = remote
        self._holds = False

    def of_thread(self, pinned: Pinned) -> "Entered":
        """Have it hold for the thread that is in it; one inside another is in the thread of that one."""
        self._remote.pinned = pinned
        return self

    def __enter__(self) -> Any:
        found = self._remote.call(self._methods["enter"], (), {})
        pinned = self._remote.pinned
        if pinned is not None and pinned.by is None:
            pinned.by = self._remote.exchange
            self._holds = True
        return found

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if self._holds and self._remote.pinned is not None:
            self._remote.pinned.by = None
        try:
            return bool(self._remote.call(self._methods["leave"], (faults.dump(error) if error else None,), {}))
        finally:
            self._remote.close()


def _given(interface: Interface, value: Any, out: Outgoing) -> dict[str, Any]:
    """Give an object away: it answers at a socket until that is closed, and is closed then unless it was lent."""
    name, given = secrets.token_hex(8), out.results and not out.lends
    side = Side(interface, value, out.crew) if out.crew is not None else None

    def after() -> None:
        at_home.pop(name, None)
        close = getattr(value, "close", None)
        if given and close is not None:
            with contextlib.suppress(Exception):
                close()

    place = out.add(lambda sock: converse(sock, at_home[name]), after)
    assert side is not None  # where there is no crew, nothing can be added
    at_home[name] = side
    return {"at": place, "id": name}


def _received(interface: Interface, data: Any, fds: list[int]) -> Remote:
    if not isinstance(data, dict) or not isinstance(name := data.get("id"), str):
        raise Invalid(f"a message of another process: expected an object, got {str(data)[:40]!r}")
    return Remote(interface, wire.take(data.get("at"), fds), name)


_classes: dict[Interface, type] = {}


def _class_of(interface: Interface) -> type:
    found = _classes.get(interface)
    if found is None:
        members: dict[str, Any] = {name: _member(each) for name, each in interface.methods.items()}
        members |= {name: _attribute(name) for name in interface.attributes}
        members |= {"__slots__": (), "__doc__": f"A {interface.kind} in another process."}
        found = _classes[interface] = type(f"Distant{interface.kind}", (Distant,), members)
    return found


def _member(method: Method) -> Callable[..., Any]:
    def call(self: Any, *args: Any, **given: Any) -> Any:
        return self._remote.call(method, args, given)

    def fileno(self: Any) -> int:
        return int(self._remote.fileno(method))

    def close(self: Any) -> None:
        self._remote.finish(method)

    made: Callable[..., Any] = {"fileno": fileno, "close": close}.get(method.name, call)
    made.__name__ = made.__qualname__ = method.name
    return made


def _attribute(name: str) -> property:
    return property(lambda self: self._remote.attribute(name))
