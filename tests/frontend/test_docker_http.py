"""HTTP itself: what clients of any sort may send, and what they get."""

import json
import socket
import threading
import time
from email.utils import formatdate

import pytest
from moby_frontend.docker import connection
from moby_frontend.docker.times import http_date

from moby.contracts.requests import REQUEST
from moby.errors import Conflict, HostUnfit, NotFound, Unavailable

PATIENCE_S = 60


def head(method, path, *headers):
    lines = [f"{method} {path} HTTP/1.1", "Host: docker", *headers, "", ""]
    return "\r\n".join(lines).encode()


def answer(sock, seen=b""):
    """Read one answer that has a length; return status, headers, body, and what came after it."""
    while b"\r\n\r\n" not in seen:
        data = sock.recv(65536)
        assert data, seen
        seen += data
    start, _, rest = seen.partition(b"\r\n\r\n")
    lines = start.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    length = int(headers.get("content-length", 0))
    while len(rest) < length:
        rest += sock.recv(65536)
    return int(lines[0].split()[1]), headers, rest[:length], rest[length:]


def until_closed(sock):
    found = b""
    while data := sock.recv(65536):
        found += data
    return found


@pytest.mark.parametrize("seconds", [0, 68169600, 951782399, 951782400, 1796039428, 4102444799])
def test_dates_are_those_of_email(seconds):
    assert http_date(seconds) == formatdate(seconds, usegmt=True)


class TestRequests:
    def test_ping_has_the_headers_that_clients_negotiate_by(self, served):
        for method in ("GET", "HEAD"):
            found = served.call(method, "/_ping", version="")
            assert found.status == 200
            assert found.headers["Api-Version"] == "1.51"
            assert found.headers["Ostype"] == "linux"
            assert found.headers["Docker-Experimental"] == "false"
            assert found.headers["Server"].startswith("Docker/")
            assert found.headers["Swarm"] == "inactive"
            assert found.headers["Content-Length"] == "2"
            assert found.body == (b"OK" if method == "GET" else b"")

    def test_a_connection_serves_many_calls(self, served):
        sock = served.raw()
        for _ in range(3):
            sock.sendall(head("GET", "/_ping"))
            assert answer(sock)[2] == b"OK"

    def test_an_idle_connection_goes_on_when_its_client_does(self, served):
        sock = served.raw()
        sock.sendall(head("GET", "/_ping"))
        answer(sock)
        deadline = time.monotonic() + PATIENCE_S
        while not served.frontend._server._idle and time.monotonic() < deadline:
            time.sleep(0.01)
        assert served.frontend._server._idle  # no thread has it
        sock.sendall(head("GET", "/_ping"))
        assert answer(sock)[2] == b"OK"

    def test_calls_sent_at_once_are_answered_in_their_order(self, served):
        sock = served.raw()
        sock.sendall(head("GET", "/_ping") + head("GET", "/nonesuch") + head("HEAD", "/_ping"))
        first = answer(sock)
        second = answer(sock, first[3])
        assert (first[0], second[0]) == (200, 404)

    def test_http_1_0_ends_with_the_answer(self, served):
        sock = served.raw()
        sock.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
        assert until_closed(sock).endswith(b"\r\n\r\nOK")

    def test_a_body_comes_in_chunks(self, served):
        sock = served.raw()
        body = json.dumps({"Image": "box"}).encode()
        kind = ("Content-Type: application/json", "Transfer-Encoding: chunked")
        sock.sendall(head("POST", "/containers/create", *kind))
        for each in (body[:5], body[5:]):
            sock.sendall(b"%x\r\n%s\r\n" % (len(each), each))
        sock.sendall(b"0\r\n\r\n")
        assert answer(sock)[0] == 201

    def test_a_client_that_expects_is_told_to_continue(self, served):
        sock = served.raw()
        sock.sendall(head("POST", "/images/load", "Content-Length: 5", "Expect: 100-continue"))
        assert sock.recv(1000).startswith(b"HTTP/1.1 100 ")
        sock.sendall(b"bytes")
        assert b"Loaded image" in _stream(sock)

    def test_a_client_that_expects_and_is_refused_sends_nothing(self, served):
        sock = served.raw()
        sock.sendall(head("POST", "/nonesuch", "Content-Length: 5000000", "Expect: 100-continue"))
        assert answer(sock)[0] == 404
        sock.shutdown(socket.SHUT_WR)
        assert until_closed(sock) == b""

    def test_an_upload_is_read_as_it_comes(self, served):
        sock = served.raw()
        size = 30 << 20
        sock.sendall(head("POST", "/images/load", f"Content-Length: {size}"))
        chunk = bytes(1 << 20)
        for _ in range(30):
            sock.sendall(chunk)
        assert b"Loaded image" in _stream(sock)
        assert served.images.calls[-1][:2] == ("load", size)

    def test_a_big_body_that_nobody_reads_does_not_hide_the_answer(self, served):
        found = served.call("POST", "/containers/nonesuch/start", b"x" * 3_000_000)
        assert found.status == 400

    def test_options_are_answered(self, served):
        assert served.call("OPTIONS", "/info").status == 200

    def test_a_target_as_proxies_write_it(self, served):
        sock = served.raw()
        sock.sendall(head("GET", "http://docker/v1.40/_ping"))
        assert answer(sock)[2] == b"OK"


def _stream(sock):
    found = b""
    while b"0\r\n\r\n" not in found:
        found += sock.recv(65536)
    return found


class TestRefusals:
    def test_unknown_paths_and_methods(self, served):
        for method, path in (
            ("GET", "/nonesuch"),
            ("PUT", "/info"),
            ("GET", "/"),
            ("GET", "/containers"),
        ):
            found = served.call(method, path)
            assert (found.status, found.message) == (404, "page not found")

    def test_slashes_too_many_lead_to_where_they_are_single(self, served):
        """So that docker-py finds a container by the name that it is shown with."""
        found = served.call("GET", "//containers/%2Fa%20b/json?size=1&x=%2F%2F")
        assert (found.status, found.headers["Location"]) == (301, "/v1.47/containers/a%20b/json?size=1&x=%2F%2F")
        made = served.call("POST", "/containers/create?name=web", {"Image": "box", "Cmd": ["x"]}).json()["Id"]
        assert served.docker().inspect_container("/web")["Id"] == made

    def test_versions_out_of_range(self, served):
        old = served.call("GET", "/version", version="v1.20")
        assert old.status == 400
        assert old.message == (
            "client version 1.20 is too old. Minimum supported API version is 1.24, please upgrade your client to a "
            "newer version"
        )
        new = served.call("GET", "/version", version="v1.99")
        assert (new.status, new.message) == (
            400,
            "client version 1.99 is too new. Maximum supported API version is 1.51",
        )

    def test_routes_are_not_there_before_their_version(self, served):
        assert served.call("POST", "/containers/prune", version="v1.24").status == 404
        assert served.call("POST", "/containers/prune", version="v1.25").status == 200

    def test_versions_are_bounded_by_options(self, serve):
        served = serve(lowest_api="1.40", highest_api="1.45")
        assert served.call("GET", "/_ping", version="").headers["Api-Version"] == "1.45"
        assert served.call("GET", "/_ping", version="v1.39").status == 400
        assert served.call("GET", "/_ping", version="v1.46").status == 400

    @pytest.mark.parametrize(
        ("data", "status"),
        [
            pytest.param(b"nonsense\r\n\r\n", 400, id="no-http"),
            pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, id="tls"),
            pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, id="no-host"),
            pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400, id="length"),
            pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 200_000 + b"\r\n\r\n", 431, id="long"),
        ],
    )
    def test_what_is_no_http(self, served, data, status):
        sock = served.raw()
        sock.sendall(data)
        found = until_closed(sock)
        assert int(found.split()[1]) == status

    def test_a_body_that_is_cut_short(self, served):
        sock = served.raw()
        sock.sendall(head("POST", "/images/load", "Content-Length: 500") + b"few")
        sock.shutdown(socket.SHUT_WR)
        until_closed(sock)
        assert not [each for each in served.images.calls if each[0] == "load"]

    @pytest.mark.parametrize(
        ("body", "kind", "words"),
        [
            pytest.param(b"", "application/json", "invalid JSON: got EOF while reading request body", id="none"),
            pytest.param(b"{} {}", "application/json", "unexpected content after JSON", id="two"),
            pytest.param(b"{", "application/json", "invalid JSON: ", id="half"),
            pytest.param(b"[1]", "application/json", "invalid JSON: json: cannot unmarshal array into", id="array"),
            pytest.param(b"{}", "", "malformed Content-Type header (): mime: no media type", id="untyped"),
            pytest.param(b"{}", "text/plain", "unsupported Content-Type header (text/plain): must be", id="typed"),
            pytest.param(b"[" * 200_000, "application/json", "invalid JSON: exceeded max depth", id="deep"),
            pytest.param(
                b'{"x": NaN}',
                "application/json",
                "invalid JSON: invalid character 'N' looking for beginning of value",
                id="no number",
            ),
            pytest.param(
                b"[-Infinity]",
                "application/json",
                "invalid JSON: invalid character 'I' in numeric literal",
                id="no end of numbers",
            ),
            pytest.param(b"\xff", "application/json", "invalid JSON: ", id="bytes"),
            pytest.param(b" " * (9 << 20), "application/json", "the body is larger than", id="large"),
        ],
    )
    def test_bodies_that_are_no_json(self, served, body, kind, words):
        found = served.call("POST", "/containers/create", body, {"Content-Type": kind} if kind else {})
        assert found.status == 400
        assert found.message.startswith(words)

    def test_a_bug_is_told_as_such_and_logged(self, served):
        served.containers.list = lambda: 1 / 0
        found = served.call("GET", "/containers/json")
        assert (found.status, found.message) == (500, "ZeroDivisionError: division by zero")
        bugs = [each for each in served.log.lines if each[0] == "error"]
        assert "ZeroDivisionError" in bugs[0][2]["error"]
        served.log.lines.clear()

    @pytest.mark.parametrize(
        ("error", "level", "words"),
        [
            (HostUnfit("no space left"), "error", "call failed"),
            (Unavailable("not yet"), "error", "call failed"),
            (NotFound("No such container: x"), "debug", "call refused"),
            (Conflict("it runs"), "debug", "call refused"),
        ],
    )
    def test_a_failure_is_logged_as_an_error_where_it_is_not_the_client_s(self, served, error, level, words):
        def start(name, **more):
            raise error

        served.containers.start = start
        found = served.call("POST", "/containers/x/start")
        logged = [each for each in served.log.lines if each[1] != "call"]
        fields = {"method": "POST", "target": "/v1.47/containers/x/start", "error": found.message}
        assert logged == [(level, words, fields)]

    def test_each_call_has_an_id_that_its_log_goes_by(self, served):
        found = []
        served.containers.list = lambda: found.append((REQUEST.get(), threading.current_thread().name)) or ()
        for _ in range(2):
            served.call("GET", "/containers/json")
        assert all(name == f"call {identity}" for identity, name in found)  # as a state dump has it
        (first, _), (second, _) = found
        assert first
        assert second not in ("", first)
        assert REQUEST.get() == ""

    def test_what_fails_before_the_first_byte_is_an_answer_of_its_own(self, served):
        found = served.call("GET", "/images/nonesuch/get")
        assert (found.status, found.message) == (404, "No such image: nonesuch:latest")

    def test_what_fails_later_cuts_the_answer_short(self, served):
        def export(name):
            yield b"first"
            raise OSError(28, "No space left on device")

        served.containers.export = export
        identity = served.call("POST", "/containers/create", {"Image": "box"}).json()["Id"]
        sock = served.raw()
        sock.sendall(head("GET", f"/containers/{identity}/export"))
        found = until_closed(sock)
        assert b"first" in found
        assert not found.endswith(b"0\r\n\r\n")


class TestManyAndEndings:
    def test_a_thousand_idle_clients_do_no_harm(self, served):
        socks = [served.raw() for _ in range(1000)]
        assert served.call("GET", "/_ping").status == 200
        socks[500].sendall(head("GET", "/_ping"))
        assert answer(socks[500])[0] == 200

    def spare(self, served):
        """Wait until a thread has nothing to do."""
        assert served.call("GET", "/_ping").status == 200
        assert self.seen(lambda: served.frontend._server._spare)

    def seen(self, look):
        """Return what is to be seen, once it is."""
        deadline = time.monotonic() + PATIENCE_S
        while not (found := look()) and time.monotonic() < deadline:
            time.sleep(0.01)
        return found

    def test_a_thread_with_nothing_to_do_waits_for_who_has_just_come(self, served, monkeypatch):
        monkeypatch.setattr(connection, "LINGER_S", PATIENCE_S)
        self.spare(served)
        silent = served.raw()
        assert self.seen(lambda: [each for each in [*served.frontend._server._busy] if each.silent])
        silent.sendall(head("GET", "/_ping"))
        assert answer(silent)[2] == b"OK"

    def test_who_has_come_and_says_nothing_soon_has_no_thread(self, served):
        self.spare(served)
        silent = served.raw()
        assert self.seen(lambda: [each for each in [*served.frontend._server._idle.values()] if each.silent])
        self.spare(served)
        silent.sendall(head("GET", "/_ping"))
        assert answer(silent)[2] == b"OK"

    def test_who_has_said_nothing_yet_holds_up_no_end(self, served, monkeypatch):
        monkeypatch.setattr(connection, "LINGER_S", PATIENCE_S)
        self.spare(served)
        silent = served.raw()
        assert self.seen(lambda: [each for each in [*served.frontend._server._busy] if each.silent])
        assert served.frontend.drain(PATIENCE_S)
        assert silent.recv(1) == b""

    def test_clients_beyond_the_limit_are_refused(self, serve):
        served = serve(connections=3)
        first = [served.raw() for _ in range(3)]
        for each in first:
            each.sendall(head("GET", "/_ping"))
            assert answer(each)[0] == 200
        assert served.raw().recv(1) == b""
        assert ("too many clients", {"limit": 3}) in [each[1:] for each in served.log.lines]

    def test_a_client_that_has_gone_is_noticed(self, served):
        sock = served.raw()
        sock.sendall(head("GET", "/events"))
        assert sock.recv(1000).startswith(b"HTTP/1.1 200")
        deadline = time.monotonic() + PATIENCE_S
        while not served.events._readers and time.monotonic() < deadline:
            time.sleep(0.01)
        assert served.events._readers
        sock.close()
        while served.events._readers and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not served.events._readers

    def test_drained_it_takes_nobody(self, served):
        assert served.frontend.drain(PATIENCE_S)
        with pytest.raises(OSError):
            served.raw()

    def test_draining_gives_up_at_its_time(self, served):
        sock = served.raw()
        sock.sendall(head("POST", "/images/load", "Content-Length: 500") + b"few")
        deadline = time.monotonic() + PATIENCE_S
        while not served.frontend._server._busy and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not served.frontend.drain(0.05)
