"""Attaching to containers and terminals, and further programs in containers."""

import os
import socket
import time

import pytest
from frontend.streaming import ERR, PATIENCE_S, frames, joined, read_head, upgraded
from frontend.test_docker_http import head, until_closed
from moby_frontend.docker.hijack import DetachKeys, keys

from moby.contracts.containers import LogChoice
from moby.errors import Invalid


class TestAttach:
    def test_upgraded(self, served, make):
        identity = make("sh", "-c", "echo out; echo err >&2")
        sock, found = upgraded(served, f"/containers/{identity}/attach?stream=1&stdout=1&stderr=1")
        assert found.startswith(
            "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n"
            "Connection: Upgrade\r\nUpgrade: tcp\r\n"
        )
        assert "Api-Version: 1.51" in found
        served.containers.start(identity)
        data = until_closed(sock)
        assert (joined(data), joined(data, ERR)) == (b"out\n", b"err\n")

    @pytest.mark.parametrize(
        ("version", "upgrade", "start"),
        [
            ("v1.47", True, "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n"),
            ("v1.41", True, "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n"),
            ("v1.47", False, "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n"),
        ],
    )
    def test_the_type_is_as_the_version_has_it(self, served, make, version, upgrade, start):
        identity = make("echo", "x")
        path = f"/containers/{identity}/attach?stream=1&stdout=1"
        sock, found = upgraded(served, path, version=version, upgrade=upgrade)
        assert found.startswith(start)
        served.containers.start(identity)
        assert joined(until_closed(sock)) == b"x\n"

    def test_a_half_that_ends_leaves_the_other(self, served, make):
        identity = make("sh", "-c", "cat; echo done", open_stdin=True, stdin_once=True)
        sock, _ = upgraded(served, f"/containers/{identity}/attach?stream=1&stdin=1&stdout=1")
        served.containers.start(identity)
        sock.sendall(b"typed\n")
        sock.shutdown(socket.SHUT_WR)
        assert joined(until_closed(sock)) == b"typed\ndone\n"

    def test_what_is_said_to_nobody_is_thrown_away(self, served, make):
        identity = make("echo", "out")
        sock, _ = upgraded(served, f"/containers/{identity}/attach?stream=1&stdout=1")
        sock.settimeout(PATIENCE_S)
        sock.sendall(b"much" * 250_000)  # which no socket has room for
        sock.shutdown(socket.SHUT_WR)
        served.containers.start(identity)
        assert joined(until_closed(sock)) == b"out\n"

    def test_what_comes_with_the_head_is_input_already(self, served, make):
        identity = make("cat", open_stdin=True, stdin_once=True)
        sock = served.raw()
        path = f"/containers/{identity}/attach?stream=1&stdin=1&stdout=1"
        sock.sendall(head("POST", path, "Content-Length: 0", "Connection: Upgrade", "Upgrade: tcp") + b"early\n")
        sock.shutdown(socket.SHUT_WR)
        read_head(sock)
        served.containers.start(identity)
        assert joined(until_closed(sock)) == b"early\n"

    @pytest.mark.slow
    @pytest.mark.parametrize("size", [10 << 20])
    def test_much_both_ways(self, served, make, size):
        identity = make("cat", open_stdin=True, stdin_once=True)
        sock, _ = upgraded(served, f"/containers/{identity}/attach?stream=1&stdin=1&stdout=1")
        served.containers.start(identity)
        import threading

        data = os.urandom(1 << 20) * (size >> 20)

        def send():
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        found = until_closed(sock)
        sender.join()
        assert joined(found) == data

    def test_one_stream_alone(self, served, make):
        identity = make("sh", "-c", "echo out; echo err >&2")
        sock, _ = upgraded(served, f"/containers/{identity}/attach?stream=1&stderr=1")
        served.containers.start(identity)
        assert frames(until_closed(sock)) == [(ERR, b"err\n")]

    def test_what_was_written_before(self, served, make):
        identity = make("sh", "-c", "echo before; read line; echo after", open_stdin=True, stdin_once=True)
        first = served.containers.attach(identity)
        os.close(first.stderr)
        served.containers.start(identity)
        with os.fdopen(first.stdout, "rb") as out:
            assert out.readline() == b"before\n"
            sock, _ = upgraded(served, f"/containers/{identity}/attach?logs=1&stream=1&stdout=1")
            os.write(first.stdin, b"\n")
            os.close(first.stdin)
            assert joined(until_closed(sock)) == b"before\nafter\n"

    def test_only_what_was_written_before(self, served, make):
        identity = make("echo", "x")
        served.containers.start(identity)
        served.call("POST", f"/containers/{identity}/wait")
        sock, _ = upgraded(served, f"/containers/{identity}/attach?logs=1&stdout=1")
        assert joined(until_closed(sock)) == b"x\n"

    def test_errors_are_http(self, served, make):
        identity = make("true")
        served.containers.start(identity)
        served.call("POST", f"/containers/{identity}/wait")
        found = served.call("POST", f"/containers/{identity}/attach?stream=1")
        assert (found.status, found.message) == (409, "You cannot attach to a stopped container, start it first")
        found = served.call("POST", f"/containers/{identity}/attach?stream=1&detachKeys=ctrl-~")
        assert (found.status, found.message.startswith("Invalid escape keys (ctrl-~)")) == (400, True)
        found = served.call("POST", "/containers/nonesuch/attach?stream=1")
        assert (found.status, found.message) == (404, "No such container: nonesuch")

    def test_what_fails_once_the_client_goes_on_is_in_the_stream(self, served, make):
        identity = make("true")
        served.containers.hesitates = True
        sock, found = upgraded(served, f"/containers/{identity}/attach?stream=1&stdout=1&stderr=1")
        assert found.startswith("HTTP/1.1 101 UPGRADED\r\n")
        assert joined(until_closed(sock), ERR) == b"Error attaching: nobody is there to be attached to\r\n"
        sock, _ = upgraded(served, f"/containers/{make('true', terminal=True)}/attach?stream=1&stdout=1")
        assert until_closed(sock) == b"Error attaching: nobody is there to be attached to\r\n"

    def test_a_log_that_can_not_be_read(self, served, make):
        identity = make("true", log=LogChoice("none"))
        found = served.call("POST", f"/containers/{identity}/attach?stream=1&logs=1")
        assert (found.status, found.message) == (501, "configured logging driver does not support reading")

    def test_a_client_that_goes_leaves_the_container(self, served, make):
        identity = make("sleep", "100")
        sock, _ = upgraded(served, f"/containers/{identity}/attach?stream=1&stdout=1")
        served.containers.start(identity)
        sock.close()
        deadline = time.monotonic() + PATIENCE_S
        while served.frontend._server._busy and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not served.frontend._server._busy
        assert served.containers.get(identity).state.status == "running"


class TestTerminals:
    @pytest.fixture
    def terminal(self, served, make):
        identity = make("sh", "-c", "stty -echo; echo ready; cat", terminal=True, open_stdin=True)
        sock, found = upgraded(served, f"/containers/{identity}/attach?stream=1&stdin=1&stdout=1&stderr=1")
        assert "application/vnd.docker.raw-stream" in found
        served.containers.start(identity)
        self.wait_for(sock, b"ready")
        self.identity = identity
        return sock

    def wait_for(self, sock, mark):
        found = b""
        while mark not in found:
            data = sock.recv(1000)
            assert data, found
            found += data
        return found

    def test_bytes_go_as_they_are(self, terminal):
        terminal.sendall(b"typed\n")
        assert self.wait_for(terminal, b"typed\r\n")

    def test_its_size(self, served, make):
        identity = make("sh", "-c", "sleep 0.1; until stty size | grep '7 9'; do sleep 0.05; done", terminal=True)
        sock, _ = upgraded(served, f"/containers/{identity}/attach?stream=1&stdout=1")
        served.containers.start(identity)
        assert served.call("POST", f"/containers/{identity}/resize?h=7&w=9").status == 200
        self.wait_for(sock, b"7 9")

    def test_detach_keys_end_the_connection_alone(self, served, terminal):
        since = time.time_ns()
        terminal.sendall(b"x\x10\x11")
        until_closed(terminal)
        assert served.containers.get(self.identity).state.status == "running"
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if "detach" in [each.action for each in served.events.past(since, time.time_ns())]:
                return
            time.sleep(0.01)
        pytest.fail("no event of it")

    def test_keys_of_ones_choice(self, served, terminal):
        path = f"/containers/{self.identity}/attach?stream=1&stdin=1&stdout=1&detachKeys=a,ctrl-a"
        sock, _ = upgraded(served, path)
        sock.sendall(b"ab\na\x01")
        until_closed(sock)
        self.wait_for(terminal, b"ab\r\n")


class TestKeys:
    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            ("", b"\x10\x11"),
            ("a", b"a"),
            ("ctrl-a,b", b"\x01b"),
            ("ctrl-@", b"\0"),
            ("ctrl-_", b"\x1f"),
            ("ctrl-[", b"\x1b"),
        ],
    )
    def test_read(self, text, wanted):
        assert keys(text) == wanted

    @pytest.mark.parametrize("text", ["ab", "ctrl-", "ctrl-1", ",", "ctrl-ab"])
    def test_not_read(self, text):
        with pytest.raises(Invalid, match="Invalid escape keys"):
            keys(text)

    @pytest.mark.parametrize(
        ("chunks", "out", "found"),
        [
            ([b"x\x10\x11y"], b"x", True),
            ([b"\x10", b"\x11"], b"", True),
            ([b"\x10", b"y"], b"\x10y", False),
            ([b"\x10\x10\x11"], b"\x10", True),
            ([b"\x11\x10"], b"\x11", False),
        ],
    )
    def test_looked_for(self, chunks, out, found):
        looking = DetachKeys(b"\x10\x11")
        passed, ended = b"", False
        for each in chunks:
            more, ended = looking.feed(each)
            passed += more
        assert (passed, ended) == (out, found)


class TestExec:
    @pytest.fixture
    def box(self, served):
        return served.run("sleep", "100")

    def prepared(self, served, box, *command, **fields):
        body = {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True, **fields}
        found = served.call("POST", f"/containers/{box}/exec", body)
        assert found.status == 201
        return found.json()["Id"]

    def test_attached(self, served, box):
        identity = self.prepared(served, box, "sh", "-c", "echo out; echo err >&2; exit 7")
        before = served.call("GET", f"/exec/{identity}/json").json()
        assert (before["Running"], before["ExitCode"], before["Pid"]) == (False, None, 0)
        sock, found = upgraded(served, f"/exec/{identity}/start", b'{"Detach":false,"Tty":false}')
        assert found.startswith("HTTP/1.1 101 UPGRADED")
        data = until_closed(sock)
        assert (joined(data), joined(data, ERR)) == (b"out\n", b"err\n")
        after = served.call("GET", f"/exec/{identity}/json").json()  # known as soon as the stream has ended
        assert (after["Running"], after["ExitCode"], after["ContainerID"]) == (False, 7, box)
        assert after["ProcessConfig"] == {
            "tty": False,
            "entrypoint": "sh",
            "arguments": ["-c", "echo out; echo err >&2; exit 7"],
            "privileged": False,
        }

    def test_input(self, served, box):
        identity = self.prepared(served, box, "cat", AttachStdin=True)
        sock, _ = upgraded(served, f"/exec/{identity}/start", b"{}")
        sock.sendall(b"typed")
        sock.shutdown(socket.SHUT_WR)
        assert joined(until_closed(sock)) == b"typed"

    def test_a_terminal(self, served, box):
        script = "until stty size | grep '7 9'; do sleep 0.05; done"
        identity = self.prepared(served, box, "sh", "-c", script, Tty=True, ConsoleSize=[3, 4], User="me")
        sock, found = upgraded(served, f"/exec/{identity}/start", b'{"Tty":true,"ConsoleSize":[5,6]}')
        assert "raw-stream" in found
        deadline = time.monotonic() + PATIENCE_S
        while served.call("POST", f"/exec/{identity}/resize?h=7&w=9").status != 200:  # it may not have started yet
            assert time.monotonic() < deadline
        assert b"7 9" in until_closed(sock)
        assert served.call("GET", f"/exec/{identity}/json").json()["ProcessConfig"]["user"] == "me"
        late = served.call("POST", f"/exec/{identity}/resize?h=7&w=9")
        assert (late.status, late.message.startswith(f"process does not exist {identity}")) == (404, True)

    def test_a_size_of_what_does_not_run(self, served, box):
        identity = self.prepared(served, box, "sh", Tty=True)
        found = served.call("POST", f"/exec/{identity}/resize?h=7&w=9")
        assert (found.status, found.message) == (500, "timeout waiting for exec session ready")
        identity = self.prepared(served, box, "/no/such")
        served.call("POST", f"/exec/{identity}/start", {"Detach": True})
        found = served.call("POST", f"/exec/{identity}/resize?h=7&w=9")
        assert (found.status, found.message) == (400, "exec process is not started")

    def test_detached(self, served, box, tmp_path):
        identity = self.prepared(served, box, "touch", str(tmp_path / "made"))
        found = served.call("POST", f"/exec/{identity}/start", {"Detach": True})
        assert (found.status, found.body) == (200, b"")
        again = served.call("POST", f"/exec/{identity}/start", {"Detach": True})
        assert (again.status, again.message) == (409, f"Error: Exec command {identity} has already run")
        sock, _ = upgraded(served, f"/exec/{identity}/start")
        assert joined(until_closed(sock)) == f"Error: Exec command {identity} has already run\r\n".encode()

    def test_what_can_not_be_started_is_told_in_the_stream(self, served, box):
        identity = self.prepared(served, box, "/nonesuch")
        sock, found = upgraded(served, f"/exec/{identity}/start", b"{}")
        assert found.startswith("HTTP/1.1 101 UPGRADED")
        assert joined(until_closed(sock)) == b'exec: "/nonesuch": executable file not found in $PATH: unknown\r\n'
        assert served.call("GET", f"/exec/{identity}/json").json()["ExitCode"] == 127

    def test_with_nothing_attached_the_connection_ends_with_it(self, served, box):
        identity = served.call("POST", f"/containers/{box}/exec", {"Cmd": ["sh", "-c", "exit 3"]}).json()["Id"]
        sock, _ = upgraded(served, f"/exec/{identity}/start", b"{}")
        assert until_closed(sock) == b""
        assert served.call("GET", f"/exec/{identity}/json").json()["ExitCode"] == 3

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ({}, "No exec command specified"),
            ({"Cmd": []}, "No exec command specified"),
            ({"Cmd": ["a"], "DetachKeys": "ctrl-"}, "Invalid escape keys"),
            ({"Cmd": ["a"], "ConsoleSize": [1]}, "ConsoleSize: two numbers are wanted"),
        ],
    )
    def test_create_fails(self, served, box, body, words):
        found = served.call("POST", f"/containers/{box}/exec", body)
        assert (found.status, found.message.startswith(words)) == (400, True)

    def test_of_what_is_not_there(self, served, make):
        assert served.call("POST", "/containers/nonesuch/exec", {"Cmd": ["a"]}).status == 404
        assert served.call("POST", f"/containers/{make('true')}/exec", {"Cmd": ["a"]}).status == 409
        for method, path in (("GET", "json"), ("POST", "start"), ("POST", "resize?h=1&w=1")):
            found = served.call(method, f"/exec/nonesuch/{path}")
            assert (found.status, found.message) == (404, "No such exec instance: nonesuch")
