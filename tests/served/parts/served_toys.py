"""Parts that are served in tests: a store of texts and descriptors, one that needs it, and one with its own loop."""

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from attrs import field, frozen

from moby.component import Component
from moby.contracts.ambient import Endpoint, Keeper, Place, Request
from moby.contracts.command import Command
from moby.contracts.frontend import Frontend
from moby.contracts.kind import contract, repeatable
from moby.contracts.types import Digest, Exit, Fd
from moby.errors import Conflict, HostUnfit, Invalid, NotFound, Origin, Problem
from moby.hookspecs import hookimpl


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@frozen
class Thing:
    """Everything that a contract's value may hold."""

    name: str
    path: Path = Path("/")
    digest: Digest | None = None
    colour: Colour = Colour.RED
    data: bytes = b""
    numbers: tuple[int, ...] = ()
    pair: tuple[str, float] = ("", 0.0)
    labels: Mapping[str, str] = field(factory=dict)
    by_number: Mapping[int, str] = field(factory=dict)
    names: frozenset[str] = frozenset()
    inner: "Thing | None" = None
    either: int | str = 0
    fd: Fd = -1
    exit: Exit | None = None


@contract("served-shelf", version=2)
class Shelf(Protocol):
    """Keeps things."""

    colour: Colour

    @repeatable
    def echo(self, thing: Thing) -> Thing: ...

    @repeatable
    def pid(self) -> int: ...

    def put(self, name: str, value: Any, *, loud: bool = False) -> int: ...

    @repeatable
    def get(self, name: str) -> Any: ...

    def fail(self, how: str) -> None: ...

    def read(self, fd: Fd) -> bytes: ...

    def pipe(self, data: bytes) -> tuple[Fd, Fd]: ...

    def stream(self, chunks: Sequence[bytes], how: str = "") -> Iterator[bytes]: ...

    def wait(self, seconds: float) -> None: ...

    def until(self, name: str) -> None: ...

    def asked_until(self) -> int: ...

    def hold(self, name: str, fd: Fd) -> None: ...

    @repeatable
    def held(self) -> Mapping[str, int]: ...

    def child(self, name: str, seconds: float) -> int: ...

    @repeatable
    def reaped(self) -> Mapping[int, int]: ...

    def unpassable(self, wanted: Iterator[int]) -> None: ...


@contract("served-reader", version=1, many=True)
class Reader(Protocol):
    """Needs a shelf."""

    def read(self, name: str) -> Any: ...

    def pids(self) -> tuple[int, int]: ...


class Kept:
    colour = Colour.BLUE

    def __init__(self, state: Path, keeper: Keeper | None = None) -> None:
        self.state = state
        self.keeper = keeper
        self.names_asked: list[str] = []

    def echo(self, thing: Thing) -> Thing:
        return thing

    def pid(self) -> int:
        return os.getpid()

    def put(self, name: str, value: Any, *, loud: bool = False) -> int:
        import json

        (self.state / name).write_text(json.dumps(value))
        return len(name) * (2 if loud else 1)

    def get(self, name: str) -> Any:
        import json

        try:
            return json.loads((self.state / name).read_text())
        except FileNotFoundError as error:
            raise NotFound(f"no {name}", hint="put it there") from error

    def fail(self, how: str) -> None:
        if how == "invalid":
            raise Invalid("wrong", problems=(Problem("this", Origin("f", 1, 2), ("b",), ("f",)),), hint="h")
        if how == "os":
            raise PermissionError(13, "Permission denied", "/x")
        if how == "own":
            raise Dented("dented")
        if how == "die":
            os._exit(9)
        raise ValueError("a bug")

    def read(self, fd: Fd) -> bytes:
        return os.read(fd, 100)

    def pipe(self, data: bytes) -> tuple[Fd, Fd]:
        reads, writes = os.pipe()
        os.write(writes, data)
        return reads, writes

    def stream(self, chunks: Sequence[bytes], how: str = "") -> Iterator[bytes]:
        yield from chunks
        if how:
            self.fail(how)

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def until(self, name: str) -> None:
        """Wait until there is something of a name."""
        self.names_asked.append(name)
        while not (self.state / name).exists():
            time.sleep(0.001)

    def asked_until(self) -> int:
        """Return how many calls of `until` have begun."""
        return len(self.names_asked)

    def hold(self, name: str, fd: Fd) -> None:
        assert self.keeper is not None
        self.keeper.hold(name, [fd])

    def held(self) -> Mapping[str, int]:
        assert self.keeper is not None
        found = self.keeper.held()
        for fds in found.values():
            for fd in fds:
                os.close(fd)
        return {name: len(fds) for name, fds in found.items()}

    def child(self, name: str, seconds: float) -> int:
        """Start a child that ends with 7 after a while, and have it noted."""
        assert self.keeper is not None
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", f"sleep {seconds}; exit 7"], {})
        self.keeper.hold(name, [], [pid])
        return pid

    def reaped(self) -> Mapping[int, int]:
        assert self.keeper is not None
        return {each.pid: os.waitstatus_to_exitcode(each.status) for each in self.keeper.reaped()}

    def unpassable(self, wanted: Iterator[int]) -> None:
        return None

    def health(self) -> str:
        return f"well in {os.getpid()}"

    def wind_down(self, timeout_s: float | None) -> None:
        (self.state / "ended").write_text(str(timeout_s), "ascii")

    def reclaim(self) -> None:
        (self.state / "reclaimed").touch()


class Dented(Conflict):
    """A part's own class of error."""


class Looping(Kept):
    """Answers `wait` and `until` when their time has come, and meanwhile others."""

    def serve(self, endpoint: Endpoint) -> None:
        poll = select.epoll()
        poll.register(endpoint.fileno(), select.EPOLLIN)
        waiting: list[tuple[Callable[[], bool], Request]] = []
        while not endpoint.ending:
            poll.poll(0.01 if waiting else -1)
            for request in endpoint.requests():
                if request.method == "wait":
                    at = time.monotonic() + request.arguments["seconds"]
                    waiting.append((lambda at=at: time.monotonic() >= at, request))  # type: ignore[misc]
                    continue
                if request.method == "until":
                    self.names_asked.append(request.arguments["name"])
                    waiting.append(((self.state / request.arguments["name"]).exists, request))
                    continue
                try:
                    request.answer(getattr(self, request.method)(**request.arguments))
                except Exception as error:
                    request.fail(error)
            for entry in [each for each in waiting if each[0]()]:
                waiting.remove(entry)
                entry[1].answer()
        poll.close()


class Reading:
    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

    def read(self, name: str) -> Any:
        return self.shelf.get(name)

    def pids(self) -> tuple[int, int]:
        return os.getpid(), self.shelf.pid()


class Say:
    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

    def run(self, arguments: Sequence[str]) -> int:
        print(os.getpid(), self.shelf.pid())
        return 0


class Front:
    """Tells each client, by lines, who answers: its own process and the shelf's."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.listeners: list[socket.socket] = []
        self.paths: list[str] = []
        self.accepting: list[threading.Thread] = []
        self.threads: list[threading.Thread] = []

    def __enter__(self) -> "Front":
        return self

    def __exit__(self, *error: object) -> None:
        for path in self.paths:
            Path(path).unlink()

    def check(self, addresses: Sequence[str] = ()) -> None:
        """Refuse addresses that are none."""
        for address in addresses:
            if address.partition("://")[0] not in ("fd", "unix"):
                raise Invalid(f"{address}: no address")

    def listen(self, addresses: Sequence[str] = ()) -> tuple[str, ...]:
        for address in addresses:
            scheme, _, rest = address.partition("://")
            if scheme == "fd":
                listener = socket.socket(fileno=int(rest))
            elif scheme == "unix":
                listener = socket.socket(socket.AF_UNIX)
                listener.bind(f"{rest}.new")
                listener.listen()
                Path(f"{rest}.new").rename(rest)  # who finds it there may connect
                self.paths.append(rest)
            else:
                raise Invalid(f"{address}: no address")
            listener.settimeout(None)
            self.listeners.append(listener)
            self.accepting.append(threading.Thread(target=self._accept, args=(listener,), daemon=True))
            self.accepting[-1].start()
        return tuple(addresses)

    def drain(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        for listener in self.listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
        for accepting in self.accepting:
            accepting.join()
        for thread in self.threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(each.is_alive() for each in self.threads)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                thread = threading.Thread(target=self._answer, args=(client,), daemon=True)
                thread.start()
                self.threads.append(thread)

    def _answer(self, client: socket.socket) -> None:
        with client, client.makefile("rw") as lines:
            for line in lines:
                if line.startswith("hold"):
                    self.shelf.hold("x", client.fileno())
                if line.startswith("wait"):
                    lines.write("begun\n")
                    lines.flush()
                    time.sleep(float(line.split()[1]))
                lines.write(f"{os.getpid()} {self.shelf.pid()} {__file__}\n")
                lines.flush()


def make_front(*, shelf: Shelf) -> Frontend:
    """A front end that tells who answers."""
    return Front(shelf)


@frozen
class Config:
    fail: str = ""
    """Why it fails to start."""


class Inner:
    """What lives with a shelf."""

    def __init__(self, state: Path) -> None:
        self.state = state

    def read(self, name: str) -> Any:
        return os.getpid()

    def pids(self) -> tuple[int, int]:
        return os.getpid(), 0

    def reclaim(self) -> None:
        (self.state / "reclaimed").touch()


def make_inner(*, place: Place) -> Reader:
    """A part that lives with a shelf."""
    return Inner(place.state)


def make_with_inner(*, place: Place, keeper: Keeper, inner: Reader) -> Shelf:
    """A shelf with a loop, which needs another part."""
    return Looping(place.state, keeper)


def make_shelf(config: Config, *, place: Place, keeper: Keeper) -> Shelf:
    """A shelf with threads."""
    if config.fail:
        raise HostUnfit(config.fail, hint="do something")
    return Kept(place.state, keeper)


def make_looping(*, place: Place, keeper: Keeper) -> Shelf:
    """A shelf with a loop."""
    return Looping(place.state, keeper)


def make_reader(*, shelf: Shelf) -> Reader:
    """A reader of a shelf."""
    return Reading(shelf)


def make_say(*, shelf: Shelf) -> Command:
    """Prints who answers."""
    return Say(shelf)


@hookimpl
def moby_components() -> Iterable[Component]:
    return [
        Component(name="threads", factory=make_shelf, served="outlives"),
        Component(name="loop", factory=make_looping, served="outlives"),
        Component(name="inner", factory=make_inner),
        Component(name="with-inner", factory=make_with_inner, served="outlives"),
        Component(name="plain", factory=make_reader),
        Component(name="front", factory=make_front),
        Component(name="say", factory=make_say),
    ]
