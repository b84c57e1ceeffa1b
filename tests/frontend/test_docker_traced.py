"""POST /build?version=2: BuildKit's messages in docker's stream, as docker called it before buildx."""

import base64
import json
import socket
import threading
import time
from contextlib import contextmanager

import pytest
from frontend.fake_builder import FakeBuilder, archive
from moby_frontend.docker.buildkit.grpc import Messages, pack
from moby_frontend.docker.buildkit.http2.link import Link
from moby_frontend.docker.buildkit.messages import decode
from moby_frontend.docker.buildkit.protocol.control import StatusResponse
from moby_frontend.docker.buildkit.protocol.lending import DATA, END, REQUEST, STAT, GetSecret, Packet, Secret, Stat

PATIENCE_S = 60
FILES = {"Dockerfile": b"FROM x\nLEND secret s\nSAY hello\n", "a": b"1"}
METHODS = ("/moby.filesync.v1.FileSync/DiffCopy", "/moby.buildkit.secrets.v1.Secrets/GetSecret")


@pytest.fixture
def builder():
    return FakeBuilder()


@pytest.fixture
def built(serve, builder):
    return serve(builder=builder)


def build(served, query="", dockerfile="FROM x\n"):
    body = None if "remote=" in query else archive(Dockerfile=dockerfile)
    found = served.call("POST", f"/build?version=2{query}", body)
    assert found.status == 200, found.body
    return [json.loads(each) for each in found.body.splitlines()]


def states(messages):
    traces = [each["aux"] for each in messages if each.get("id") == "moby.buildkit.trace"]
    return [decode(StatusResponse, base64.b64decode(each)) for each in traces]


class Lender:
    """The client's end of a session: it lends one folder under any name, and one secret."""

    def accept(self, stream):
        threading.Thread(target=self._answer, args=(stream,), daemon=True).start()

    def _answer(self, stream):
        stream.send_headers(((":status", "200"), ("content-type", "application/grpc")))
        if dict(stream.headers)[":path"].endswith("GetSecret"):
            (asked,) = Messages().feed(stream.receive())
            stream.send(pack(Secret(decode(GetSecret, asked).id.encode())))
        else:
            self._give(stream)
        stream.send_headers((("grpc-status", "0"),), end=True)

    def _give(self, stream):
        names = sorted(FILES)
        for each in names:
            stream.send(pack(Packet(STAT, Stat(each, 0o644, size=len(FILES[each])))))
        stream.send(pack(Packet(STAT)))
        messages = Messages()
        while data := stream.receive():
            for packet in [decode(Packet, each) for each in messages.feed(data)]:
                if packet.type == REQUEST:
                    stream.send(pack(Packet(DATA, None, packet.id, FILES[names[packet.id]])))
                    stream.send(pack(Packet(DATA, None, packet.id)))
                elif packet.type == END:
                    stream.send(pack(Packet(END)))
                    return


@contextmanager
def lending(served, identity):
    """Lend a session over a connection of its own."""
    sock = served.raw()
    sock.settimeout(None)
    lines = f"X-Docker-Expose-Session-Uuid: {identity}\r\nX-Docker-Expose-Session-Name: x\r\n"
    lines += "".join(f"X-Docker-Expose-Session-Grpc-Method: {each}\r\n" for each in (",".join(METHODS),))
    sock.sendall(f"POST /session HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n{lines}\r\n".encode())
    seen = b""
    while b"\r\n\r\n" not in seen:
        seen += sock.recv(65536)
    never, other = socket.socketpair()
    link = Link(sock, client=False, accept=Lender().accept)
    link.begin()
    rest = seen.partition(b"\r\n\r\n")[2]
    thread = threading.Thread(target=link.run, args=(rest, never.fileno(), lambda: True))
    thread.start()
    try:
        yield
    finally:
        link.close()
        thread.join(PATIENCE_S)
        never.close()
        other.close()


def test_an_image_of_an_archive(built, builder):
    told = build(built, "&t=foo:bar", "FROM x\nSAY hello\n")
    ((_, (export,), _),) = builder.exports
    assert export.names == ("foo:bar",)
    assert not builder.requests[0].sequential
    found = states(told)
    assert {vertex.name for each in found for vertex in each.vertexes} == {"[1/2] FROM x", "[2/2] SAY hello"}
    assert b"".join(log.message for each in found for log in each.logs) == b"hello\n"
    assert told[-1]["id"] == "moby.image.id"
    assert told[-1]["aux"]["ID"].startswith("sha256:")


def test_a_failure_is_told_in_the_stream(built):
    told = build(built, "", "FROM x\nFAIL here\n")
    words = 'process "/bin/sh -c here" did not complete successfully: exit code: 3'
    assert told[-1] == {"errorDetail": {"message": words}, "error": words}
    assert build(built, "", "BROKEN\n")[-1]["error"].endswith("unknown instruction: BROKEN")


def test_what_a_session_lends(built, builder):
    with lending(built, "one"):
        told = build(built, "&session=one&remote=client-session")
        assert told[-1]["id"] == "moby.image.id"
        assert builder.requests[0].context == ""
        assert bytes(builder.contexts[0].files["a"]) == b"1"
        assert builder.lent["secret", "s"] == b"s"
        # With an archive, the session lends what else there is.
        assert build(built, "&session=one", "FROM x\nLEND secret t\n")[-1]["id"] == "moby.image.id"
        assert builder.lent["secret", "t"] == b"t"


def test_outputs(built, builder):
    with lending(built, "one"):
        build(built, "&session=one&outputs=[{%22Type%22:%22cacheonly%22}]")
        assert builder.exports[-1][1] == ()
        told = build(built, "&session=one&outputs=[{%22Type%22:%22tar%22,%22Attrs%22:{}}]")
        assert "the client lends no outputs" in told[-1]["error"]


def test_a_build_is_given_up_by_its_name(built, builder):
    told = []
    thread = threading.Thread(target=lambda: told.extend(build(built, "&buildid=mine", "FROM x\nWAIT here\n")))
    thread.start()
    limit = time.monotonic() + PATIENCE_S
    while not builder.builds and time.monotonic() < limit:
        time.sleep(0.01)
    again = built.call("POST", "/build?version=2&buildid=mine", archive(Dockerfile="FROM x\n"))
    assert "the build mine goes on already" in again.message
    assert built.call("POST", "/build/cancel?id=mine").status == 200
    thread.join(PATIENCE_S)
    assert "canceled" in told[-1]["error"]


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("version=3", 400, 'invalid version "3"'),
        ("version=2&remote=upload-request", 501, "a context that is sent by a call of its own is not taken"),
        ("version=2&remote=client-session", 400, "the context client-session needs version=2, and a session"),
        ("remote=client-session&session=x", 400, "the context client-session needs version=2, and a session"),
        ("version=2&session=none", 404, "no active session for none"),
        ("version=2&outputs=[{}]", 400, "outputs need version=2, and a session"),
        ("version=2&session=x&outputs=[{},{}]", 400, "multiple outputs not supported"),
        ("version=2&session=x&outputs=[{}]", 400, "outputs: each has a Type, and Attrs"),
        ("version=2&session=x&outputs=[1]", 400, "outputs: each has a Type, and Attrs"),
    ],
)
def test_what_can_not_be(built, query, status, words):
    found = built.call("POST", f"/build?{query}", archive(Dockerfile="FROM x\n"))
    assert found.status == status
    assert found.message.startswith(words)
