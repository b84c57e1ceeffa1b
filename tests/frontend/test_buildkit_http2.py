"""HTTP/2, both ends: against h2, byte by byte, and what a peer may not do."""

import random
import socket
import struct
import threading
import time
import tracemalloc

import h2.config
import h2.connection
import h2.events
import pytest
from frontend.wires import joined
from hpack import Decoder, Encoder
from hypothesis import given, settings
from hypothesis import strategies as st
from moby_frontend.docker.buildkit.http2.connection import Chunk, Connection, Headers, Reset, WentAway, WindowOpened
from moby_frontend.docker.buildkit.http2.frames import PREFACE, Code, Frames, Kind, ProtocolError, Setting, frame
from moby_frontend.docker.buildkit.http2.frames import settings as settings_frame
from moby_frontend.docker.buildkit.http2.link import Given, Link, Stream

WINDOW = 1 << 20
ASK = [(":method", "POST"), (":scheme", "http"), (":path", "/a"), (":authority", "x")]
ANSWER = [(":status", "200")]


def fed(connection, data, piece=0):
    """Feed bytes, all at once or in pieces."""
    if not piece:
        return list(connection.receive(data))
    return [event for at in range(0, len(data), piece) for event in connection.receive(data[at : at + piece])]


def server(**options):
    """A server that has its client's greeting."""
    found = Connection(client=False, window=WINDOW, **options)
    found.begin()
    fed(found, PREFACE + settings_frame({}))
    found.pending()
    return found


def client():
    found = Connection(client=True, window=WINDOW)
    found.begin()
    fed(found, settings_frame({}))
    found.pending()
    return found


def block(headers=ASK):
    return Encoder().encode(headers)


class TestAgainstH2:
    """Our end and h2's exchange everything that gRPC needs."""

    @pytest.mark.parametrize("piece", [0, 1, 7])
    def test_as_client(self, piece):
        ours = Connection(client=True, window=WINDOW)
        theirs = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        theirs.initiate_connection()
        theirs.receive_data(ours.begin())
        fed(ours, theirs.data_to_send(), piece)
        number, data = ours.open([*ASK, ("long", "x" * 40_000)])
        events = theirs.receive_data(ours.pending() + data + ours.data(number, b"y" * 20_000, end=True))
        seen = [type(each).__name__ for each in events]
        assert "RequestReceived" in seen
        assert "StreamEnded" in seen
        assert sum(len(each.data) for each in events if isinstance(each, h2.events.DataReceived)) == 20_000
        theirs.send_headers(number, ANSWER)
        theirs.send_data(number, b"z" * 16_000, pad_length=50)
        theirs.send_headers(number, [("grpc-status", "0")], end_stream=True)
        found = fed(ours, theirs.data_to_send(), piece)
        headers = [each for each in found if isinstance(each, Headers)]
        assert [dict(each.headers) for each in headers] == [{":status": "200"}, {"grpc-status": "0"}]
        assert [each.ended for each in headers] == [False, True]
        chunks = [each for each in found if isinstance(each, Chunk)]
        assert b"".join(each.data for each in chunks) == b"z" * 16_000
        assert sum(each.size for each in chunks) == 16_051
        assert not ours.knows(number)

    @pytest.mark.parametrize("piece", [0, 1, 7])
    def test_as_server(self, piece):
        theirs = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        theirs.initiate_connection()
        ours = Connection(client=False, window=WINDOW)
        theirs.receive_data(ours.begin())
        theirs.send_headers(1, [*ASK, ("long", "x" * 30_000)])
        theirs.send_data(1, b"ask", end_stream=True)
        found = fed(ours, theirs.data_to_send(), piece)
        assert [type(each) for each in found if not isinstance(each, WindowOpened)] == [Headers, Chunk]
        out = ours.pending() + ours.headers(1, ANSWER) + ours.data(1, b"y" * 50_000)
        out += ours.headers(1, [("grpc-status", "0")], end=True)
        events = theirs.receive_data(out)
        assert sum(len(each.data) for each in events if isinstance(each, h2.events.DataReceived)) == 50_000
        assert isinstance(events[-1], h2.events.StreamEnded)

    def test_windows(self):
        """What was taken may be sent again, on the stream and on the connection, however much there is."""
        theirs = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        theirs.initiate_connection()
        ours = Connection(client=True, window=WINDOW)
        theirs.receive_data(ours.begin())
        fed(ours, theirs.data_to_send())
        number, data = ours.open(ASK, end=True)
        theirs.receive_data(data)
        theirs.send_headers(number, ANSWER)
        sent = 0
        while sent < 5 * WINDOW:
            room = min(theirs.local_flow_control_window(number), 16384)
            assert room, sent
            theirs.send_data(number, b"x" * room)
            sent += room
            for each in fed(ours, theirs.data_to_send()):
                if isinstance(each, Chunk):
                    theirs.receive_data(ours.taken(each.stream, each.size))
            theirs.receive_data(ours.pending())

    def test_a_ping_is_answered(self):
        theirs = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        theirs.initiate_connection()
        ours = Connection(client=True, window=WINDOW)
        theirs.receive_data(ours.begin())
        theirs.ping(b"12345678")
        fed(ours, theirs.data_to_send())
        events = theirs.receive_data(ours.pending())
        assert [each.ping_data for each in events if isinstance(each, h2.events.PingAckReceived)] == [b"12345678"]

    def test_a_farewell(self):
        theirs = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        theirs.initiate_connection()
        ours = Connection(client=True, window=WINDOW)
        theirs.receive_data(ours.begin())
        theirs.close_connection(last_stream_id=5)
        assert fed(ours, theirs.data_to_send())[-1] == WentAway(5)
        assert any(
            isinstance(each, h2.events.ConnectionTerminated) for each in theirs.receive_data(ours.leave(Code.NO_ERROR))
        )


class TestRules:
    def test_a_stream_ends_when_both_ends_have_ended_it(self):
        ours = server()
        fed(ours, frame(Kind.HEADERS, 5, 1, block()))
        assert ours.knows(1)
        ours.headers(1, ANSWER, end=True)
        assert not ours.knows(1)

    def test_a_reset(self):
        ours = server()
        fed(ours, frame(Kind.HEADERS, 4, 1, block()))
        assert fed(ours, frame(Kind.RST_STREAM, 0, 1, struct.pack(">L", 8))) == [Reset(1, 8)]
        assert fed(ours, frame(Kind.RST_STREAM, 0, 1, struct.pack(">L", 8))) == []  # twice is fine
        assert fed(ours, frame(Kind.DATA, 0, 1, b"late")) == []
        assert ours.reset(1, Code.CANCEL) == b""

    def test_more_streams_than_may_be(self):
        ours = server(most_streams=1)
        fed(ours, frame(Kind.HEADERS, 4, 1, block()))
        assert fed(ours, frame(Kind.HEADERS, 4, 3, block())) == []
        assert list(Frames().feed(ours.pending()))[-1].kind == Kind.RST_STREAM

    def test_room_follows_the_peers_settings(self):
        ours = client()
        number, _ = ours.open(ASK)
        assert ours.room(number) == 65535
        ours.data(number, b"x" * 65000)
        assert fed(ours, settings_frame({Setting.INITIAL_WINDOW_SIZE: 100})) == [WindowOpened(0)]
        assert ours.room(number) == 0
        fed(ours, settings_frame({Setting.INITIAL_WINDOW_SIZE: 200_000}))
        assert ours.room(number) == 535  # of the connection
        fed(ours, frame(Kind.WINDOW_UPDATE, 0, 0, struct.pack(">L", 1_000_000)))
        assert ours.room(number) == 135_000
        assert ours.room(99) == 0

    def test_a_table_of_headers_that_changes_without_end_takes_nothing(self):
        """No headers are remembered by it: the same ones are the same bytes."""
        at_server = server()
        for size in (0, 4096, 100, *[0, 4096] * 1000):
            fed(at_server, settings_frame({Setting.HEADER_TABLE_SIZE: size}))
        at_server.pending()
        fed(at_server, frame(Kind.HEADERS, 4, 1, block()))
        sent = at_server.headers(1, [("x-a", "b")])
        assert sent == at_server.headers(1, [("x-a", "b")])
        assert len(sent) < 40
        decoder = Decoder()
        assert decoder.decode(sent[9:]) == [("x-a", "b")]
        assert decoder.header_table_size == 0

    def test_long_headers_are_not_kept(self):
        """They are what an error is told with, which a client may choose."""
        ours = server()
        fed(ours, frame(Kind.HEADERS, 4, 1, block()))
        tracemalloc.start()
        try:
            for each in range(4):
                ours.headers(1, [("x-a", "y" * (1 << 20) + str(each))])
            assert tracemalloc.get_traced_memory()[0] < 1 << 20
        finally:
            tracemalloc.stop()

    def test_frames_are_as_large_as_the_peer_takes(self):
        ours = client()
        fed(ours, settings_frame({Setting.MAX_FRAME_SIZE: 20_000, Setting.HEADER_TABLE_SIZE: 0}))
        number, _ = ours.open(ASK)
        sizes = []
        data = ours.data(number, b"x" * 50_000)
        while data:
            size = int.from_bytes(data[:3], "big")
            sizes.append(size)
            data = data[9 + size :]
        assert sizes == [20_000, 20_000, 10_000]

    def test_trailers_of_what_was_given_up(self):
        ours = client()
        number, _ = ours.open(ASK)
        ours.reset(number, Code.CANCEL)
        assert fed(ours, frame(Kind.HEADERS, 5, number, block(ANSWER))) == []

    @pytest.mark.parametrize(
        ("data", "code", "words"),
        [
            (b"\xff\xff\xff\0\0\0\0\0\1", Code.FRAME_SIZE_ERROR, "a frame of 16777215 bytes"),
            (frame(Kind.SETTINGS, 0, 0, b"123"), Code.FRAME_SIZE_ERROR, "settings that are cut short"),
            (settings_frame({Setting.INITIAL_WINDOW_SIZE: 1 << 31}), Code.FLOW_CONTROL_ERROR, "a window of"),
            (settings_frame({Setting.MAX_FRAME_SIZE: 1}), Code.PROTOCOL_ERROR, "frames of 1 bytes"),
            (frame(Kind.PING, 0, 0, b"1"), Code.FRAME_SIZE_ERROR, "a ping that isn't 8 bytes"),
            (frame(Kind.GOAWAY, 0, 0, b"1"), Code.FRAME_SIZE_ERROR, "half a farewell"),
            (frame(Kind.PUSH_PROMISE, 4, 1, b"1"), Code.PROTOCOL_ERROR, "a push that nobody wanted"),
            (frame(Kind.WINDOW_UPDATE, 0, 0, b"1"), Code.FRAME_SIZE_ERROR, "1 bytes where 4 are a number"),
            (frame(Kind.WINDOW_UPDATE, 0, 0, bytes(4)), Code.FLOW_CONTROL_ERROR, "a window that grows by 0"),
            (frame(Kind.WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), Code.FLOW_CONTROL_ERROR, "a window that grows"),
            (frame(Kind.DATA, 0, 0, b"1"), Code.PROTOCOL_ERROR, "the stream 0, which isn't there"),
            (frame(Kind.DATA, 0, 7, b"1"), Code.PROTOCOL_ERROR, "the stream 7, which isn't there"),
            (frame(Kind.RST_STREAM, 0, 7, bytes(4)), Code.PROTOCOL_ERROR, "the stream 7, which isn't there"),
            (frame(Kind.HEADERS, 4, 0, block()), Code.PROTOCOL_ERROR, "the stream 0, which isn't there"),
            (frame(Kind.HEADERS, 4, 2, block()), Code.PROTOCOL_ERROR, "a client began the stream 2"),
            (frame(Kind.HEADERS, 4, 1, b"\xff\xff\xff"), Code.COMPRESSION_ERROR, "headers that can't be read"),
            (frame(Kind.HEADERS, 12, 1, b"\x05abc"), Code.PROTOCOL_ERROR, "more padding than bytes"),
            (frame(Kind.HEADERS, 12, 1), Code.PROTOCOL_ERROR, "more padding than bytes"),
            (frame(Kind.HEADERS, 36, 1, b"abc"), Code.FRAME_SIZE_ERROR, "half a priority"),
            (frame(Kind.CONTINUATION, 4, 1, b""), Code.PROTOCOL_ERROR, "a continuation of nothing"),
            (frame(Kind.HEADERS, 0, 1) + frame(Kind.DATA, 0, 1), Code.PROTOCOL_ERROR, "something else breaks into"),
            (
                frame(Kind.HEADERS, 0, 1) + frame(Kind.CONTINUATION, 0, 1) * 100,
                Code.ENHANCE_YOUR_CALM,
                "headers that don't end",
            ),
            (
                frame(Kind.HEADERS, 0, 1) + frame(Kind.CONTINUATION, 0, 1, b"x" * 16000) * 10,
                Code.ENHANCE_YOUR_CALM,
                "headers that don't end",
            ),
            (
                frame(Kind.HEADERS, 4, 1, Encoder().encode([("x", "y" * 4000)] * 2) + b"\xbe" * 100),
                Code.COMPRESSION_ERROR,
                "headers that can't be read",
            ),
        ],
    )
    def test_what_a_peer_may_not_do(self, data, code, words):
        with pytest.raises(ProtocolError, match=words) as error:
            fed(server(), data)
        assert error.value.code is code

    def test_what_a_server_may_not_do(self):
        with pytest.raises(ProtocolError, match="headers for the stream 2, which isn't there"):
            fed(client(), frame(Kind.HEADERS, 4, 2, block(ANSWER)))

    def test_what_is_not_http2(self):
        with pytest.raises(ProtocolError, match="this isn't HTTP/2"):
            fed(Connection(client=False, window=WINDOW), b"GET / HTTP/1.1\r\n")

    def test_more_than_the_window(self):
        ours = Connection(client=False, window=20_000)
        fed(ours, PREFACE + frame(Kind.HEADERS, 4, 1, block()) + frame(Kind.DATA, 0, 1, bytes(16_000)))
        with pytest.raises(ProtocolError, match="more data than the window has room for"):
            fed(ours, frame(Kind.DATA, 0, 1, bytes(16_000)))

    def test_unknown_frames_and_settings_are_passed_over(self):
        assert fed(server(), frame(99, 255, 7, b"x") + frame(Kind.PRIORITY, 0, 9, bytes(5))) == []
        assert fed(server(), settings_frame({99: 5})) == [WindowOpened(0)]

    @settings(max_examples=200, deadline=None)
    @given(st.integers(0, 1 << 32), st.integers(1, 12))
    def test_anything(self, seed, count):
        """Events or ProtocolError, whatever comes: frames of all sorts with random flags, streams and bytes."""
        chance = random.Random(seed)
        ours = server()
        try:
            for _ in range(count):
                payload = chance.choice([block(), chance.randbytes(chance.randrange(40)), bytes(4), b""])
                data = bytearray(frame(chance.randrange(11), chance.randrange(64), chance.randrange(6), payload))
                if chance.random() < 0.1:
                    data[chance.randrange(len(data))] = chance.randrange(256)
                fed(ours, bytes(data), chance.choice([0, 3]))
        except ProtocolError:
            pass


def taken(*pieces):
    """Return the streams that a server accepts of a client that says this, each piece at once, and goes."""
    near, far = socket.socketpair()
    never, other = socket.socketpair()
    found = []
    with near, far, never, other:
        link = Link(far, client=False, accept=found.append)
        for each in pieces[1:]:
            near.sendall(each)
        near.shutdown(socket.SHUT_WR)
        link.run(PREFACE + settings_frame({}) + pieces[0], never.fileno(), lambda: True)
    return found


class TestFloods:
    """What takes little to say is to take little here."""

    def test_streams_that_are_reset_at_once(self):
        """None is begun: else what is held of them would be many times what came."""
        reset = struct.pack(">L", 8)
        numbers = range(1, 4001, 2)
        said = [frame(Kind.HEADERS, 4, each, block()) + frame(Kind.RST_STREAM, 0, each, reset) for each in numbers]
        assert [each.number for each in taken(b"".join(said) + frame(Kind.HEADERS, 4, 4001, block()))] == [4001]

    def test_windows_that_open_again_and_again(self, monkeypatch):
        """Who waits for one is woken once for all that came together."""
        woken = []

        def note(condition):
            woken.append(condition)

        monkeypatch.setattr(threading.Condition, "notify_all", note)
        (stream,) = taken(
            frame(Kind.HEADERS, 4, 1, block()) + settings_frame({}) * 500
            + frame(Kind.WINDOW_UPDATE, 0, 0, struct.pack(">L", 1)) * 500
        )  # fmt: skip
        assert woken.count(stream.changed) < 10


class TestLink:
    """Two ends over a socket pair."""

    def test_a_stream_there_and_back(self):
        with joined(echo) as link:
            stream = link.open(ASK)
            big = bytes(range(256)) * 20_000
            thread = threading.Thread(target=stream.send, args=(big,), kwargs={"end": True})
            thread.start()
            assert b"".join(iter(stream.receive, b"")) == big
            thread.join()
            assert dict(stream.headers)[":status"] == "200"
            assert stream.trailers == (("done", "yes"),)

    def test_many_streams_at_once(self):
        with joined(echo) as link:

            def one(number, found):
                stream = link.open(ASK)
                stream.send(b"%d" % number * 5000, end=True)
                found[number] = b"".join(iter(stream.receive, b""))

            found = {}
            threads = [threading.Thread(target=one, args=(each, found)) for each in range(20)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
            assert found == {each: b"%d" % each * 5000 for each in range(20)}

    def test_who_gives_up(self):
        seen = []
        entered = threading.Event()

        def wait(stream):
            stream.when_lost(lambda: seen.append("lost"))
            entered.set()
            try:
                stream.receive()
            except Given as error:
                seen.append(error.code)

        with joined(wait) as link:
            stream = link.open(ASK)
            assert entered.wait(60)
            stream.give_up()
            stream.give_up()
            for call in (stream.receive, lambda: stream.send(b"x"), lambda: stream.send_headers(ASK), stream.begun):
                with pytest.raises(Given):
                    call()
            limit = time.monotonic() + 60
            while len(seen) < 2 and time.monotonic() < limit:
                time.sleep(0.01)
            assert sorted(map(str, seen)) == ["8", "lost"]

    def test_a_peer_that_goes(self):
        with joined(Stream.receive) as link:
            stream = link.open(ASK)
            link.close()
            with pytest.raises(Given):
                stream.receive()
            lost = []
            stream.when_lost(lambda: lost.append(1))
            assert lost == [1]
        with pytest.raises(Given, match="session has ended"):
            link.open(ASK)

    def test_who_sends_waits_for_room(self):
        entered = threading.Event()

        def late(stream):
            entered.wait(60)
            while stream.receive():
                pass

        with joined(late) as link:
            stream = link.open(ASK)
            thread = threading.Thread(target=stream.send, args=(bytes(1 << 20),))
            thread.start()
            thread.join(0.2)
            assert thread.is_alive()
            entered.set()
            thread.join(60)
            assert not thread.is_alive()

    def test_what_goes_together(self):
        """Is one piece; what was said before something goes wrong is sent too."""

        class Counted:
            def __init__(self):
                self.sent = []

            def send(self, data, flags):
                self.sent.append(bytes(data))
                return len(data)

        sock = Counted()
        link = Link(sock, client=True)
        stream = link.open(ASK)
        sock.sent.clear()
        with stream.together():
            stream.send(b"one")
            stream.send(b"two", end=True)
            assert sock.sent == []
        other = link.open(ASK)
        with pytest.raises(ZeroDivisionError), other.together():
            other.send(b"three")
            raise ZeroDivisionError
        pieces = [[(each.kind, each.payload) for each in Frames().feed(data)] for data in sock.sent]
        assert pieces[0] == [(Kind.DATA, b"one"), (Kind.DATA, b"two")]
        assert [kind for kind, _ in pieces[1]] == [Kind.HEADERS]
        assert pieces[2:] == [[(Kind.DATA, b"three")]]

    @pytest.mark.parametrize("room", [None, 1 << 12])
    def test_more_together_than_there_is_room(self, room):
        """Though both ends have more to say than the connection takes, neither waits for the other's silence."""
        with joined(echo, room) as link:
            streams = [link.open(ASK) for _ in range(2)]
            big = bytes(range(256)) * 20_000

            def send(stream):
                with stream.together():
                    stream.send(big)
                    stream.send(b"end", end=True)

            threads = [threading.Thread(target=send, args=(each,)) for each in streams]
            for each in threads:
                each.start()
            assert [b"".join(iter(each.receive, b"")) for each in streams] == [big + b"end"] * 2
            for each in threads:
                each.join()

    def test_one_that_asks_and_takes_no_answer_is_read_no_further(self):
        ours, theirs = socket.socketpair()
        never, other = socket.socketpair()
        link = Link(ours, client=False)
        thread = threading.Thread(target=link.run, args=(b"", never.fileno(), lambda: True))
        thread.start()
        pings = frame(Kind.PING, 0, 0, bytes(8)) * 1000
        try:
            theirs.sendall(PREFACE + pings)
            theirs.settimeout(1)
            with pytest.raises(TimeoutError):
                for _ in range(2000):
                    theirs.sendall(pings)
            assert len(link._left) < 3 << 20
        finally:
            theirs.close()
            thread.join(60)
            for each in (ours, never, other):
                each.close()
        assert not thread.is_alive()

    def test_nonsense_ends_it(self):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(b"nonsense that isn't HTTP/2 at all")
            ending = socket.socketpair()
            Link(ours, client=False).run(b"", ending[0].fileno(), lambda: True)
            for each in ending:
                each.close()
            (found,) = Frames().feed(theirs.recv(1000))
            assert found.kind == Kind.GOAWAY
            assert b"this isn't HTTP/2" in found.payload


def echo(stream):
    """Answer with what comes."""
    stream.send_headers(ANSWER)
    while data := stream.receive():
        stream.send(data)
    stream.send_headers([("done", "yes")], end=True)
