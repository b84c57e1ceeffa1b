"""Long bodies in chunks, which are read past h11 from some length on."""

import os
import socket

import h11
import pytest
from frontend.test_docker_http import answer, head, until_closed
from hypothesis import given
from hypothesis import strategies as st
from moby_frontend.docker.chunks import BadChunks, Chunks

LONG = 3 << 20
KIND = ("Content-Type: application/x-tar", "Transfer-Encoding: chunked")


def chunked(data, size=32 << 10, end=b"0\r\n\r\n"):
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in parts) + end


def fed(stream, cuts=()):
    chunks, found, last = Chunks(), b"", 0
    for cut in (*sorted(cuts), len(stream)):
        found += chunks.feed(stream[last:cut])
        last = cut
    return found, chunks.whole, chunks.rest


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=5),
    st.sampled_from([b"", b";name=value", b" ", b"\t;x"]),
    st.sampled_from([b"", b"Field: value\r\n"]),
    st.lists(st.integers(0, 300), max_size=6),
)
def test_however_it_comes_it_is_the_same(parts, extension, trailers, cuts):
    stream = b"\r\n" + b"".join(b"%X%s\r\n%s\r\n" % (len(each), extension, each) for each in parts)
    stream += b"0" + extension + b"\r\n" + trailers + b"\r\n"
    cuts = [each for each in cuts if each < len(stream)]
    assert fed(stream, cuts) == (b"".join(parts), True, b"")
    assert fed(stream[:-1], cuts)[1] is False


def test_what_comes_after_it_is_the_next_requests():
    chunks = Chunks()
    assert chunks.feed(b"\r\n3\r\nabc\r\n0\r\n\r\nGET /") == b"abc"
    assert (chunks.whole, chunks.rest) == (True, b"GET /")


@pytest.mark.parametrize(
    ("stream", "told"),
    [
        (b"x\r\n", "a chunk is longer than it says"),
        (b"\r\n\r\n", "a chunk doesn't say how long it is"),
        (b"\r\n-1\r\n", "a chunk doesn't say how long it is"),
        (b"\r\n0x3\r\n", "a chunk doesn't say how long it is"),
        (b"\r\n 3\r\n", "a chunk doesn't say how long it is"),
        (b"\r\n3 4\r\n", "a chunk doesn't say how long it is"),
        (b"\r\n" + b"1" * 17 + b"\r\n", "a chunk doesn't say how long it is"),
        (b"\r\n3\nabc\r\n", "a chunk doesn't say how long it is"),
        (b"\r\n3;" + b"x" * 5000, "a line between chunks is too long"),
        (b"\r\n0\r\nno field\r\n", "what follows the chunks is no field"),
        (b"\r\n0\r\na: b\0\r\n", "what follows the chunks is no field"),
        (b"\r\n0\r\n" + b"a: b\r\n" * 200, "too many fields follow the chunks"),
    ],
)
def test_what_is_no_chunk_is_refused(stream, told):
    with pytest.raises(BadChunks, match=told):
        fed(stream)


class TestServed:
    def load(self, served, data, **options):
        sock = served.raw()
        sock.sendall(head("POST", "/images/load", *KIND) + chunked(data, **options))
        return sock

    @pytest.mark.parametrize("size", [1000, 32 << 10, 1 << 20, LONG])
    def test_an_upload(self, served, size):
        data = os.urandom(LONG)
        sock = self.load(served, data, size=size)
        assert b"Loaded image" in self.read(sock)
        assert served.images.calls[-1][:2] == ("load", LONG)

    def test_the_connection_is_the_next_requests_too(self, served):
        sock = self.load(served, bytes(LONG), end=b"0\r\n\r\n" + head("GET", "/nonesuch"))
        rest = self.read(sock).partition(b"0\r\n\r\n")[2]
        assert answer(sock, rest)[0] == 404
        sock.sendall(head("GET", "/_ping"))
        assert answer(sock)[2] == b"OK"

    def test_one_who_wants_it_closed_finds_it_closed(self, served):
        sock = served.raw()
        sock.sendall(head("POST", "/images/load", *KIND, "Connection: close") + chunked(bytes(LONG)))
        assert until_closed(sock).endswith(b"0\r\n\r\n")

    @pytest.mark.parametrize("end", [b"", b"5\r\nabc", b"no size\r\n"], ids=["none", "in a chunk", "in a size"])
    def test_one_that_is_cut_short_is_not_taken_for_whole(self, served, end):
        before = len(served.images.calls)
        sock = self.load(served, bytes(LONG), end=end)
        sock.shutdown(socket.SHUT_WR)
        assert b"Loaded image" not in until_closed(sock)
        assert len(served.images.calls) == before

    def read(self, sock):
        found = b""
        while b"0\r\n\r\n" not in found:
            chunk = sock.recv(65536)
            assert chunk, found
            found += chunk
        return found


PIECES = [b"1\r\nx\r\n", b"3;q\r\nabc\r\n", b"0\r\n", b"\r\n", b"a: b\r\n", b"GET", b" ", b"\n", b"2", b"\0", b"a:"]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join))
def test_it_takes_no_more_than_h11_does(data):
    """What both take is the same body, and the same rest."""
    reader = h11.Connection(h11.SERVER)
    reader.receive_data(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n" + data)
    found = b""
    try:
        ours = fed(b"\r\n" + data)
    except BadChunks:
        return
    if not ours[1]:
        return
    while not isinstance(event := reader.next_event(), h11.EndOfMessage):
        found += bytes(event.data) if isinstance(event, h11.Data) else b""
    assert (found[1:], bytes(reader.trailing_data[0])) == (ours[0], ours[2])
