"""Objects, functions, files and context managers that cross a socket, and what becomes of them where a side goes."""

import gc
import io
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import pytest

from moby.contracts.kind import contract, of_thread, repeatable
from moby.contracts.types import Fd
from moby.errors import Conflict, Corrupt, Invalid, Unavailable, Unsupported
from moby.served import handshake, streams, wire
from moby.served.calling import perform
from moby.served.client import client
from moby.served.codec import LARGE, codec_of
from moby.served.methods import Method, interface_of
from moby.served.objects import Remote, _class_of
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

    @repeatable
    def measure(self, data: bytes) -> int: ...


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

    def measure(self, data: bytes) -> int:
        return len(data)

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
    assert oak.drawers[0].close_seen.wait(60)
    with pytest.raises(Unavailable, match="Drawer: it was closed"):
        drawer.put(b"")


def test_one_that_nobody_has_any_more_is_closed(desk, oak):
    drawer = desk.drawer()
    drawer.put(b"a")
    del drawer
    gc.collect()
    assert oak.drawers[0].close_seen.wait(60)


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


def test_one_of_another_kind_is_refused(desk):
    drawer, manager = desk.drawer(), desk.locked()
    drawer._remote.name = manager._remote.name
    with pytest.raises(Invalid, match="this Drawer isn't of this process"):
        desk.holds(drawer)
    with manager:
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
    assert oak.drawers[1].close_seen.wait(60)
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
    assert oak.out.wait(60)
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
        assert oak.drawers[0].close_seen.wait(60)
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
    before = {*threading.enumerate()}
    mine = io.BytesIO(b"x" * 10_000_000)
    desk.ignore(mine)
    with pytest.raises(Conflict, match="not this"):
        desk.ignore(mine, "not this")
    assert not {*threading.enumerate()} - before


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
    desk.twice(b"")  # by when the answer before is over there, too
    assert open_descriptors() <= before


def test_bytes_of_a_call_that_is_made_again(tmp_path):
    """Come whole to the next process, though the one before had read them."""
    data, got = os.urandom(LARGE + 1), list[int]()
    interface = interface_of(Desk)

    def answer(listener: socket.socket) -> None:
        for is_last in (False, True):
            connection, reader = listener.accept()[0], wire.Reader()
            with connection:
                wire.receive(connection, reader)
                wire.send(connection, wire.pack(handshake.greeting(interface)))
                message, fds = wire.receive(connection, reader)
                got.append(len(interface.methods["measure"].decode(message["with"], fds)["data"]))
                if is_last:
                    wire.send(connection, wire.pack({"value": got[-1]}))

    with wire.listen(tmp_path / "socket") as listener:
        listener.settimeout(60)
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        again = client(Desk, tmp_path / "socket")
        assert again.measure(data) == len(data)
        again.close()
        thread.join()
    assert got == [len(data)] * 2


def test_what_may_be_read_beside_a_message(monkeypatch):
    """So many bytes, to the end; and it is closed."""
    monkeypatch.setattr("moby.served.codec.MOST", 10)
    decode, before = codec_of(bytes)[1], open_descriptors()
    for size in (10, 11):
        reads, writes = os.pipe()
        os.write(writes, b"x" * size)
        os.close(writes)
        if size == 10:
            assert decode(0, [reads]) == b"x" * 10
        else:
            with pytest.raises(Invalid, match="more than 10 bytes"):
                decode(0, [reads])
    with pytest.raises(IsADirectoryError):
        decode(0, [os.open("/", os.O_RDONLY)])
    assert open_descriptors() <= before


ANSWERS = [({"value": 3}, None), ({"value": "x"}, Invalid), ({"error": {"class": "Conflict"}}, Conflict), ([], Corrupt)]


def answered_by(sock: socket.socket, *, is_part: bool) -> Any:
    """Return a desk or a drawer that is called by this socket."""
    if not is_part:
        return _class_of(interface_of(Drawer))(Remote(interface_of(Drawer), sock.detach(), "x"))
    desk = client(Desk, Path("nowhere"))
    desk._connections._idle.append((sock, wire.Reader()))
    return desk


def let_go(thing: Any) -> None:
    (thing._connections if hasattr(thing, "_connections") else thing._remote).close()


@pytest.mark.parametrize("is_part", [False, True])
@pytest.mark.parametrize(("answer", "error"), ANSWERS)
def test_descriptors_that_an_answer_has_for_nothing_are_closed(answer, error, is_part):
    before = open_descriptors()
    ours, theirs = socket.socketpair()
    with theirs:
        wire.send(theirs, wire.pack(answer, [0, 0]), [0, 0])
        thing = answered_by(ours, is_part=is_part)
        with pytest.raises(error) if error else nullcontext():
            assert thing.thread() == 3
        let_go(thing)
    assert open_descriptors() <= before


def test_one_that_an_answer_gives_is_kept():
    before = open_descriptors()
    ours, theirs = socket.socketpair()
    with theirs:
        wire.send(theirs, wire.pack({"value": 1}, [0, 0]), [0, 0])
        drawer = answered_by(ours, is_part=False)
        assert os.path.sameopenfile(drawer.fileno(), 0)
        let_go(drawer)
    assert open_descriptors() <= before


@pytest.mark.parametrize("is_greeting", [False, True])
def test_descriptors_of_half_an_answer_are_closed(is_greeting):
    before = open_descriptors()
    ours, theirs = socket.socketpair()
    with theirs:
        wire.send(theirs, wire.pack({"value": 3}, [0])[:-1], [0])
        theirs.shutdown(socket.SHUT_WR)
        desk = answered_by(ours, is_part=True)
        if is_greeting:
            with pytest.raises(wire.Closed):
                desk._connections._greeted(ours)
        else:
            with pytest.raises(Unavailable, match="which may have been done or not"):
                desk.thread()
        desk.close()
    assert open_descriptors() <= before


def test_a_process_that_takes_no_more_threads(desk, oak, monkeypatch):
    """Says so to who lends something; what is given away is gone."""
    desk.thread()

    class Full(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr("moby.served.outgoing.threading.Thread", Full)
    with pytest.raises(Unavailable, match="can start no more threads: can't start new thread"):
        desk.call(lambda number, text: None, 1)
    drawer = desk.once()
    with pytest.raises(Unavailable, match="its process has ended"):
        drawer.put(b"")
    assert oak.drawers[0].close_seen.wait(60)


def test_nothing_of_a_server_stays_open(oak):
    before = open_descriptors()
    with answered(Desk, oak) as desk:
        assert desk.twice(b"a") == b"aa"
    assert open_descriptors() <= before


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


def open_descriptors() -> set[str]:
    """Those that this process has, of which others' may be closed at any time."""
    gc.collect()
    return {each.name for each in Path("/proc/self/fd").iterdir()}


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
    assert open_descriptors() <= before


def test_a_descriptor_is_taken_once():
    fds = [os.dup(0)]
    wire.close_all((wire.take(0, fds),))
    with pytest.raises(Invalid, match="expected a descriptor"):
        wire.take(0, fds)
