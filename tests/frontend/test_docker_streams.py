"""What streams: wait, logs, events, stats, and a terminal in a browser."""

import json
import os
import time

import pytest
from frontend.streaming import ERR, OUT, PATIENCE_S, by_websocket, frames, joined, read_head
from frontend.test_docker_http import answer, head, until_closed
from moby_frontend.docker.handlers.websocket import Messages, message

from moby.contracts.containers import LogChoice
from moby.contracts.events import Event


class TestWait:
    def test_the_head_comes_at_once(self, served, make):
        identity = make("cat", open_stdin=True, stdin_once=True)
        streams = served.containers.attach(identity)
        served.containers.start(identity)
        sock = served.raw()
        sock.sendall(head("POST", f"/containers/{identity}/wait?condition=next-exit", "Content-Length: 0"))
        assert "200 OK" in read_head(sock)
        for each in {streams.stdin, streams.stdout, streams.stderr}:
            os.close(each)
        found = b""
        while b"0\r\n\r\n" not in found:
            found += sock.recv(1000)
        assert b'{"StatusCode":0}' in found

    def test_for_its_removal(self, served, make):
        identity = make("sh", "-c", "exit 3", auto_remove=True)
        sock = served.raw()
        sock.sendall(head("POST", f"/containers/{identity}/wait?condition=removed", "Content-Length: 0"))
        read_head(sock)
        served.containers.start(identity)
        assert b'{"StatusCode":3}' in sock.recv(1000)

    def test_its_start_failed(self, served, make):
        identity = make("/nonesuch")
        served.call("POST", f"/containers/{identity}/start")
        found = served.call("POST", f"/containers/{identity}/wait").json()
        assert found["StatusCode"] == 127
        assert "executable file not found" in found["Error"]["Message"]

    def test_an_exit_code_that_nobody_saw(self, served, make):
        identity = make("true")
        served.containers.set(identity, exit_code=None)
        found = served.call("POST", f"/containers/{identity}/wait").json()
        assert found["StatusCode"] == 255
        assert "unknown" in found["Error"]["Message"]

    def test_conditions(self, served, make):
        identity = make("true")
        found = served.call("POST", f"/containers/{identity}/wait?condition=x")
        assert (found.status, found.message) == (400, 'invalid condition: "x"')
        old = served.call("POST", f"/containers/{identity}/wait?condition=x", version="v1.29")
        assert old.json() == {"StatusCode": 0}


class TestLogs:
    @pytest.fixture
    def told(self, served):
        identity = served.run("sh", "-c", "echo one; echo two >&2; echo three")
        served.call("POST", f"/containers/{identity}/wait")
        return identity

    def test_framed(self, served, told):
        found = served.call("GET", f"/containers/{told}/logs?stdout=1&stderr=1")
        assert found.headers["Content-Type"] == "application/vnd.docker.multiplexed-stream"
        assert sorted(frames(found.body)) == [(OUT, b"one\n"), (OUT, b"three\n"), (ERR, b"two\n")]
        old = served.call("GET", f"/containers/{told}/logs?stdout=1", version="v1.41")
        assert old.headers["Content-Type"] == "application/vnd.docker.raw-stream"

    def test_as_of_a_terminal(self, served):
        identity = served.run("echo", "x", Tty=True)
        served.call("POST", f"/containers/{identity}/wait")
        found = served.call("GET", f"/containers/{identity}/logs?stdout=1")
        assert found.headers["Content-Type"] == "application/vnd.docker.raw-stream"
        assert found.body == b"x\r\n"

    def test_what_is_asked_for(self, served, told):
        query = "stdout=1&since=5.5&until=9000000000.000000001&tail=7&timestamps=1&details=1"
        served.call("GET", f"/containers/{told}/logs?{query}")
        asked = served.containers.calls[-1][1]
        assert (asked.stdout, asked.stderr, asked.follow, asked.timestamps, asked.details) == (
            True,
            False,
            False,
            True,
            True,
        )
        assert (asked.since_ns, asked.until_ns, asked.tail) == (5_500_000_000, 9_000_000_000_000_000_001, 7)
        served.call("GET", f"/containers/{told}/logs?stdout=1&tail=x&until=0")
        asked = served.containers.calls[-1][1]
        assert (asked.tail, asked.until_ns) == (-1, 0)

    def test_followed_to_the_end(self, served):
        identity = served.run("sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.05; done")
        found = served.call("GET", f"/containers/{identity}/logs?stdout=1&follow=1")
        assert joined(found.body) == b"1\n2\n3\n"

    def test_followed_by_one_who_goes(self, served):
        identity = served.run("sh", "-c", "echo x; exec sleep 100")
        sock = served.raw()
        sock.sendall(head("GET", f"/containers/{identity}/logs?stdout=1&follow=1"))
        read_head(sock)
        sock.close()
        deadline = time.monotonic() + PATIENCE_S
        while served.frontend._server._busy and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not served.frontend._server._busy

    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ("", "Bad parameters: you must choose at least one stream"),
            ("stdout=1&since=x", 'strconv.ParseInt: parsing "x": invalid syntax'),
            ("stdout=1&until=1.x", 'strconv.ParseInt: parsing "x": invalid syntax'),
        ],
    )
    def test_not_shown(self, served, told, query, words):
        found = served.call("GET", f"/containers/{told}/logs?{query}")
        assert (found.status, found.message) == (400, words)

    def test_a_driver_that_can_not(self, served, make):
        found = served.call("GET", f"/containers/{make('x', log=LogChoice('none'))}/logs?stdout=1")
        assert (found.status, found.message) == (501, "configured logging driver does not support reading")


class TestEvents:
    def publish(self, served, kind, action, identity, **attributes):
        served.events.publish(Event(kind, action, identity, attributes))

    def past(self, served, query="", version="v1.47", headers=None):
        now = time.time()
        path = f"/events?since=1&until={now:.9f}{query}"
        return served.call("GET", path, version=version, headers=headers)

    def lines(self, found):
        return [json.loads(each) for each in found.body.splitlines()]

    def test_the_past(self, served):
        self.publish(served, "container", "start", "i" * 64, image="box", name="aa")
        found = self.past(served)
        assert found.headers["Content-Type"] == "application/json"
        (line,) = self.lines(found)
        assert (line["status"], line["id"], line["from"]) == ("start", "i" * 64, "box")
        assert (line["Type"], line["Action"], line["scope"]) == ("container", "start", "local")
        assert line["Actor"] == {"ID": "i" * 64, "Attributes": {"image": "box", "name": "aa"}}
        assert line["timeNano"] // 10**9 == line["time"]

    @pytest.mark.parametrize("span", ["until=%.9f", "since=0&until=%.9f"])
    @pytest.mark.parametrize("more_s", [0, 0.2], ids=["of the past", "to come"])
    def test_to_an_end_without_a_beginning(self, served, span, more_s):
        self.publish(served, "volume", "create", "v")
        found = served.call("GET", f"/events?{span % (time.time() + more_s)}")
        assert [each["Action"] for each in self.lines(found)] == ["create"]

    @pytest.mark.parametrize("kind", ["container", "image"])
    def test_prunes_are_of_no_object(self, served, kind):
        self.publish(served, kind, "prune", "", reclaimed="7")
        (line,) = self.lines(self.past(served))
        assert line["Actor"] == {"ID": "", "Attributes": {"reclaimed": "7"}}
        assert line["status"] == "prune"
        assert "id" not in line

    def test_in_sequences_of_json(self, served):
        self.publish(served, "volume", "create", "v")
        found = self.past(served, headers={"Accept": "application/json-seq"})
        assert found.headers["Content-Type"] == "application/json-seq"
        assert found.body.startswith(b"\x1e{")

    def test_images_that_were_made_are_newer(self, served):
        self.publish(served, "image", "create", "sha256:x", name="box:latest")
        assert len(self.lines(self.past(served))) == 1
        assert self.lines(self.past(served, version="v1.45")) == []

    @pytest.mark.parametrize(
        ("filters", "count"),
        [
            ({"type": ["container"]}, 2),
            ({"event": ["start"]}, 1),
            ({"event": ["exec_create"]}, 1),
            ({"event": ["exec_create: sh"]}, 1),
            ({"container": ["aa"]}, 2),
            ({"container": ["iii"]}, 2),
            ({"container": ["bb"]}, 0),
            ({"image": ["box"]}, 4),
            ({"image": ["box:latest"]}, 3),
            ({"label": ["x=y"]}, 1),
            ({"label": ["x=z"]}, 0),
            ({"volume": ["data-1"]}, 1),
            ({"scope": ["swarm"]}, 0),
            ({"network": ["n"]}, 0),
            ({"container": ["a"]}, 2),
            ({"container": [""]}, 2),
            ({"container": []}, 5),
            ({"volume": ["data-"]}, 1),
            ({"volume": ["ata"]}, 0),
            ({"event": ["sta"]}, 0),
            ({"type": ["vol"]}, 0),
            ({"image": ["bo"]}, 0),
            ({"bogus": ["x"]}, 5),
            (None, 5),
        ],
    )
    def test_filters(self, served, filters, count):
        self.publish(served, "container", "start", "i" * 64, image="box:latest", name="aa", x="y")
        self.publish(served, "container", "exec_create: sh", "i" * 64, image="box:latest", name="aa")
        self.publish(served, "image", "tag", "sha256:x", name="box:latest")
        self.publish(served, "image", "delete", "sha256:x", name="box")
        self.publish(served, "volume", "create", "data-1", driver="local")
        query = json.dumps(filters).replace('"', "%22").replace(" ", "%20")
        assert len(self.lines(self.past(served, f"&filters={query}"))) == count

    @pytest.mark.parametrize("end", ["", "&until=4000000000"], ids=["for good", "for many years"])
    def test_followed(self, served, end):
        sock = served.raw()
        sock.sendall(head("GET", f"/events?filters=%7B%22event%22:%5B%22wanted%22%5D%7D{end}"))
        assert "Transfer-Encoding: chunked" in read_head(sock)
        deadline = time.monotonic() + PATIENCE_S
        while not served.events._readers and time.monotonic() < deadline:
            time.sleep(0.005)
        self.publish(served, "container", "other", "i")
        self.publish(served, "container", "wanted", "i")
        assert b'"Action":"wanted"' in sock.recv(1000)

    def test_followed_to_an_end(self, served):
        found = served.call("GET", f"/events?until={time.time() + 0.2:.6f}")
        assert (found.status, found.body) == (200, b"")

    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ("since=3&until=2", "`since` time (3) cannot be after `until` time (2)"),
            ("since=x", 'strconv.ParseInt: parsing "x": invalid syntax'),
            ("filters=%7B%22x%22:%22y%22%7D", "invalid filter"),
        ],
    )
    def test_not_shown(self, served, query, words):
        found = served.call("GET", f"/events?{query}")
        assert (found.status, found.message) == (400, words)


class TestStats:
    def test_once(self, served):
        identity = served.run("sleep", "100")
        found = served.call("GET", f"/containers/{identity}/stats?stream=0&one-shot=1").json()
        assert found["preread"] == "0001-01-01T00:00:00Z"
        assert (found["memory_stats"]["usage"], found["memory_stats"]["limit"]) == (7, 9)
        assert (found["cpu_stats"]["cpu_usage"]["total_usage"], found["pids_stats"]) == (5, {"current": 1})
        assert found["precpu_stats"]["cpu_usage"]["total_usage"] == 0
        assert found["id"] == identity

    @pytest.mark.slow
    def test_twice_and_followed(self, served):
        identity = served.run("sleep", "100")
        found = served.call("GET", f"/containers/{identity}/stats?stream=0").json()
        assert found["preread"] > "2026"
        assert found["precpu_stats"]["cpu_usage"]["total_usage"] == 5
        sock = served.raw()
        sock.sendall(head("GET", f"/containers/{identity}/stats"))
        read_head(sock)
        assert b'"read"' in sock.recv(10_000)

    def test_one_that_does_not_run(self, served, make):
        found = served.call("GET", f"/containers/{make('x')}/stats?stream=0").json()
        assert (found["read"], found["pids_stats"], found["memory_stats"]) == ("0001-01-01T00:00:00Z", {}, {})


def masked(kind, data, final=True):
    """A client's message."""
    mask = b"\x01\x02\x03\x04"
    size = bytes((0x80 | len(data),)) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
    body = bytes(each ^ mask[index % 4] for index, each in enumerate(data))
    return bytes(((0x80 if final else 0) | kind,)) + size + mask + body


class TestWebSocket:
    def test_both_ways(self, served, make):
        identity = make("cat", open_stdin=True, stdin_once=True)
        sock = by_websocket(served, f"/containers/{identity}/attach/ws?stream=1&stdin=1&stdout=1")
        served.containers.start(identity)
        sock.sendall(masked(2, b"typed\n"))
        assert sock.recv(100) == message(2, b"typed\n")
        sock.sendall(masked(9, b"ping"))
        assert sock.recv(100) == message(10, b"ping")
        sock.sendall(masked(8, b""))
        assert until_closed(sock) == message(8, b"\x03\xe8")

    def test_what_is_none(self, served, make):
        found = served.call("GET", f"/containers/{make('x')}/attach/ws")
        assert (found.status, found.body) == (400, b"not websocket protocol")

    @pytest.mark.parametrize("size", [0, 1, 125, 126, 5000])
    def test_messages_of_all_sizes_in_pieces(self, size):
        said = []
        reader = Messages(said.append)
        data = os.urandom(size)
        stream = masked(2, data)
        found = b"".join(reader.feed(stream[index : index + 7]) for index in range(0, len(stream), 7))
        assert found == data
        assert not said

    @pytest.mark.parametrize("data", [b"\x82\x05hello", b"\x82\xff" + (1 << 40).to_bytes(8, "big") + b"mask"])
    def test_messages_that_are_none(self, data):
        assert Messages(print).feed(data) is None

    @pytest.mark.parametrize(
        ("size", "start"), [(5, b"\x82\x05"), (126, b"\x82\x7e\0\x7e"), (65536, b"\x82\x7f\0\0\0\0\0\x01\0\0")]
    )
    def test_a_servers_messages(self, size, start):
        assert message(2, bytes(size)) == start + bytes(size)


def test_answers_of_whole_and_chunked_bodies_share_a_connection(served):
    sock = served.raw()
    sock.sendall(head("GET", "/events?since=1&until=2"))
    found = b""
    while b"0\r\n\r\n" not in found:
        found += sock.recv(1000)
    sock.sendall(head("GET", "/_ping"))
    assert answer(sock)[2] == b"OK"
