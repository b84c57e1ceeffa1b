"""Objects, functions, files and context managers that cross a socket, and what becomes of them where a side goes."""

import gc
import io
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import pytest

from moby.contracts.kind import contract, of_thread, repeatable
from moby.contracts.types import Fd
from moby.errors import Conflict, Invalid, Unavailable, Unsupported
from moby.served import streams, wire
from moby.served.calling import perform
from moby.served.client import client
from moby.served.codec import codec_of
from moby.served.methods import Method, interface_of
from moby.served.outgoing import Crew, Outgoing
from moby.testing.serving import answered


class Drawer(Protocol):
    """An object that a desk gives away."""

    @property
    def count(self) -> int: ...

    def put(self, data: bytes | memoryview) -> None: ...

    def fileno(self) -> Fd: ...

    def fail(self) -> None: ...

    def thread(self) -> int: ...

    def close(self) -> None: ...


@contract("served-desk", version=1)
class Desk(Protocol):
    """Gives away, and is lent, whatever crosses."""

    @repeatable
    def drawer(self) -> Drawer: ...

    def once(self) -> Drawer: ...

    def locked(self, fail: bool = False) -> AbstractContextManager[Drawer]: ...

    @of_thread
    def alone(self) -> AbstractContextManager[None]: ...

    def thread(self) -> int: ...

    def holds(self, drawer: Drawer) -> bool: ...

    def call(self, function: Callable[[int, str], object], number: int) -> None: ...

    def ask(self, function: Callable[[], BinaryIO]) -> bytes: ...

    def read(self, file: BinaryIO) -> bytes: ...

    def ignore(self, file: BinaryIO, fail: str = "") -> None: ...

    def open(self, data: bytes) -> BinaryIO: ...

    def numbers(self, until: int) -> Iterator[tuple[int, str]]: ...

    def follow(self, ended: Fd) -> Iterator[bytes]: ...

    def descriptors(self) -> Iterator[Fd]: ...

    def twice(self, data: bytes) -> bytes: ...


class Wooden:
    def __init__(self) -> None:
        self.data = b""
        self.closed = 0
        self.ready = os.eventfd(1, os.EFD_CLOEXEC)
        self.close_seen = threading.Event()

    @property
    def count(self) -> int:
        return len(self.data)

    def put(self, data: bytes | memoryview) -> None:
        self.data += bytes(data)

    def fileno(self) -> int:
        return os.dup(self.ready)

    def fail(self) -> None:
        raise Conflict("it sticks")

    def thread(self) -> int:
        return threading.get_ident()

    def close(self) -> None:
        if not self.closed:
            os.close(self.ready)
        self.closed += 1
        self.close_seen.set()


class Oak:
    def __init__(self) -> None:
        self.drawers: list[Wooden] = []
        self.left: list[Any] = []
        self.out = threading.Event()

    def drawer(self) -> Drawer:
        self.drawers.append(Wooden())
        return self.drawers[-1]

    once = drawer

    @contextmanager
    def locked(self, fail: bool = False) -> Iterator[Drawer]:
        if fail:
            raise Conflict("it is locked")
        try:
            yield self.drawer()
        except BaseException as error:
            self.left.append(error)
            raise
        else:
            self.left.append(None)
        finally:
            self.drawers[-1].close()
            self.out.set()

    @contextmanager
    def alone(self) -> Iterator[None]:
        self.left.append(self.thread())
        yield
        self.left.append(self.thread())

    def thread(self) -> int:
        return threading.get_ident()

    def holds(self, drawer: Drawer) -> bool:
        return drawer in self.drawers

    def call(self, function: Callable[[int, str], object], number: int) -> None:
        for each in range(number):
            function(each, "x")

    def ask(self, function: Callable[[], BinaryIO]) -> bytes:
        with function() as one, function() as two:
            return one.read() + two.read(1)

    def read(self, file: BinaryIO) -> bytes:
        return file.read()

    def ignore(self, file: BinaryIO, fail: str = "") -> None:
        if fail:
            raise Conflict(fail)

    def open(self, data: bytes) -> BinaryIO:
        return io.BytesIO(data)

    def descriptors(self) -> Iterator[Fd]:
        yield 0

    def twice(self, data: bytes) -> bytes:
        return data * 2

    def numbers(self, until: int) -> Iterator[tuple[int, str]]:
        for each in range(until):
            yield each, "x"
        raise Conflict("no more")

    def follow(self, ended: Fd) -> Iterator[bytes]:
        yield b"begun"
        yield os.read(ended, 100)


@pytest.fixture
def oak():
    return Oak()


@pytest.fixture
def desk(oak):
    with answered(Desk, oak) as desk:
        yield desk


def test_an_object_is_called_and_closed(desk, oak):
    drawer = desk.drawer()
    drawer.put(b"abc")
    drawer.put(memoryview(b"de"))
    assert (drawer.count, oak.drawers[0].data) == (5, b"abcde")
    with pytest.raises(Conflict, match="it sticks"):
        drawer.fail()
    assert drawer.fileno() == drawer.fileno() >= 0
    drawer.close()
    drawer.close()
    assert oak.drawers[0].close_seen.wait(30)
    with pytest.raises(Unavailable, match="Drawer: it was closed"):
        drawer.put(b"")


def test_one_that_nobody_has_any_more_is_closed(desk, oak):
    drawer = desk.drawer()
    drawer.put(b"a")
    del drawer
    gc.collect()
    assert oak.drawers[0].close_seen.wait(30)


def test_one_that_comes_home_is_itself(desk):
    drawer = desk.drawer()
    assert desk.holds(drawer)
    drawer.close()


def test_one_that_is_lent_is_called_where_it_is(desk):
    mine = Wooden()
    assert not desk.holds(mine)
    assert not mine.closed, "what is lent is its owner's to close"
    mine.close()


def test_one_of_nobody_is_refused(desk, oak):
    drawer = desk.drawer()
    drawer.put(b"a")
    drawer._remote.name = "another"
    with pytest.raises(Invalid, match="this Drawer isn't of this process, or it was closed"):
        desk.holds(drawer)
    drawer.close()


@pytest.mark.parametrize("data", [1, {"at": 0}, {"at": 7, "id": "x"}, {"at": None, "id": "x"}, {"at": -1}])
def test_what_is_no_object(data):
    with pytest.raises(Invalid, match=r"expected an object|expected a descriptor|isn't of this process"):
        codec_of(Drawer)[1](data, [])


def test_context_managers(desk, oak):
    with desk.locked() as drawer:
        drawer.put(b"a")
    assert oak.left == [None]
    assert oak.drawers[0].closed == 1
    del drawer
    desk.drawer().close()
    assert oak.drawers[1].close_seen.wait(30)
    assert oak.drawers[0].closed == 1, "a context manager's own to close, once"
    with pytest.raises(Conflict, match="mine"), desk.locked():
        raise Conflict("mine")
    assert (type(oak.left[1]), oak.left[1].message) == (Conflict, "mine")
    with pytest.raises(Conflict, match="it is locked"), desk.locked(fail=True):
        pytest.fail("it isn't entered")


def test_one_who_vanishes_in_a_context_leaves_it(desk, oak):
    manager = desk.locked()
    manager.__enter__()
    manager._remote.close()
    assert oak.out.wait(30)
    assert isinstance(oak.left[0], Unavailable)


def test_a_context_of_a_thread(desk, oak):
    """What that thread calls, objects included, is called by the one that has entered; others' calls are not."""
    drawer = desk.drawer()
    outside: list[int] = []
    with desk.alone():
        inside = {desk.thread(), drawer.thread(), *oak.left}
        with desk.alone():
            inside |= {desk.thread(), *oak.left}
        other = threading.Thread(target=lambda: outside.append(desk.thread()))
        other.start()
        other.join()
        inside.add(desk.thread())
    assert len(inside) == 1
    assert len(oak.left) == 4
    assert set(oak.left) == inside
    assert not inside & {*outside, desk.thread(), drawer.thread()}
    drawer.close()


def test_an_object_of_an_ended_process_in_a_context_of_the_next(oak):
    """It is had again before it is named there."""
    with answered(Desk, oak) as first, answered(Desk, oak) as second:
        drawer = first.drawer()
        first._connections._path = second._connections._path
        first._connections._idle.pop()[0].close()
        drawer._remote._sock.shutdown(socket.SHUT_RDWR)
        assert oak.drawers[0].close_seen.wait(30)
        with first.alone():
            drawer.put(b"a")
        assert [each.data for each in oak.drawers] == [b"", b"a"]
        drawer.close()


def test_a_context_of_a_thread_whose_process_ends(oak):
    with answered(Desk, oak) as desk:
        manager = desk.alone()
        manager.__enter__()
    with pytest.raises(Unavailable, match="its process has ended"):
        desk.thread()
    with pytest.raises(Unavailable, match="its process has ended"):
        manager.__exit__(None, None, None)
    with pytest.raises(Unavailable, match="has been stopped"):
        desk.thread()


def test_a_call_of_one_that_is_not_there(desk):
    connections = desk._connections
    method = connections.interface.methods["thread"]
    with pytest.raises(Unavailable, match="what is called isn't there any more"):
        perform("desk", method, (), {}, connections._exchange, on="nobody")


def test_functions(desk):
    got: list[tuple[int, str]] = []
    desk.call(lambda number, text: got.append((number, text)), 3)
    assert got == [(0, "x"), (1, "x"), (2, "x")]


def test_what_a_function_raises_comes_back_as_it_was(desk):
    mine = ZeroDivisionError("mine")

    def function(number: int, text: str) -> None:
        raise mine

    with pytest.raises(ZeroDivisionError) as caught:
        desk.call(function, 1)
    assert caught.value is mine


def test_files(desk):
    data = os.urandom(700_000)
    mine = io.BytesIO(data)
    assert desk.read(mine) == data
    assert not mine.closed
    given: list[io.BytesIO] = []

    def make() -> BinaryIO:
        given.append(io.BytesIO(b"abc"))
        return given[-1]

    assert desk.ask(make) == b"abca"
    with desk.open(data) as file:
        assert file.read(10) == data[:10]
        assert file.read() == data[10:]
    with desk.open(data):
        pass


def test_a_file_that_fails_fails_the_call_that_reads_it(desk):
    class Torn(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        desk.read(io.BufferedReader(Torn()))


def test_a_file_that_nobody_reads_is_left(desk):
    """And by no thread: the caller may go on reading it."""
    desk.ignore(io.BytesIO())
    before = threading.active_count()
    mine = io.BytesIO(b"x" * 10_000_000)
    desk.ignore(mine)
    with pytest.raises(Conflict, match="not this"):
        desk.ignore(mine, "not this")
    assert threading.active_count() == before


def test_values_one_after_the_other(desk):
    numbers = desk.numbers(2)
    assert [next(numbers), next(numbers)] == [(0, "x"), (1, "x")]
    with pytest.raises(Conflict, match="no more"):
        next(numbers)
    assert next(numbers, None) is None
    desk.numbers(5).close()


def test_many_bytes_come_beside_the_message(desk):
    """More than a message holds, either way; and nothing of them stays open."""
    desk.twice(b"")
    before = open_descriptors()
    data = os.urandom(1_000_000) * 20
    assert desk.twice(data) == data * 2
    assert open_descriptors() == before


def test_streams_have_no_descriptors(desk):
    with pytest.raises(Invalid, match="descriptors don't come along in a stream"):
        next(desk.descriptors())


def test_a_descriptor_is_lent_as_long_as_the_stream(desk):
    reads, writes = os.pipe()
    following = desk.follow(reads)
    assert next(following) == b"begun"
    os.write(writes, b"ended")
    assert next(following) == b"ended"
    assert next(following, None) is None
    os.close(reads)
    os.close(writes)


def test_a_stream_that_breaks_off():
    ours, theirs = socket.socketpair()
    theirs.send(b"\0\0\0\7abc")
    theirs.close()
    with pytest.raises(Unavailable, match="ended meanwhile"):
        streams.opened(ours.detach()).read()


def test_the_process_ends(oak, tmp_path):
    """An object that may be had again is; others say that they are gone, and closing them is fine."""
    with answered(Desk, oak) as first:
        kept, gone = first.drawer(), first.once()
        kept.put(b"a")
        gone.put(b"a")
        path = first._connections._path
        first._connections._path = tmp_path / "next"
    assert not path.exists()
    with pytest.raises(Unavailable, match="Drawer: its process has ended, and with it what it had given"):
        gone.put(b"b")
    with pytest.raises(Unavailable, match="Drawer: its process has ended"):
        assert gone.count
    gone.close()
    with answered(Desk, oak) as second:
        again = client(Desk, second._connections._path)
        drawer = again.drawer()
        drawer._remote._drop()  # as where the process behind it ended
        drawer.put(b"b")
        assert oak.drawers[-1].data == b"b"
        drawer.close()
        again.close()
    kept.close()


def test_a_copy_of_the_process_has_connections_of_its_own(desk, oak):
    """One that was copied with the process is in use there."""
    desk.drawer().close()
    (kept, _) = desk._connections._idle[0]
    desk._connections._process = -1
    desk.drawer().close()
    assert kept.fileno() < 0, "forgotten, and not closed: its number may be another file's"
    assert len(oak.drawers) == 2


def open_descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


class Odd(Protocol):
    def files(self) -> Iterator[BinaryIO]: ...

    def any(self, function: Callable[..., None]) -> None: ...

    def many(self, function: Callable[[int, int, int], None]) -> None: ...


@pytest.mark.parametrize("name", ["files", "any", "many"])
def test_what_cannot_cross(name):
    method: Method = interface_of(Odd).methods[name]
    with pytest.raises(Unsupported, match=f"{name}: .*can't be passed to another process"):
        assert method.result
        assert method.codecs


def test_a_process_without_threads_gives_nothing_away():
    with pytest.raises(Unsupported, match="a part with a loop of its own"):
        Outgoing(None, results=True).add(lambda sock: None)


def test_what_is_not_sent_is_closed():
    """Of results everything, of arguments what was made for them; and the work behind it isn't begun."""
    done: list[str] = []
    before = open_descriptors()
    for results in (True, False):
        out = Outgoing(Crew(done.append), results=results)
        out.append(os.dup(0))
        lent = out[0]
        out.add(lambda sock: done.append("work"), lambda: done.append("after"))
        out.close()
        if not results:
            os.close(lent)
    assert done == ["after", "after"]
    assert open_descriptors() == before


def test_a_descriptor_is_taken_once():
    fds = [os.dup(0)]
    wire.close_all((wire.take(0, fds),))
    with pytest.raises(Invalid, match="expected a descriptor"):
        wire.take(0, fds)
