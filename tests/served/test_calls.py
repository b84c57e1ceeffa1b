"""A contract's calls over a socket: values, descriptors, errors and streams, to threads and to a part's own loop."""

import gc
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from served.conftest import eventually

from moby.contracts.types import Digest, Exit
from moby.errors import Conflict, Invalid, MobyError, NotFound, Origin, Problem, Unavailable, Unsupported
from moby.served import wire
from moby.served.client import client
from moby.served.endpoint import Endpoint
from moby.served.methods import interface_of
from moby.served.server import Server
from moby.surroundings import TextLog

Serve = Callable[..., Any]


@pytest.fixture(params=["threads", "loop"])
def serve(request: pytest.FixtureRequest, toys: ModuleType, tmp_path: Path) -> Iterator[Serve]:
    """Serve a toy in a thread of this process, and return its client; a repeated call serves it anew."""
    ends: list[Callable[[], None]] = []

    def run(path: Path = tmp_path / "socket") -> Any:
        stop = os.eventfd(0)
        listener = wire.listen(path)
        interface, log = interface_of(toys.Shelf), TextLog("test", "error")
        if request.param == "threads":
            server = Server(listener, interface, toys.Kept(tmp_path), log, lambda: None)
            thread = threading.Thread(target=server.serve, args=(stop,))
        else:
            part = toys.Looping(tmp_path)
            endpoint = Endpoint(listener, interface, part, log, stop, lambda: None)

            def loop() -> None:
                part.serve(endpoint)
                endpoint.close()

            thread = threading.Thread(target=loop)
        thread.start()
        made = client(toys.Shelf, path, name="the shelf", patience_s=60)

        def end() -> None:
            os.eventfd_write(stop, 1)
            made.close()
            thread.join(60)
            assert not thread.is_alive()
            os.close(stop)
            path.unlink(missing_ok=True)

        made_ends[made] = end
        ends.append(end)
        return made

    made_ends: dict[Any, Callable[[], None]] = {}
    run.end = lambda made: (made_ends[made](), ends.remove(made_ends[made]))  # type: ignore[attr-defined]
    yield run
    for each in ends:
        each()


def open_descriptors() -> set[str]:
    """Those that this process has, of which others' may be closed at any time."""
    gc.collect()
    return {each.name for each in Path("/proc/self/fd").iterdir()}


def full(toys: ModuleType) -> Any:
    return toys.Thing(
        "a\udcffb\0", Path("/b\udcff"), Digest("sha256", "ab"), toys.Colour.BLUE, b"\0\xff", (1, -(2**70)), ("x", 1.5),
        {"a": "b"}, {1: "x"}, frozenset({"q"}), toys.Thing("in"), "text", -1, Exit(None, 4, True),
    )  # fmt: skip


def test_values_come_back_as_they_went(serve: Serve, toys: ModuleType) -> None:
    shelf = serve()
    thing = full(toys)
    assert shelf.echo(thing) == thing
    assert shelf.echo(thing=toys.Thing("")) == toys.Thing("")
    assert shelf.colour is toys.Colour.BLUE


def test_arguments_by_position_and_by_name(serve: Serve) -> None:
    shelf = serve()
    assert (shelf.put("ab", {"x": [1, None]}), shelf.put(name="ab", value=1, loud=True)) == (2, 4)
    for args, given in ((("a", 1, True), {}), (("a",), {}), (("a", 1), {"name": "b"}), (("a", 1), {"quiet": 1})):
        with pytest.raises(TypeError, match="put\\(\\)"):
            shelf.put(*args, **given)


def test_descriptors_cross(serve: Serve) -> None:
    shelf = serve()
    reads, writes = shelf.pipe(b"hello")
    assert os.get_inheritable(reads) is False
    assert shelf.read(reads) == b"hello"
    os.close(writes)
    os.close(reads)


def test_no_descriptor_is_lost(serve: Serve, toys: ModuleType) -> None:
    shelf = serve()
    shelf.pid()
    before = open_descriptors()
    for _ in range(50):
        for fd in shelf.pipe(b""):
            os.close(fd)
        with pytest.raises(MobyError), Path(os.devnull).open() as file:
            shelf.read(file.fileno() if not shelf.read(file.fileno()) else -1)
            shelf.fail("")
    shelf.pid()  # by when the answer before is over there, too
    assert open_descriptors() <= before


def test_errors_come_back_as_they_were(serve: Serve) -> None:
    shelf = serve()
    with pytest.raises(NotFound, match="no nothing") as missing:
        shelf.get("nothing")
    assert missing.value.hint == "put it there"
    assert isinstance(missing.value.__cause__, FileNotFoundError)
    assert missing.value.__cause__.errno == 2
    with pytest.raises(Invalid) as invalid:
        shelf.fail("invalid")
    assert invalid.value.problems == (Problem("this", Origin("f", 1, 2), ("b",), ("f",)),)
    with pytest.raises(PermissionError, match="/x"):
        shelf.fail("os")
    with pytest.raises(Conflict, match="dented") as own:
        shelf.fail("own")
    assert type(own.value) is Conflict
    with pytest.raises(MobyError, match="the shelf: ValueError: a bug") as bug:
        shelf.fail("")
    assert type(bug.value) is MobyError
    assert shelf.pid() == os.getpid(), "an error ends no connection"


def test_what_cannot_cross_says_so(serve: Serve, tmp_path: Path) -> None:
    shelf = serve()
    with pytest.raises(Unsupported, match="unpassable: Iterator can't be passed"):
        shelf.unpassable(iter(()))
    with pytest.raises(Invalid, match="can't be passed to another process"):
        shelf.put("a", object())
    with pytest.raises(Invalid, match="too much at once"):
        shelf.put("a", "x" * wire.MOST)
    (tmp_path / "much").write_text(f'"{"x" * wire.MOST}"')
    with pytest.raises(Invalid, match="too much at once"):
        shelf.get("much")
    assert shelf.pid() == os.getpid()


@pytest.mark.slow
def test_many_at_once(serve: Serve) -> None:
    """Slow calls of several threads overlap, and quick ones don't wait for them."""
    shelf = serve()
    done: list[int] = []
    slow = [threading.Thread(target=lambda: (shelf.until("go"), done.append(1))) for _ in range(20)]
    for thread in slow:
        thread.start()
    eventually(lambda: shelf.asked_until() == 20, "all slow ones at once")
    quick = [shelf.pid() for _ in range(20)]
    assert not done, "twenty quick calls end before any slow one"
    shelf.put("go", 1)
    for thread in slow:
        thread.join()
    assert (len(done), set(quick)) == (20, {os.getpid()})


def test_a_big_answer_and_a_big_call(serve: Serve) -> None:
    shelf = serve()
    text = "x" * (4 << 20)
    shelf.put("big", text)
    assert shelf.get("big") == text


def test_an_answer_and_a_call_that_are_longer_than_a_message(serve: Serve) -> None:
    """They lie in a file beside one, which goes with the call."""
    shelf = serve()
    shelf.pid()
    before = open_descriptors()
    text = "x" * wire.LONGEST
    shelf.put("long", text)
    assert shelf.get("long") == text
    shelf.pid()  # by when the answer before is over there, too
    assert open_descriptors() <= before


@pytest.mark.parametrize("what", ["none", "pipe", "large", "no JSON", "written"])
def test_what_lies_beside_a_message_and_is_none(what: str) -> None:
    before = open_descriptors()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fds = [] if what == "none" else [*os.pipe()] if what == "pipe" else [os.memfd_create("message")]
        if what == "large":
            os.truncate(fds[0], wire.MOST + 1)
        if what == "written":
            os.write(fds[0], b"{}")
            fds.append(os.open(f"/proc/self/fd/{fds[0]}", os.O_WRONLY))
            os.close(fds.pop(0))
        wire.send(theirs, wire.pack({wire.BESIDE: 0}, fds), fds)
        wire.close_all(fds)
        with pytest.raises(Invalid, match="expected a descriptor" if what == "none" else "can't be read|is no file of"):
            wire.receive(ours, wire.Reader())
    assert open_descriptors() <= before


def test_the_other_side_was_restarted(serve: Serve) -> None:
    shelf = serve()
    assert shelf.pid() == os.getpid()
    serve.end(shelf)  # type: ignore[attr-defined]
    with pytest.raises(Unavailable, match="has been stopped"):
        shelf.pid()
    again = serve()
    assert again.put("a", 1) == 1


def test_a_connection_that_ended_while_idle_costs_no_call(serve: Serve, toys: ModuleType, tmp_path: Path) -> None:
    first = serve()
    other = client(toys.Shelf, tmp_path / "socket")
    assert other.pid() == os.getpid()
    serve.end(first)  # type: ignore[attr-defined]
    serve()
    assert other.put("a", 1) == 1, "a call that can't have begun is made again, also one that is not repeatable"
    other.close()


def test_nobody_is_there(toys: ModuleType, tmp_path: Path) -> None:
    revived: list[int] = []
    shelf = client(toys.Shelf, tmp_path / "socket", name="x", patience_s=0.1, revive=lambda: revived.append(1))
    with pytest.raises(Unavailable, match="x: its process isn't there"):
        shelf.pid()
    assert revived == [1]


def test_the_lifecycle_that_a_part_lacks(toys: ModuleType, serve: Serve, tmp_path: Path) -> None:
    shelf = serve()
    assert shelf.health() == f"well in {os.getpid()}"
    assert shelf.go_on() is None
    for timeout_s in (None, 2.5):
        assert shelf.wind_down(timeout_s) is None
        assert (tmp_path / "ended").read_text() == str(timeout_s)
    assert shelf.reclaim() is None
    assert (tmp_path / "reclaimed").exists()


def test_a_socket_is_its_owners_and_only_one_listens(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    for path in (tmp_path / "socket", deep / "socket"):
        listener = wire.listen(path)
        assert path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(Conflict, match="listens at"):
            wire.listen(path)
        listener.close()
        wire.listen(path).close()


class TestStreams:
    def test_they_come_in_chunks(self, toys: ModuleType, tmp_path: Path) -> None:
        with threads(toys, tmp_path) as shelf:
            chunks = [b"a", b"", b"b" * 200_000]
            assert b"".join(shelf.stream(chunks)) == b"".join(chunks)

    def test_their_errors_come_at_the_end(self, toys: ModuleType, tmp_path: Path) -> None:
        with threads(toys, tmp_path) as shelf:
            got = shelf.stream([b"a"], "own")
            assert next(got) == b"a"
            with pytest.raises(Conflict, match="dented"):
                next(got)

    def test_one_who_leaves_ends_them(self, toys: ModuleType, tmp_path: Path) -> None:
        with threads(toys, tmp_path) as shelf:
            got = shelf.stream([b"a" * 100_000] * 10)
            next(got)
            got.close()
            assert shelf.pid() == os.getpid()

    def test_a_loop_sends_none(self, toys: ModuleType, serve: Serve) -> None:
        shelf = serve()
        try:
            assert [*shelf.stream([b"a"])] == [b"a"]
        except Unsupported as error:
            assert "a part with a loop of its own" in error.message


class threads:
    """Serve a toy with threads."""

    def __init__(self, toys: ModuleType, tmp_path: Path) -> None:
        self.stop = os.eventfd(0)
        listener = wire.listen(tmp_path / "s")
        server = Server(listener, interface_of(toys.Shelf), toys.Kept(tmp_path), TextLog("t"), lambda: None)
        self.thread = threading.Thread(target=server.serve, args=(self.stop,))
        self.client = client(toys.Shelf, tmp_path / "s")

    def __enter__(self) -> Any:
        self.thread.start()
        return self.client

    def __exit__(self, *error: object) -> None:
        os.eventfd_write(self.stop, 1)
        self.client.close()
        self.thread.join(60)
        os.close(self.stop)


class TestHostilePeers:
    """Each is sent away with a reason, or just ended, and others go on."""

    HELLO: ClassVar = {"moby": wire.VERSION, "contract": "served-shelf", "version": 2}

    @staticmethod
    def talk(path: Path, *messages: Any) -> list[Any]:
        """Send messages, bytes as they are, and return all answers until the other side closes."""
        answers: list[Any] = []
        reader = wire.Reader()
        with wire.connect(path) as sock:
            sock.settimeout(60)
            for each in messages:
                try:
                    sock.sendall(each if isinstance(each, bytes) else wire.pack(each))
                except ConnectionError:
                    break
            sock.shutdown(socket.SHUT_WR)
            try:
                while True:
                    answers.append(wire.receive(sock, reader)[0])
            except wire.Closed:
                return answers

    @pytest.mark.parametrize(
        ("hello", "why"),
        [
            pytest.param({}, "doesn't speak the protocol", id="nothing"),
            pytest.param([], "doesn't speak the protocol", id="list"),
            pytest.param({**HELLO, "moby": wire.VERSION + 2}, "speaks protocol", id="protocol"),
            pytest.param({**HELLO, "contract": "x" * 1000}, "contract is 'xxx", id="contract"),
            pytest.param({**HELLO, "version": 4}, "has version 4 of the contract", id="newer"),
            pytest.param({**HELLO, "version": 0}, "has version 0 of the contract", id="older"),
            pytest.param({**HELLO, "version": "2"}, "has version 2 of the contract", id="text"),
            pytest.param(b"\xff\xff\xff\xff\0\0", "a message of 4294967295 bytes", id="length"),
            pytest.param(b"\0\0\0\x01\xff\xff{", "65535 descriptors", id="descriptors"),
            pytest.param(b"\0\0\0\x02\0\x01{}", "fewer descriptors than it announced", id="fewer"),
            pytest.param(b"\0\0\0\x01\0\0{", "can't be read", id="json"),
        ],
    )
    def test_greetings(self, serve: Serve, tmp_path: Path, hello: Any, why: str) -> None:
        shelf = serve()
        assert why in str(self.talk(tmp_path / "socket", hello))
        assert shelf.pid() == os.getpid()

    @pytest.mark.parametrize("version", [1, 2, 3])
    def test_neighbours_are_answered(self, serve: Serve, tmp_path: Path, version: int) -> None:
        serve()
        hello = {**self.HELLO, "version": version}
        answers = self.talk(tmp_path / "socket", hello, {"call": "pid", "with": {}, "later": 1})
        assert answers[0] == self.HELLO
        assert answers[1:] in ([], [{"value": os.getpid()}])

    @pytest.mark.parametrize(
        ("call", "why"),
        [
            pytest.param([], "is no call", id="list"),
            pytest.param({"call": "_private", "with": {}}, "has no method '_private'", id="private"),
            pytest.param({"call": ["pid"], "with": {}}, "has no method", id="unhashable"),
            pytest.param({"call": "put", "with": {}}, "lacks arguments", id="arguments"),
            pytest.param({"call": "put", "with": [1]}, "lacks arguments", id="no-map"),
            pytest.param({"call": "get", "with": {"name": 1}}, "expected a text", id="type"),
            pytest.param({"call": "read", "with": {"fd": 7}}, "expected a descriptor", id="fd"),
            pytest.param({"call": "echo", "with": {"thing": {}}}, "no Thing", id="record"),
            pytest.param({"call": "echo", "with": {"thing": {"name": "", "data": "?"}}}, "expected bytes", id="bytes"),
            pytest.param({"call": "echo", "with": {"thing": {"name": "", "colour": "x"}}}, "Colour", id="enum"),
            pytest.param({"call": "echo", "with": {"thing": {"name": "", "either": [2, 1]}}}, "several", id="union"),
            pytest.param({"call": "echo", "with": {"thing": {"name": "", "pair": [1]}}}, "list of 2", id="row"),
            pytest.param({"get": "state"}, "has no 'state'", id="attribute"),
            pytest.param({"get": {}}, "has no '{}'", id="attribute-map"),
        ],
    )
    def test_calls(self, serve: Serve, tmp_path: Path, call: Any, why: str) -> None:
        shelf = serve()
        with wire.connect(tmp_path / "socket") as sock:
            reader = wire.Reader()
            answers = []
            for each in (self.HELLO, call, {"call": "pid", "with": {}}):
                wire.send(sock, wire.pack(each))
                answers.append(wire.receive(sock, reader)[0])
        assert why in str(answers[1])
        assert answers[2] == {"value": os.getpid()}, "a wrong call ends no connection"
        assert shelf.pid() == os.getpid()

    def test_one_who_does_not_read(self, serve: Serve, tmp_path: Path) -> None:
        shelf = serve()
        shelf.put("big", "x" * (8 << 20))
        with wire.connect(tmp_path / "socket") as lazy:
            reader = wire.Reader()
            wire.send(lazy, wire.pack(self.HELLO))
            wire.receive(lazy, reader)
            wire.send(lazy, wire.pack({"call": "get", "with": {"name": "big"}}))
            assert [shelf.pid() for _ in range(5)] == [os.getpid()] * 5
            assert len(wire.receive(lazy, reader)[0]["value"]) == 8 << 20

    def test_one_who_leaves_in_the_middle(self, serve: Serve, tmp_path: Path) -> None:
        shelf = serve()
        for count in (1, 5, 6, 20):
            with wire.connect(tmp_path / "socket") as sock:
                sock.sendall(wire.pack(self.HELLO)[:count])
        with wire.connect(tmp_path / "socket") as sock:
            sock.sendall(wire.pack(self.HELLO) + wire.pack({"call": "wait", "with": {"seconds": 0.05}}))
        assert shelf.pid() == os.getpid()
