"""What clients see of a front end that drains and ends: what is waited for, what is broken off, what begins no more."""

import json
import threading
import time
from contextlib import suppress

import pytest
from frontend.streaming import by_websocket, joined, read_head, upgraded
from frontend.test_docker_http import answer, head, until_closed

PATIENCE_S = 60
LAST = b"0\r\n\r\n"
"""The last chunk of an answer that is whole."""
SLEEPS = ("sh", "-c", "sleep 1; echo said; exit 9")


@pytest.fixture
def ended(served):
    """End a front end as the engine does, after a time for what goes on."""

    def end(timeout_s):
        found = served.frontend.drain(timeout_s)
        served.frontend.__exit__(None, None, None)
        return found

    return end


def asked(served, method, path):
    """Ask for an answer that goes on, and return the connection once that has begun."""
    sock = served.raw()
    sock.sendall(head(method, path, "Content-Length: 0"))
    assert "200 OK" in read_head(sock)
    return sock


def waiting(served, identity):
    return asked(served, "POST", f"/containers/{identity}/wait")


def said_nothing(sock):
    """Whether a connection ends without a word."""
    with suppress(ConnectionResetError):
        return sock.recv(1000) == b""
    return True


class TestWaitedFor:
    def test_a_run_that_ends_meanwhile(self, served, ended):
        body = {"Image": "box", "Cmd": SLEEPS}
        identity = served.call("POST", "/containers/create", body).json()["Id"]
        attached, _ = upgraded(served, f"/containers/{identity}/attach?stream=1&stdout=1&stderr=1")
        sock = asked(served, "POST", f"/containers/{identity}/wait?condition=next-exit")
        assert served.call("POST", f"/containers/{identity}/start").status == 204
        assert ended(PATIENCE_S)
        assert joined(until_closed(attached)) == b"said\n"
        found = until_closed(sock)
        assert b'"StatusCode":9' in found
        assert found.endswith(LAST)

    @pytest.mark.parametrize("attach", [upgraded, by_websocket], ids=["attach", "websocket"])
    def test_one_that_goes_on(self, served, ended, attach):
        identity = served.run("sleep", "100")
        path = f"/containers/{identity}/attach"
        found = attach(served, f"{path}/ws?stream=1&stdout=1" if attach is by_websocket else f"{path}?stream=1")
        attached, sock = found if attach is not by_websocket else (found, b""), waiting(served, identity)
        assert not ended(0.3)
        assert said_nothing(attached[0])
        assert not until_closed(sock).endswith(LAST)

    def test_figures_that_are_asked_for_once(self, served, monkeypatch):
        identity = served.run("sleep", "100")
        stats, begun = served.containers.stats, threading.Event()
        monkeypatch.setattr(served.containers, "stats", lambda name: (begun.set(), stats(name))[1])
        sock = served.raw()
        sock.sendall(head("GET", f"/containers/{identity}/stats?stream=0"))
        assert begun.wait(PATIENCE_S)
        assert served.frontend.drain(PATIENCE_S)
        assert answer(sock)[0] == 200

    def test_a_log_that_is_not_followed(self, served, monkeypatch):
        identity = served.run("true")
        write, go_on = served.containers._write_log, threading.Event()
        monkeypatch.setattr(served.containers, "_write_log", lambda *given: (go_on.wait(PATIENCE_S), write(*given)))
        sock = asked(served, "GET", f"/containers/{identity}/logs?stdout=1")
        assert not served.frontend.drain(0.1)
        go_on.set()
        assert served.frontend.drain(PATIENCE_S)
        assert until_closed(sock).endswith(LAST)


class TestBrokenOff:
    @pytest.mark.parametrize("path", ["/events", "/containers/{}/stats", "/containers/{}/logs?follow=1&stdout=1"])
    @pytest.mark.parametrize(
        "program", [("sleep", "100"), ("sh", "-c", "while echo y; do sleep 0.001; done")], ids=["quiet", "loud"]
    )
    def test_what_only_clients_end(self, served, path, program):
        """Soon, however much there is to be told, and so that it doesn't look like an end."""
        sock = asked(served, "GET", path.format(served.run(*program)))
        drained = []
        thread = threading.Thread(target=lambda: drained.append(served.frontend.drain(PATIENCE_S)))
        begun = time.monotonic()
        thread.start()
        assert not until_closed(sock).endswith(LAST)
        thread.join(PATIENCE_S)
        assert drained == [True]
        assert time.monotonic() - begun < PATIENCE_S / 2


class TestBeginsNoMore:
    def test_whose_exec_is_cut_off_is_told_no_exit_code(self, served, monkeypatch):
        """Docker's command asks for it by a connection that is there, and takes none for 0."""
        kept = served.raw()
        identity = served.run("sleep", "100")
        body = json.dumps({"AttachStdout": True, "Cmd": ["sleep", "100"]}).encode()
        kind = ("Content-Type: application/json", f"Content-Length: {len(body)}")
        kept.sendall(head("POST", f"/containers/{identity}/exec", *kind) + body)
        session = json.loads(answer(kept)[2])["Id"]
        stream, _ = upgraded(served, f"/exec/{session}/start", b"{}")
        server, close_idle = served.frontend._server, served.frontend._server._close_idle
        deadline = time.monotonic() + PATIENCE_S
        while not server._idle and time.monotonic() < deadline:
            time.sleep(0.01)
        monkeypatch.setattr(server, "_close_idle", lambda: (time.sleep(0.3), close_idle()))  # where it takes long
        thread = threading.Thread(target=served.frontend.drain, args=(PATIENCE_S,))
        thread.start()
        assert until_closed(stream) == b""
        with suppress(BrokenPipeError):
            kept.sendall(head("GET", f"/exec/{session}/json"))
            assert said_nothing(kept)
        thread.join(PATIENCE_S)

    def test_a_call_behind_one_that_is_under_way(self, served):
        listed, go_on = threading.Event(), threading.Event()
        served.containers.list = lambda: (listed.set(), go_on.wait(PATIENCE_S), ())[-1]
        sock = served.raw()
        sock.sendall(head("GET", "/containers/json") + head("GET", "/_ping"))
        assert listed.wait(PATIENCE_S)
        assert not served.frontend.drain(0.1)
        go_on.set()
        status, headers, body, rest = answer(sock)
        assert (status, headers["connection"], body.strip()) == (200, "close", b"[]")
        assert rest + until_closed(sock) == b""
        assert served.frontend.drain(PATIENCE_S)
