"""Calls of etcd's client, at members that are nothing but a socket: what is lost, given up, cut short, or very long."""

import contextlib
import socket
import threading
import time

import pytest
from moby_metadata.etcd import store
from moby_metadata.etcd.client import Client, _Link
from moby_metadata.etcd.plugin import Config
from moby_metadata.etcd.protocol import Done, Found, Granted, Range, Row, Transaction

from moby.errors import HostUnfit, Unavailable, Unsupported
from moby.grpc.connection import Chunk, Connection, Headers
from moby.grpc.frames import ACK, Code, Frames, Kind, frame
from moby.grpc.messages import encode

WINDOW = 1 << 20
MOST = 1 << 14
"""Of bytes in a frame."""


class Member:
    """Takes a connection after the other; `act` is asked what to do with each call, by its number."""

    def __init__(self, act):
        self.calls = 0
        self._act = act
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                with sock, contextlib.suppress(ConnectionError):
                    self._converse(sock)
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(1 << 16):
                        pass  # what isn't read would take away what was sent

    def _converse(self, sock):
        connection = Connection(client=False, window=WINDOW)
        sock.sendall(connection.begin())
        while data := sock.recv(1 << 16):
            for event in connection.receive(data):
                if isinstance(event, Headers | Chunk) and event.ended:
                    self.calls += 1
                    if not self._act(self.calls, sock, connection, event.stream):
                        return
            sock.sendall(connection.pending())


def told(sock, connection, number, message=b"", status="0", words=""):
    """Answer a call."""
    head = ((":status", "200"), ("content-type", "application/grpc"))
    sock.sendall(connection.headers(number, head))
    left = memoryview(b"\0" + len(message).to_bytes(4, "big") + message)
    while left:
        room = min(connection.room(number), MOST)
        if room:
            sock.sendall(connection.data(number, bytes(left[:room])))
            left = left[room:]
        else:
            list(connection.receive(sock.recv(1 << 16)))
    sock.sendall(connection.headers(number, (("grpc-status", status), ("grpc-message", words)), end=True))
    return True


FOUND = encode(Found(rows=[Row(b"k", b"v")]))


def fine(number, sock, connection, stream):
    return told(sock, connection, stream, FOUND)


def lost(number, sock, connection, stream):
    return False


def leaving(last):
    """Say that no more calls are taken than up to a number."""
    return frame(Kind.GOAWAY, 0, 0, last.to_bytes(4, "big") + int(Code.NO_ERROR).to_bytes(4, "big"))


def farewell(number, sock, connection, stream):
    """End in order, before a call was begun."""
    sock.sendall(leaving(0))
    return False


def last_answer(number, sock, connection, stream):
    """End in order, as gRPC's servers do: all that was begun is answered."""
    if number == 1:
        sock.sendall(leaving((1 << 31) - 1))
    return fine(number, sock, connection, stream)


def asking(number, sock, connection, stream):
    """See whether somebody is there before a call is answered."""
    sock.sendall(frame(Kind.PING, 0, 0, b"are you?"))
    frames = Frames()
    while data := sock.recv(1 << 16):
        if any(each.kind == Kind.PING and each.flags == ACK for each in frames.feed(data)):
            return fine(number, sock, connection, stream)
    return False


@pytest.fixture
def member():
    made = []

    def make(act):
        made.append(Member(act))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def client():
    with contextlib.ExitStack() as stack:

        def make(*members):
            found = Client([each.url for each in members], 20)
            stack.callback(found.close)
            return found

        yield make


def ask(client, **more):
    return client.ask("KV/Range", Range(b"k"), Found, **more)


def test_a_ping_during_a_call_is_answered(member, client):
    made = client(member(asking))
    for _ in range(2):
        assert ask(made).rows == [Row(b"k", b"v")]


class Counting:
    """A client whose member takes all, and keeps how large each transaction was."""

    def __init__(self):
        self.sizes = []

    def ask(self, method, request, kind, **_):
        if kind is not Done:
            return Granted(id=1 << 62)
        self.sizes.append(len(encode(request)))
        return Done(succeeded=True, responses=[None])


@pytest.mark.parametrize("prefix", ["/moby/", "p" * 500])
@pytest.mark.parametrize("length", [1, 1024])
def test_no_request_is_larger_than_a_member_takes(prefix, length):
    """Whatever it consists of: what is too large is refused before it is sent."""
    most, refused = 8192, set()
    counting = Counting()
    one = store.Store(counting, prefix, most)
    bucket, key = one.bucket("b"), "k" * length

    def together(value):
        with one.transaction():
            bucket.put(key, value)

    for write in (lambda value: bucket.put(key, value), lambda value: bucket.insert(key, value), together):
        for size in range(most - 5000, most, 10):
            try:
                write("x" * size)
            except Unsupported:
                refused.add(write)
    assert max(counting.sizes) <= most
    assert len(refused) == 3


def test_a_connection_is_kept(member, client):
    one = member(fine)
    asking = client(one)
    assert [ask(asking).rows for _ in range(3)] == [[Row(b"k", b"v")]] * 3
    assert (one.calls, len(asking._idle)) == (3, 1)


def test_an_answer_that_is_lost(member, client):
    """What may have been made isn't made again; what changes nothing is asked of the next member."""
    one, other = member(lost), member(fine)
    asking = client(one, other)
    with pytest.raises(Unavailable, match=r"no etcd answers at 127\.0\.0\.1:\d+, 127\.0\.0\.1:\d+: "):
        asking.ask("KV/Txn", Transaction(), Done)
    assert (one.calls, other.calls) == (1, 0)
    assert ask(asking, repeatable=True).rows == [Row(b"k", b"v")]
    assert (one.calls, other.calls) == (2, 1)
    assert ask(asking).rows == [Row(b"k", b"v")], "the one that answered is asked first"


def test_a_call_that_a_member_says_not_to_have_begun_is_made_by_another(member, client):
    one, other = member(farewell), member(fine)
    assert ask(client(one, other)).rows == [Row(b"k", b"v")]
    assert (one.calls, other.calls) == (1, 1)


def test_a_connection_that_was_closed_while_it_lay_idle_is_made_anew(member, client):
    one = member(lambda number, *more: fine(number, *more) and number != 1)
    asking = client(one)
    ask(asking)
    (idle,) = [link for _, link in asking._idle]
    idle._sock.recv(1, socket.MSG_PEEK)  # its end
    assert ask(asking).rows == [Row(b"k", b"v")]


@pytest.mark.parametrize("last", [1, (1 << 31) - 1])
def test_one_that_said_farewell_while_it_lay_idle_is_made_anew(member, client, last):
    """Before it is used for what can't be asked twice."""

    def act(number, sock, connection, stream):
        fine(number, sock, connection, stream)
        if number == 1:
            sock.sendall(leaving(last))
        return True

    one = member(act)
    asking = client(one)
    ask(asking)
    (idle,) = [link for _, link in asking._idle]
    while not idle._going and leaving(last) not in idle._sock.recv(1 << 16, socket.MSG_PEEK):
        time.sleep(0.01)  # other frames come before; and it may have come with the answer
    assert ask(asking).rows == [Row(b"k", b"v")]
    assert one.calls == 2


def test_a_member_that_ends_answers_what_it_has_begun(member, client):
    one = member(last_answer)
    asking = client(one)
    assert [ask(asking).rows for _ in range(2)] == [[Row(b"k", b"v")]] * 2
    assert one.calls == 2


def test_a_member_without_a_leader(member, client):
    """What changes nothing is asked of the next one at once, and so is all that follows."""
    one, other = member(lambda number, *more: told(*more, status="14", words="no%20leader")), member(fine)
    asking = client(one, other)
    assert ask(asking, repeatable=True).rows == [Row(b"k", b"v")]
    asking._first = 0
    with pytest.raises(Unavailable, match="etcd refuses: no leader"):
        ask(asking)
    assert ask(asking).rows == [Row(b"k", b"v")]
    assert (one.calls, other.calls) == (2, 2)
    asking.close()
    with pytest.raises(Unavailable, match="etcd refuses: no leader"):
        ask(client(one), repeatable=True)
    assert one.calls == 4


def test_errors_of_etcd_end_no_connection(member, client):
    one = member(lambda number, *more: told(*more, status="8" if number == 1 else "14", words="no%20room"))
    asking = client(one)
    with pytest.raises(HostUnfit, match="etcd takes no more: no room"):
        ask(asking)
    with pytest.raises(Unavailable, match="etcd refuses: no room"):
        ask(asking)
    assert len(asking._idle) == 1


def test_an_answer_that_is_none(member, client):
    one = member(lambda number, sock, connection, stream: told(sock, connection, stream, b"\xff"))
    with pytest.raises(Unavailable, match="no etcd answers"):
        ask(client(one))


def test_a_list_of_many_megabytes(member, client):
    rows = [Row(b"%d" % each, bytes(1 << 20)) for each in range(20)]
    one = member(lambda number, *more: told(*more, encode(Found(rows=rows))))
    assert ask(client(one)).rows == rows


def test_an_answer_that_does_not_end(member, client, monkeypatch):
    """It is given up once it is longer than one may be."""
    monkeypatch.setattr(_Link, "most_bytes", 1 << 20)
    most, sent = 64 << 20, 0

    def endless(number, sock, connection, stream):
        nonlocal sent
        sock.sendall(connection.headers(stream, ((":status", "200"), ("content-type", "application/grpc"))))
        while sent < most:
            room = min(connection.room(stream), MOST)
            sent += room
            if room:
                sock.sendall(connection.data(stream, bytes(room)))
            elif data := sock.recv(1 << 16):
                list(connection.receive(data))
            else:
                break
        return False

    with pytest.raises(Unavailable, match="isn't one message"):
        ask(client(member(endless)))
    assert sent < most


class Crowded:
    """A client, at whose etcd others have the lock for a while."""

    def __init__(self):
        self.granted, self.by = 0, []

    def ask(self, method, request, kind, **more):
        if kind is Granted:
            self.granted += 1
            return Granted(self.granted)
        (operation,) = request.success
        if operation.put:
            self.by.append(operation.put.lease)
        return Done(succeeded=not operation.put or len(self.by) == 3)


def test_a_lock_that_was_waited_for_is_of_a_new_lease(monkeypatch):
    """So that it holds for as long as any: the one before may end while others have the lock."""
    monkeypatch.setattr(store, "_RENEW_S", -1)
    crowded = Crowded()
    with store.Store(crowded, "/x/").transaction():
        assert crowded.by == [1, 2, 3]


@pytest.mark.parametrize("most", [0, -1])
def test_members_take_something_at_once(most):
    with pytest.raises(ValueError, match="'max_request_bytes' must be >= 1"):
        Config(max_request_bytes=most)
