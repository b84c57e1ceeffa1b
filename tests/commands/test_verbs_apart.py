"""What the verbs are made of, without an engine."""

import argparse
import json
import os
import re
import socket
import threading

import pytest
from moby_containers.command import bodies, options, pulling, statistics, template, words
from moby_containers.command.client import Client, query
from moby_containers.command.looking import filters
from moby_containers.command.plugin import moby_components
from moby_containers.command.streams import Frames, Session, keys
from moby_containers.command.verb import Verb, do

from moby.contracts.ambient import Place
from moby.errors import Conflict, Denied, Invalid, NotFound, Unavailable, Unsupported
from moby.testing.command import CommandSuite

ALL = tuple(each.name for each in moby_components())


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path, tmp_path / "run/command/x", tmp_path)


@pytest.mark.parametrize("name", ALL)
class TestVerbs(CommandSuite):
    @pytest.fixture
    def command(self, name, place):
        found = {each.name: each for each in moby_components()}[name]
        self.usage_code = 125 if name in ("docker-run", "exec") else 2
        from moby_containers.command.plugin import Config

        return found.factory(Config(), frontend=None, place=place)


class _Without:
    """An engine that has no images."""

    def post(self, path, body):
        raise NotFound(f"No such image: {body['Image']}")


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [("Box:x", Invalid, "try box:x"), ("a b", Invalid, "repository name"), ("a" * 64, NotFound, "No such image")],
)
def test_no_image_can_be_named_so(image, error, words):
    with pytest.raises(error) as caught:
        pulling.create(
            _Without(), "/containers/create", {"Image": image}, image=image, policy="missing", platform="", quiet=True
        )
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("{{.A}}", "1"), ("{{json .}}", '{"A":1,"B":{"C":[true,null]},"D":"x"}'), ("{{.B.C}}", "[true <no value>]"),
        ("{{ upper .D }}-{{lower .D}}", "X-x"), ("a\\tb", "a\tb"), ("json", '{"A":1,"B":{"C":[true,null]},"D":"x"}'),
        ("{{.B}}", "map[C:[true <no value>]]"), ("{{json .B.C}}", "[true,null]"),
    ],
)  # fmt: skip
def test_templates(form, text):
    assert template.shown([{"A": 1, "B": {"C": [True, None]}, "D": "x"}], form, {}) == [text]


@pytest.mark.parametrize(
    "form", ["{{range .A}}{{end}}", "{{.A.B}}", "{{.Nonesuch}}", "{{if .A}}x{{end}}", "{{nonesuch .A}}"]
)
def test_templates_that_aren_t_understood(form):
    with pytest.raises(Unsupported, match="template"):
        template.shown([{"A": 1}], form, {})


def test_tables():
    rows = [{"A": "a" * 12, "B": "b"}, {"A": "a", "B": "bb"}]
    assert template.shown(rows, "", {"A": "FIRST", "B": "B"}) == [
        "FIRST          B",
        f"{'a' * 12}   b",
        f"a{' ' * 14}bb",
    ]
    assert template.shown(rows[:0], "table {{.B}}\\t{{.A}}", {"A": "FIRST"}) == ["B         FIRST"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"), (119, "About a minute"),
        (120, "2 minutes"), (3600, "About an hour"), (7200, "2 hours"), (3 * 86400, "3 days"), (15 * 86400, "2 weeks"),
        (90 * 86400, "3 months"), (800 * 86400, "2 years"),
    ],
)  # fmt: skip
def test_ages(seconds, text):
    assert words.age(seconds) == text


def test_sizes_and_ports():
    assert [words.size(each) for each in (0, 999, 1000, 1234567, 5 * 10**9)] == ["0B", "999B", "1kB", "1.23MB", "5GB"]
    published = {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}
    assert words.ports([{"PrivatePort": 90, "Type": "udp"}, published]) == "90/udp, 0.0.0.0:8080->80/tcp"


def body(*given):
    parser = argparse.ArgumentParser(add_help=False)
    options.add(parser)
    return bodies.body(parser.parse_args([*given, "box", "-c", "x"]), attach=True)


def test_what_options_come_to(monkeypatch, tmp_path):
    monkeypatch.setenv("PASSED", "on")
    monkeypatch.delenv("UNSET", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "env").write_text("# no\nFILE=1\n\nPASSED\n")
    found = body(
        "-it", "-e", "A=b", "-e", "PASSED", "-e", "UNSET", "--env-file", "env", "-m", "64m", "--cpus", "1.5", "-v",
        "./here:/a:ro", "-v", "/anonymous", "--restart", "on-failure:3", "-p", "127.0.0.1:8080:80", "-p", "53/udp",
        "--ulimit", "nofile=1:2", "--device", "/dev/null:/x:r", "--health-cmd", "true", "--health-interval", "1m30s",
        "--mount", "type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=700", "--entrypoint", "", "--memory-swap", "-1",
    )  # fmt: skip
    host = found["HostConfig"]
    assert found["Env"] == ["FILE=1", "PASSED=on", "A=b", "PASSED=on"]
    assert (found["Cmd"], found["Entrypoint"], found["Tty"], found["StdinOnce"]) == (["-c", "x"], [""], True, True)
    assert (host["Memory"], host["MemorySwap"], host["NanoCpus"]) == (64 << 20, -1, 1_500_000_000)
    assert (host["Binds"], found["Volumes"]) == ([f"{tmp_path}/here:/a:ro"], {"/anonymous": {}})
    assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert host["PortBindings"] == {
        "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}], "53/udp": [{"HostIp": "", "HostPort": ""}],
    }  # fmt: skip
    assert host["Mounts"] == [{"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o700}}]
    assert host["Ulimits"] == [{"Name": "nofile", "Soft": 1, "Hard": 2}]
    assert host["Devices"] == [{"PathOnHost": "/dev/null", "PathInContainer": "/x", "CgroupPermissions": "r"}]
    assert (found["Healthcheck"]["Test"], found["Healthcheck"]["Interval"]) == (["CMD-SHELL", "true"], 90 * 10**9)


def test_health_that_is_asked_for_without_a_process():
    http = "http://localhost:8080/health"
    assert body("--health-http", http, "--health-retries", "2")["Healthcheck"]["Test"] == ["HTTP", http]
    assert body("--health-tcp", "5432")["Healthcheck"]["Test"] == ["TCP", "5432"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (["--health-cmd", "true", "--health-tcp", "80"], "only one of"),
        (["--rm", "--restart", "always"], "both --restart and --rm"), (["--restart", "no:x"], "restart policy format"),
        (["-p", "x"], "publish opts"), (["--ulimit", "x"], "ulimit"), (["-e", "=x"], "environment variable"),
        (["--mount", "type=bind,nonesuch=1,target=/x"], "unexpected key"), (["--mount", "type=bind"], "target"),
        (["--mount", "type=bind,target=/x,tmpfs-size=1m"], "cannot mix"), (["-v", "a:/b:odd"], "invalid mode"),
        (["--device", "a:b:c:d"], "device specification"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else None,
)  # fmt: skip
def test_options_that_wont_do(given, text):
    with pytest.raises(Invalid, match=text):
        body(*given)


def test_files_that_aren_t_there():
    for given in (["--env-file", "/nonesuch"], ["--security-opt", "seccomp=/nonesuch"]):
        with pytest.raises(NotFound, match="open /nonesuch: no such file"):
            body(*given)


def test_frames_in_any_pieces():
    data = b"\1\0\0\0\0\0\0\3out" + b"\2\0\0\0\0\0\0\3err" + b"\1\0\0\0\0\0\0\0"
    for step in (1, 5, 100):
        frames = Frames()
        found = [part for at in range(0, len(data), step) for part in frames.feed(data[at : at + step])]
        assert found == [(1, b"out"), (2, b"err"), (1, b"")]


def test_keys_that_detach():
    assert (keys("ctrl-p,ctrl-q"), keys("a,ctrl-["), keys("")) == (b"\x10\x11", b"a\x1b", b"")
    with pytest.raises(Invalid, match="keys"):
        keys("ctrl-pp")


def test_typing_them_detaches(monkeypatch):
    ours, theirs = socket.socketpair()
    reads, writes = os.pipe()
    kept = os.dup(0)
    try:
        os.dup2(reads, 0)
        os.write(writes, b"ab\x10\x11")
        assert Session(ours, b"", terminal=True, stdin=True).pump() is False
    finally:
        os.dup2(kept, 0)
        for fd in (kept, reads, writes):
            os.close(fd)
        theirs.close()


def test_queries_and_filters():
    assert (
        query(a=True, b=False, c="", d=None, e="x y", f={"k": ["v"]}) == "?a=1&e=x+y&f=%7B%22k%22%3A+%5B%22v%22%5D%7D"
    )
    assert filters(["a=b", "a=c=d"]) == {"a": ["b", "c=d"]}
    with pytest.raises(Invalid, match="filter"):
        filters(["a"])


# The engine's answers


def answering(path, *answers):
    """Serve answers, one a connection, at a socket; return a list that gets what was asked."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    asked = []

    def serve():
        for each in answers:
            connection, _ = listener.accept()
            asked.append(_request(connection))
            connection.sendall(each)
            connection.close()
        listener.close()

    threading.Thread(target=serve, daemon=True).start()
    return asked


def _request(connection):
    """Return a whole request: its head and as much as that says."""
    found = b""
    while b"\r\n\r\n" not in found or len(found.partition(b"\r\n\r\n")[2]) < _length(found):
        found += connection.recv(65536)
    return found


def _length(head):
    match = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return int(match[1]) if match else 0


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Invalid), (403, Denied), (404, NotFound), (409, Conflict), (501, Unsupported), (503, Unavailable)],
)
def test_errors_are_the_engine_s(tmp_path, status, kind):
    text = b'{"message": "in its words"}'
    answer = b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(text), text)
    answering(tmp_path / "s", answer, answer)
    for call in (lambda: Client(tmp_path / "s").get("/x"), lambda: Client(tmp_path / "s").hijack("/x")):
        with pytest.raises(kind, match=r"^Error response from daemon: in its words$"):
            call()


def test_an_engine_that_goes_away(tmp_path):
    answering(tmp_path / "s", b"", b"")
    with pytest.raises(Unavailable, match="didn't answer"):
        Client(tmp_path / "s").get("/x")
    with pytest.raises(Unavailable, match="closed the connection"):
        Client(tmp_path / "s").hijack("/x")


def test_nobody_who_answers(place, tmp_path, capfd):
    with pytest.raises(Unavailable, match="doesn't answer"):
        Client(tmp_path / "nonesuch", patience_s=0).get("/x")
    assert Verb("volume", place).run([]) == 2
    assert Verb("volume", place).run(["nonesuch"]) == 2
    assert capfd.readouterr().err.startswith("usage: ")


def test_wrong_usage_is_told_without_pages_of_options(place, capfd):
    assert Verb("run", place).run([]) == 125
    usage, wrong, more = capfd.readouterr().err.splitlines()
    assert usage.endswith(" run [OPTIONS] IMAGE ...")
    assert wrong.endswith(" run: the following arguments are required: IMAGE")
    assert more.endswith(" run --help'.")


@pytest.mark.parametrize(
    ("verb", "words", "code", "told"),
    [
        pytest.param("ps", ["--nope=3", "-a"], 2, "unknown flag: --nope", id="long"),
        pytest.param("ps", ["-z"], 2, "unknown shorthand flag: 'z' in -z", id="short"),
        pytest.param("start", ["--nope"], 2, "unknown flag: --nope", id="nothing-else"),
        pytest.param("run", ["--nope", "box", "--other"], 125, "unknown flag: --nope", id="run"),
        pytest.param("ps", ["-n", "x", "--nope"], 2, "argument -n/--last: invalid int value: 'x'", id="value"),
        pytest.param("ps", ["box"], 2, "unrecognized arguments: box", id="no-flag"),
        pytest.param("network", ["create", "--nope"], 2, "unknown flag: --nope", id="below"),
    ],
)
def test_flags_that_are_not_known(place, capfd, verb, words, code, told):
    """Are told of in docker's words, before what lacks."""
    assert Verb(verb, place).run(words) == code
    assert capfd.readouterr().err.splitlines()[-2].partition(": ")[2] == told


# What containers use, in docker's words

SAMPLE = {
    "id": "f" * 64, "name": "/box", "pids_stats": {"current": 3},
    "cpu_stats": {"cpu_usage": {"total_usage": 300}, "system_cpu_usage": 2000, "online_cpus": 2},
    "precpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000},
    "memory_stats": {"usage": 3 << 20, "limit": 1 << 30, "stats": {"inactive_file": 1 << 20}},
    "blkio_stats": {"io_service_bytes_recursive": [
        {"op": "read", "value": 1000}, {"op": "Write", "value": 2500}, {"op": "Total", "value": 9},
    ]},
    "networks": {"eth0": {"rx_bytes": 1, "tx_bytes": 2}, "eth1": {"rx_bytes": 1000, "tx_bytes": 2}},
}  # fmt: skip


def test_figures_of_a_container():
    assert statistics.figures("asked", SAMPLE, whole=False) == {
        "BlockIO": "1kB / 2.5kB", "CPUPerc": "40.00%", "Container": "asked", "ID": "f" * 12, "MemPerc": "0.20%",
        "MemUsage": "2MiB / 1GiB", "Name": "box", "NetIO": "1kB / 4B", "PIDs": "3",
    }  # fmt: skip
    assert statistics.figures("asked", SAMPLE, whole=True)["ID"] == "f" * 64


@pytest.mark.parametrize(
    ("memory", "usage", "share"),
    [
        ({}, "0B / 0B", "0.00%"),
        ({"usage": 10, "limit": 100, "stats": {"total_inactive_file": 4, "inactive_file": 9}}, "6B / 100B", "6.00%"),
        ({"usage": 10, "limit": 100, "stats": {"inactive_file": 11}}, "10B / 100B", "10.00%"),
    ],
    ids=["not running", "version 1", "more than all"],
)
def test_memory_without_what_the_kernel_can_take_back(memory, usage, share):
    found = statistics.figures("x", {**SAMPLE, "memory_stats": memory}, whole=False)
    assert (found["MemUsage"], found["MemPerc"]) == (usage, share)


def test_figures_of_one_that_is_not_running():
    none = {"cpu_usage": {"total_usage": 0}}
    empty = {"cpu_stats": none, "precpu_stats": none, "memory_stats": {}, "pids_stats": {}, "networks": None,
             "blkio_stats": {"io_service_bytes_recursive": None}}  # fmt: skip
    found = statistics.figures("x", {**SAMPLE, **empty}, whole=False)
    assert (found["CPUPerc"], found["PIDs"], found["NetIO"], found["BlockIO"]) == ("0.00%", "0", "0B / 0B", "0B / 0B")
    assert statistics.figures("x", {}, whole=False)["Name"] == "--"


def test_sizes_in_units_of_1024():
    sizes = [words.binary_size(each) for each in (0, 1023, 1024, 1_294_000, 23.54 * 2**30)]
    assert sizes == ["0B", "1023B", "1KiB", "1.234MiB", "23.54GiB"]


def test_an_update_changes_what_was_given_alone(tmp_path):
    text = b'{"Warnings":["said"]}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)
    asked = answering(tmp_path / "s", answer)
    given = ["-m", "64m", "--cpus", "1.5", "--restart", "on-failure:3", "--pids-limit", "0", "box"]
    assert do(Client(tmp_path / "s"), "update", given, prefix="engine") == 0
    assert json.loads(asked[0].partition(b"\r\n\r\n")[2]) == {
        "Memory": 64 << 20, "NanoCpus": 1_500_000_000, "PidsLimit": 0,
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
    }  # fmt: skip


EVENT = json.dumps({"timeNano": 1, "Type": "container", "Action": "start", "Actor": {"ID": "box"}}).encode() + b"\n"


@pytest.mark.parametrize(
    ("verb", "given", "sent"),
    [
        ("wait", ["box"], b""),
        ("events", [], EVENT),
        ("logs", ["-f", "box"], bytes((1, 0, 0, 0, 0, 0, 0, 3)) + b"up\n"),
        ("pull", ["box"], b'{"status":"Pulling"}\n'),
    ],
)
def test_an_answer_that_is_broken_off_is_no_end(tmp_path, capfd, verb, given, sent):
    """As where the engine ends meanwhile; what came before that is shown."""
    text = b'{"Config":{"Tty":false}}'
    kind = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    broken = kind + b"Transfer-Encoding: chunked\r\n\r\n" + (b"%x\r\n%s\r\n" % (len(sent), sent) if sent else b"")
    first = [kind + b"Content-Length: %d\r\n\r\n%s" % (len(text), text)] if verb == "logs" else []
    answering(tmp_path / "s", *first, broken)
    client = Client(tmp_path / "s")
    with pytest.raises(Unavailable, match="the engine ended before it had answered"):
        pulling.pull(client, "box") if verb == "pull" else do_whole(client, verb, given)
    out, err = capfd.readouterr()
    assert {"wait": "", "events": "start box", "logs": "up\n", "pull": "Pulling"}[verb] in out + err


def do_whole(client, verb, given):
    """Do a verb; what it tells of each name is raised."""
    if verb == "wait":
        client.post(f"/containers/{given[0]}/wait")
    else:
        do(client, verb, given, prefix="engine")


def test_lines_come_as_they_are(tmp_path):
    """However the chunks lie across them, and without an end of the last."""
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in (b"1\n2", b"2\n\n3", b"\n4"))
    answering(tmp_path / "s", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")
    with Client(tmp_path / "s").open("GET", "/events") as answer:
        assert [*answer] == [b"1\n", b"22\n", b"\n", b"3\n", b"4"]
