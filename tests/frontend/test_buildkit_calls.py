"""/grpc and /session as a client that isn't BuildKit's may call them."""

import socket
import threading
from contextlib import contextmanager

import pytest
from frontend.fake_builder import FakeBuilder
from moby_frontend.docker.buildkit import services
from moby_frontend.docker.buildkit.grpc import Caller, Code, Fault
from moby_frontend.docker.buildkit.http2.link import Link
from moby_frontend.docker.buildkit.protocol.common import Empty, Status
from moby_frontend.docker.buildkit.protocol.control import (
    InfoResponse,
    ListWorkersResponse,
    Policy,
    Rule,
    SolveRequest,
    SolveResponse,
    StatusRequest,
    StatusResponse,
)
from moby_frontend.docker.buildkit.protocol.gateway import (
    EvaluateRequest,
    GatewaySolve,
    GatewaySolved,
    InputsResponse,
    Pong,
    ReturnRequest,
)
from moby_frontend.docker.buildkit.protocol.lending import Bytes

from moby.contracts.types import Platform

PATIENCE_S = 60
CONTROL, BRIDGE = "/moby.buildkit.v1.Control/", "/moby.buildkit.v1.frontend.LLBBridge/"
UPGRADE = {"Connection": "Upgrade", "Upgrade": "h2c"}


@pytest.fixture
def built(serve):
    return serve(builder=FakeBuilder())


def upgraded(served, path, **headers):
    """Return a socket that /grpc or /session has upgraded, and what it sent already."""
    sock = served.raw()
    lines = "".join(f"{name}: {value}\r\n" for name, value in (UPGRADE | headers).items())
    sock.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
    seen = b""
    while b"\r\n\r\n" not in seen:
        seen += sock.recv(65536)
    head, _, rest = seen.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols"), head
    assert b"Upgrade: h2c" in head
    return sock, rest


@contextmanager
def calling(served):
    """Lend what makes calls at /grpc."""
    sock, rest = upgraded(served, "/grpc")
    sock.settimeout(None)
    never, other = socket.socketpair()
    link = Link(sock, client=True)
    link.begin()
    thread = threading.Thread(target=link.run, args=(rest, never.fileno(), lambda: True))
    thread.start()
    try:
        yield Caller(link)
    finally:
        link.close()
        thread.join(PATIENCE_S)
        never.close()
        other.close()


def of(ref):
    return (("buildkit-controlapi-buildid", ref),)


@contextmanager
def solving(served, caller, ref="one", **fields):
    """Lend a build that waits for its client's part; at the end it is given up."""
    exchange = caller.begin(f"{CONTROL}Solve")
    exchange.send(SolveRequest(ref, internal=True, **fields), end=True)
    with exchange:
        caller.ask(f"{BRIDGE}Ping", Empty(), Pong, of(ref))
        yield exchange


class TestUpgrades:
    @pytest.mark.parametrize("path", ["/grpc", "/session"])
    def test_what_is_no_upgrade(self, built, serve, path):
        assert built.call("POST", path).message == "no upgrade proto in request"
        other = {"Connection": "Upgrade", "Upgrade": "tcp"}
        found = built.call("POST", path, headers=other)
        assert (found.status, found.message) == (400, "protocol tcp not supported")
        assert serve().call("POST", path, headers=UPGRADE).status == 404

    def test_sessions(self, built):
        found = built.call("POST", "/session", headers=UPGRADE)
        assert (found.status, found.message) == (400, "a session without an id")
        named = {"X-Docker-Expose-Session-Uuid": "abc"}
        sock, _ = upgraded(built, "/session", **named)
        again = built.call("POST", "/session", headers=UPGRADE | named)
        assert (again.status, again.message) == (409, "session abc is there already")
        sock.close()

    def test_a_session_has_its_name_before_it_is_answered(self, built, monkeypatch):
        answered = threading.Event()
        begin = Link.begin

        def late(link):
            assert answered.wait(PATIENCE_S)
            begin(link)

        monkeypatch.setattr(Link, "begin", late)
        named = {"X-Docker-Expose-Session-Uuid": "abc"}
        try:
            sock, _ = upgraded(built, "/session", **named)
            again = built.call("POST", "/session", headers=UPGRADE | named)
        finally:
            answered.set()
        assert (again.status, again.message) == (409, "session abc is there already")
        sock.close()

    def test_what_is_not_http2(self, built):
        sock, rest = upgraded(built, "/grpc")
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        while data := sock.recv(65536):
            rest += data
        assert b"this isn't HTTP/2" in rest

    def test_ping_says_that_there_is_buildkit(self, built, serve):
        assert built.call("HEAD", "/_ping").headers["Builder-Version"] == "2"
        assert serve().call("HEAD", "/_ping").headers["Builder-Version"] == "1"


class TestCalls:
    def test_who_builds(self, built):
        with calling(built) as caller:
            (worker,) = caller.ask(f"{CONTROL}ListWorkers", Empty(), ListWorkersResponse).records
            assert worker.labels["org.mobyproject.buildkit.worker.snapshotter"] == "overlay"
            assert worker.platforms[0].architecture == Platform.host().architecture
            version = caller.ask(f"{CONTROL}Info", Empty(), InfoResponse).version
            assert (version.package, version.version.partition("+")[0]) == ("moby-framework", "v0.13.2")
            assert version.version.partition("+")[2].startswith("moby-framework.")
            with caller.begin(f"{CONTROL}ListenBuildHistory") as history:
                history.send(Empty(), end=True)
                history.finish()

    def test_the_clients_part(self, built):
        with calling(built) as caller, solving(built, caller) as build:
            assert caller.ask(f"{BRIDGE}Inputs", Empty(), InputsResponse, of("one")).definitions == {}
            with pytest.raises(Fault, match="no such ref: x"):
                caller.ask(f"{BRIDGE}Evaluate", EvaluateRequest("x"), Empty, of("one"))
            caller.ask(f"{BRIDGE}Return", ReturnRequest(), Empty, of("one"))
            assert list(build.batches(SolveResponse)) == [[SolveResponse()]]
            # Who asks late is told of its end, and doesn't wait.
            with caller.begin(f"{CONTROL}Status") as status:
                status.send(StatusRequest("one"), end=True)
                assert list(status.batches(StatusResponse)) == []

    def test_a_client_that_fails(self, built):
        with calling(built) as caller, solving(built, caller) as build:
            error = Status(Code.NOT_FOUND, "mine")
            caller.ask(f"{BRIDGE}Return", ReturnRequest(error=error), Empty, of("one"))
            with pytest.raises(Fault, match="mine") as found:
                build.finish()
            assert found.value.code == Code.NOT_FOUND

    def test_what_makes_no_sense(self, built, monkeypatch):
        monkeypatch.setattr(services, "_JOB_S", 0.05)
        policies = [Policy([Rule()])]
        with calling(built) as caller, solving(built, caller):
            for path, asked, metadata, words in (
                (f"{CONTROL}Solve", SolveRequest(), (), "a build without a ref"),
                (f"{CONTROL}Solve", SolveRequest("one"), (), "job ID exists: one"),
                (f"{CONTROL}Solve", SolveRequest("two", exporter="x"), (), 'exporter "x" could not be found'),
                (f"{CONTROL}Status", StatusRequest("two"), (), "no such job two"),
                (f"{BRIDGE}Ping", Empty(), (), "a call for no build"),
                (f"{BRIDGE}Ping", Empty(), of("two"), "no such job two"),
                (f"{BRIDGE}Solve", GatewaySolve(frontend="x"), of("one"), "the front end 'x' is unknown here"),
                (f"{BRIDGE}Solve", GatewaySolve(policies=policies), of("one"), "policies of sources"),
                (
                    f"{BRIDGE}NewContainer",
                    Bytes(),
                    of("one"),
                    "unknown method /moby.buildkit.v1.frontend.LLBBridge/NewContainer",
                ),
                (f"{CONTROL}Status", Bytes(b"\xff" * 20), (), "no such job"),
            ):
                with pytest.raises(Fault, match=words):
                    caller.ask(path, asked, GatewaySolved, metadata)

    def test_messages_that_are_none(self, built):
        with calling(built) as caller:
            for data, words in (
                (b"\0\0\0\0\2\x0a\x09", "is cut short"),
                (b"\1\0\0\0\0", "compressed"),
                (b"", "0 messages"),
            ):
                with caller.begin(f"{CONTROL}Solve") as exchange:
                    exchange._stream.send(data, end=True)
                    with pytest.raises(Fault, match=words):
                        exchange.finish()
