"""What `build` is made of, without an engine."""

import io
import os
import socket
import stat
import tarfile
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from moby_builder.command import contexts, failing, fields, keeping, layouts, lending, plain, screen
from moby_builder.command.asking import ask
from moby_builder.command.calling import Caller, _Failed, build
from moby_builder.command.options import build_parser, size
from moby_builder.command.outputs import outputs
from moby_builder.command.packing import packed
from moby_builder.command.plugin import Config, make, moby_components
from moby_builder.command.receiving import Incoming, write_folder
from moby_builder.command.showing import Display
from moby_builder.command.telling import Told
from peers.sandbox import until

from moby.contracts.ambient import Place
from moby.contracts.builder import (
    BuildFailed,
    CacheExport,
    CacheSource,
    Entry,
    ExportType,
    Finding,
    Log,
    Planned,
    Progress,
    Range,
    Selection,
    Vertex,
)
from moby.contracts.image_registry import Credentials
from moby.contracts.types import Limits, Platform
from moby.errors import Denied, Invalid, NotFound, Unavailable, Unsupported
from moby.oci.digest import sha256
from moby.testing.command import CommandSuite


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path, tmp_path / "run/command/x", tmp_path)


@pytest.mark.parametrize("name", ["build", "builder"])
class TestVerbs(CommandSuite):
    @pytest.fixture
    def command(self, name, place):
        found = {each.name: each for each in moby_components()}[name]
        return found.factory(Config(), builder=None, frontend=None, place=place)


def asked(*words):
    return build_parser().parse_args([*words, "."] if "." not in words else list(words))


# Options


def test_what_options_come_to(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    words = (
        "-t", "a:1", "-t", "b", "--build-arg", "A=1", "--build-arg", "PASSED", "--build-arg", "UNSET", "--label", "l=v",
        "--platform", "linux/arm64/v8,amd64", "--network", "host", "--add-host", "a:10.0.0.1", "--add-host", "b=[::1]",
        "--ulimit", "nofile=1:2", "--ulimit", "core=3", "--shm-size", "64m", "--no-cache-filter", "x,y",
        "--sbom", "true", "--provenance", "mode=max", "--cache-from", "img", "--cache-from", "type=registry,ref=r",
        "--cache-to", "type=registry,ref=r,mode=max", "--allow", "security.insecure", "--target", "t",
        "--pull", "--no-cache", "-m", "1g", "--cpu-quota", "50000",
        "--memory-swap", "-1", "-c", "7", "--cpuset-cpus", "0-1", "--cpuset-mems", "0",
    )  # fmt: skip
    found = ask(asked(*words), io.BytesIO(), {"PASSED": "on", "SOURCE_DATE_EPOCH": "5"})
    request = found.request
    assert request.arguments == {"A": "1", "PASSED": "on", "SOURCE_DATE_EPOCH": "5"}
    assert request.platforms == (Platform("linux", "arm64", "v8"), Platform("linux", "amd64"))
    assert (request.network, request.allow) == ("host", {"network.host", "security.insecure"})
    assert request.hosts == (("a", "10.0.0.1"), ("b", "::1"))
    assert request.ulimits == (("nofile", 1, 2), ("core", 3, 3))
    assert (request.shm_bytes, request.no_cache_stages, request.target) == (64 << 20, ("x", "y"), "t")
    assert request.limits == Limits(1 << 30, 0.5, 0, -1, 7, "0-1", "0")
    assert request.attestations == {"sbom": {}, "provenance": {"mode": "max"}}
    assert request.cache_from == (CacheSource("registry", {"ref": "img"}), CacheSource("registry", {"ref": "r"}))
    assert found.caches == (CacheExport("registry", "max", {"ref": "r"}),)
    assert (request.pull, request.no_cache, request.dockerfile, request.labels) == (
        True,
        True,
        "Dockerfile",
        {"l": "v"},
    )
    (export,) = found.exports
    assert (export.type, export.names, export.push) == (ExportType.IMAGE, ("a:1", "b"), False)
    assert found.lent.key == str(tmp_path)


def test_where_a_result_goes(monkeypatch):
    found = outputs(asked(
        "-t", "n", "--annotation", "a=b", "-o", "out", "-o", "-", "-o", "type=docker", "-o", "type=registry",
        "-o", "type=image,name=x,push=true", "-o", "type=oci,tar=false,dest=lay", "-o", "type=cacheonly",
        "-o", "type=oci,dest=o.tar,compression=zstd", "--load",
    ))  # fmt: skip
    kinds = [(each.type.value, each.number, each.names, each.push) for each in found.exports]
    assert kinds == [
        ("local", 0, ("n",), False), ("tar", 1, ("n",), False), ("image", 2, ("n",), False), ("image", 3, ("n",), True),
        ("image", 4, ("x",), True), ("oci", 5, ("n",), False), ("oci", 7, ("n",), False), ("image", 8, ("n",), False),
    ]  # fmt: skip
    assert found.places == {0: Path("out"), 1: Path("-"), 7: Path("o.tar")}
    assert found.stores == {"output:lay": Path("lay")}
    assert found.exports[6].attributes == {"compression": "zstd", "annotation.a": "b"}
    assert outputs(asked("-o", "type=cacheonly")).exports == ()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("-o", "type=nonesuch"), "unknown output type"), (("-o", "dest=x,a=b"), "type is required for output"),
        (("-o", "type=local"), "dest is required"), (("-o", "-", "-o", "type=oci"), "only one output"),
        (("-o", "type=image,push=x"), "invalid value for push"), (("-o", "type=tar,x"), "must be NAME=VALUE"),
        (("--platform", "a/b/c/d"), "invalid platform"), (("--add-host", "x"), "bad format for add-host"),
        (("--ulimit", "x=y"), "invalid ulimit"), (("--attest", "type=x"), "unknown attestation"),
        (("--cache-from", "src=x,a=b"), "type required"), (("--call", "nonesuch"), "unknown call"),
        (("--secret", "src=x"), "without an id"), (("--secret", "id=x,odd=y"), "has no 'odd'"),
        (("--secret", "id=x,type=odd"), "has no 'type odd'"), (("--ssh", "default"), "SSH_AUTH_SOCK"),
        (("--ssh", "x=/dev/null"), "neither a socket"), (("--build-context", "x"), "expected key=value"),
        (("-f", "-", "-", "."), "stdin for both"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_options_that_wont_do(words, text, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Dockerfile").write_text("")
    parsed = build_parser().parse_args([*words[:-1]]) if "." in words else asked(*words)
    with pytest.raises(Invalid, match=text):
        ask(parsed, io.BytesIO(), {})


def test_standard_output_that_is_a_terminal_takes_no_archive(monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with pytest.raises(Invalid, match="dest file is required"):
        outputs(asked("-o", "type=tar"))


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--secret", "id=x,src=nonesuch"), "no file nonesuch"),
        (("--build-context", "x=nonesuch"), "no folder nonesuch"),
        (("-f", "nonesuch"), "open nonesuch"), (("--build-context", "x=oci-layout://nonesuch"), "no OCI layout"),
    ],
)  # fmt: skip
def test_what_isn_t_there(words, text, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFound, match=text):
        ask(asked(*words), io.BytesIO(), {})
    with pytest.raises(NotFound, match="path 'gone' not found"):
        ask(build_parser().parse_args(["gone"]), io.BytesIO(), {})


def test_attestations_can_be_taken_back():
    assert fields.attestations("false", "0", ["type=sbom", "type=provenance"]) == {}
    assert fields.attestations("", "", ["type=sbom,disabled=true", "type=provenance,mode=max"]) == {
        "provenance": {"mode": "max"}
    }


@pytest.mark.parametrize("text", ["https://x/y.git", "git@github.com:a/b", "github.com/a/b", "ssh://x/y"])
def test_contexts_of_other_machines(text, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with ExitStack() as held:
        found = contexts.context(build_parser().parse_args([text, "-f", "sub/D"]), io.BytesIO(), held)
    assert (found.url, found.dockerfile, found.folders) == (text, "sub/D", {})


def test_sizes():
    assert [size(each) for each in ("1", "2k", "1.5m", "1gib")] == [1, 2048, 3 << 19, 1 << 30]
    with pytest.raises(Exception, match="invalid size"):
        size("x")


# What is lent


def test_secrets(tmp_path, monkeypatch):
    (tmp_path / "s").write_bytes(b"file")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VAR", "variable")
    found = lending.secrets(["id=a,src=s", "id=VAR", "id=b,env=VAR", "id=c,type=env,src=VAR", "id=s"], os.environ)
    lent = lending.Lending(secrets=found)
    assert [lent.secret(each) for each in found] == [b"file", b"variable", b"variable", b"variable", b"file"]
    with pytest.raises(NotFound, match="secret nonesuch: not found"):
        lent.secret("nonesuch")
    (tmp_path / "s").write_bytes(b"x" * (500 << 10) + b"x")
    with pytest.raises(Invalid, match="more than"):
        lent.secret("a")
    (tmp_path / "s").unlink()
    with pytest.raises(NotFound, match="no such file"):
        lent.secret("a")


def test_what_isn_t_lent():
    lent = lending.Lending()
    for call in (
        lambda: lent.folder("x", Selection(), None), lambda: lent.stream("x"), lambda: lent.blobs("x"),
        lambda: lent.deliver_stream(1),
    ):  # fmt: skip
        with pytest.raises(NotFound):
            call()


def test_credentials_are_what_the_user_saved(tmp_path, monkeypatch):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text('{"auths": {"r.example": {"auth": "bWU6d29yZA=="}}}')
    lent = lending.Lending()
    assert lent.credentials("r.example") == Credentials("me", "word")
    assert lent.credentials("other.example") is None


# What comes of it


class Tree:
    def __init__(self, *entries, **files):
        self._entries, self._files = entries, files

    def entries(self):
        return iter(self._entries)

    def open(self, path):
        return io.BytesIO(self._files[path.replace("/", "_")])


def test_a_folder_is_written_beside_what_is_there(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    target = tmp_path / "out"
    target.mkdir()
    (target / "d").symlink_to(outside)
    (target / "f").mkdir()
    (target / "f/x").touch()
    (target / "kept").touch()
    write_folder(target, Tree(
        Entry("d", stat.S_IFDIR | 0o555, time_ns=10**9), Entry("d/a", stat.S_IFREG | 0o4755, time_ns=2 * 10**9),
        Entry("d/b", stat.S_IFREG | 0o644, link="d/a"), Entry("f", stat.S_IFREG | 0o600),
        Entry("l", stat.S_IFLNK | 0o777, link="/etc"), Entry("p", stat.S_IFIFO | 0o620),
        d_a=b"text", f=b"",
    ))  # fmt: skip
    assert list(outside.iterdir()) == []
    assert (target / "d/a").read_text() == "text"
    assert (target / "d/a").stat().st_mtime_ns == 2 * 10**9
    assert stat.S_IMODE((target / "d/a").stat().st_mode) == 0o4755
    assert (target / "d/a").stat().st_ino == (target / "d/b").stat().st_ino
    assert (stat.S_IMODE((target / "d").stat().st_mode), (target / "d").stat().st_mtime_ns) == (0o555, 10**9)
    assert (target / "f").is_file()
    assert str((target / "l").readlink()) == "/etc"
    assert (target / "p").is_fifo()
    assert (target / "kept").exists()


def test_what_leads_out_of_a_folder_isn_t_written(tmp_path):
    (tmp_path / "outside").mkdir()
    link = Entry("l", stat.S_IFLNK | 0o777, link=str(tmp_path / "outside"))
    with pytest.raises(OSError, match=r"Not a directory|Too many"):
        write_folder(tmp_path / "out", Tree(link, Entry("l/x", stat.S_IFREG | 0o644), l_x=b""))
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_file_is_there_once_it_is_whole(tmp_path):
    with Incoming(tmp_path / "sub/whole") as file:
        file.write(b"x")
        assert not (tmp_path / "sub/whole").exists()
    file.give_up()
    assert (tmp_path / "sub/whole").read_bytes() == b"x"
    broken = Incoming(tmp_path / "sub/broken")
    broken.give_up()
    assert [each.name for each in (tmp_path / "sub").iterdir()] == ["whole"]
    with pytest.raises(Invalid, match="is a folder"):
        Incoming(tmp_path)


def test_layouts(tmp_path):
    blobs = layouts.LayoutBlobs(tmp_path)
    digest = sha256(b"data")
    for _ in range(2):
        blobs.write(digest, 4, iter([b"da", b"ta"]))
    with blobs.read(digest) as file:
        assert file.read() == b"data"
    with pytest.raises(NotFound, match="has no blob"):
        blobs.read(sha256(b"other"))

    def broken():
        yield b"x"
        raise Unavailable("gone")

    with pytest.raises(Unavailable):
        blobs.write(sha256(b"other"), 5, broken())
    assert len(list((tmp_path / "blobs/sha256").iterdir())) == 1
    layouts.add(tmp_path, {"digest": str(digest), "size": 4}, "one", "n:one")
    assert layouts.find(tmp_path, "any") == digest
    layouts.add(tmp_path, {"digest": str(sha256(b"2")), "size": 1}, "two")
    layouts.add(tmp_path, {"digest": str(sha256(b"3")), "size": 1}, "two")
    assert (layouts.find(tmp_path, "one"), layouts.find(tmp_path, "two")) == (digest, sha256(b"3"))
    with pytest.raises(NotFound, match="nothing of the name 'three'"):
        layouts.find(tmp_path, "three")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"manifests": [{"digest": 5}]}', '{"manifests": [{}]}', "[" * 99999])
def test_an_index_that_is_none(tmp_path, text):
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(Invalid, match=r"index\.json"):
        layouts.find(tmp_path)


# What is shown

ONE, TWO = sha256(b"1"), sha256(b"2")
S = 10**9


def said(*events):
    told = Told()
    shown = plain.Plain(told)
    lines = [line for now, each in events for line in shown.feed(each, told.feed(each), now)]
    return [*lines, *shown.end()], told


def test_lines_of_one_step_after_another():
    lines, told = said(
        (S, Planned(())),
        (S, Vertex(ONE, "[1/2] FROM x")),
        (S, Vertex(ONE, "[1/2] FROM x", (), S, S, cached=True)),
        (S, Log(TWO, 1, b"of nobody")),
        (S, Vertex(TWO, "[2/2] RUN y", (), S)),
        (S, Log(TWO, 1, b"half ", 2 * S)),
        (S, Log(TWO, 2, b"error\n", 2 * S)),
        (S, Log(TWO, 1, b"whole\nrest", 3 * S)),
        (S, Progress("p", TWO, "sending", 2000, 4000, started_ns=S, completed_ns=2 * S)),
        (S, Progress("p", TWO, "sending", 4000, 4000, started_ns=S, completed_ns=2 * S)),
        (4 * S, Vertex(TWO, "[2/2] RUN y", (), S, 4 * S)),
    )
    assert lines == [
        "#1 [1/2] FROM x", "#1 CACHED", "", "#2 [2/2] RUN y", "#2 1.000 error", "#2 2.000 half whole",
        "#2 sending 2.00kB / 4.00kB 1.0s done", "#2 3.000 rest", "#2 DONE 3.0s", "",
    ]  # fmt: skip
    assert len(told.known) == 2


def test_steps_side_by_side_take_turns():
    lines, _ = said(
        (S, Vertex(ONE, "one", (), S)), (S, Log(ONE, 1, b"a\n", S)), (S, Vertex(TWO, "two", (), S)),
        (S, Log(TWO, 1, b"b\n", S)), (S, Log(ONE, 1, b"c\n", S)), (3 * S, Log(TWO, 1, b"d\n", S)),
        (3 * S, Vertex(ONE, "one", (), S, 3 * S, error="context canceled")),
        (3 * S, Vertex(TWO, "two", (), S, 3 * S, error="broken")),
    )  # fmt: skip
    assert lines == [
        "#1 one", "#1 0.000 a", "#1 0.000 c", "#1 ...", "", "#2 two", "#2 0.000 b", "#2 0.000 d",
        "#2 ERROR: broken", "", "#1 one", "#1 CANCELED", "",
    ]  # fmt: skip


def test_a_frame_takes_the_place_of_the_one_before():
    told = Told()
    shown = screen.Screen(told, 0)
    for each in (
        Vertex(ONE, "[1/2] FROM \x1b[2Jx", (), S, 2 * S), Vertex(TWO, "[2/2] RUN y", (), S),
        Progress("p", TWO, "sending", 5, 10, started_ns=S), Log(TWO, 1, b"hello\x07\n", S),
    ):  # fmt: skip
        shown.feed(each, told.feed(each))
    frame = shown.frame(3 * S, 40, 24)
    assert frame.startswith("\x1b[J[+] Building 3.0s (1/2)\n")
    assert "FROM [2Jx" in frame
    rows = [each for each in frame.split("\n") if " => " in each]
    assert rows[1:] == [
        " => [2/2] RUN y                    2.0s",
        " => => sending 5B / 10B            2.0s",
        "\x1b[36m => => # hello\x1b[0m",
    ]
    again = shown.frame(3 * S, 40, 4)  # where there is room for two steps' lines only
    assert again.startswith("\x1b[5A\r\x1b[J")
    assert "FROM" not in again
    failed = Vertex(TWO, "[2/2] RUN y", (), S, 3 * S, error="x")
    shown.feed(failed, told.feed(failed))
    assert " => ERROR [2/2] RUN y" in shown.frame(3 * S, 60, 24, "FAILED")


def test_why_it_failed():
    told = Told()
    for each in (Vertex(ONE, "RUN x", (), S), Vertex(ONE, "RUN x", (), S, 2 * S, error="e")):
        told.feed(each)
    list(told.steps[ONE].lines(Log(ONE, 1, b"last\n", S)))
    error = BuildFailed("e", vertex=ONE, file="Dockerfile", source="a\nb\nc\nd\ne\nf\n", ranges=(Range(2, 3),))
    assert list(failing.failure(error, told)) == [
        "------", " > RUN x:", "0.000 last", "------", "Dockerfile:2", "-" * 20, "   1 |     a", "   2 | >>> b",
        "   3 | >>> c", "   4 |     d", "   5 |     e", "   6 |     f", "-" * 20,
    ]  # fmt: skip
    assert list(failing.failure(BuildFailed("e"), Told())) == []
    found = Finding(None, "Rule", "said", ranges=(Range(4, 4),))
    assert list(failing.warnings([found, found])) == [" 1 warning found:", " - Rule: said (line 4)"]


def test_a_quiet_display_shows_failures_alone():
    out = io.StringIO()
    display = Display("quiet", out)
    display.feed(Vertex(ONE, "one", (), S, 2 * S))
    display.tick()
    display.end()
    assert out.getvalue() == ""
    display.end(BuildFailed("e", file="D", source="x", ranges=(Range(1, 1),)))
    assert out.getvalue().startswith("D:1\n")


# Another process's engine


def test_the_archive_of_a_folder(tmp_path):
    context = tmp_path / "context"
    (context / "sub").mkdir(parents=True)
    (context / "sub/a").write_bytes(b"x" * 700)
    (context / "ignored").touch()
    (context / "link").symlink_to("sub/a")
    os.link(context / "sub/a", context / "zhard")
    os.mkfifo(context / "fifo")
    (context / ".dockerignore").write_text("ignored\nDockerfile\n")
    (context / "Dockerfile").write_text("FROM x\n")
    name, chunks = packed(context, None, "Dockerfile")
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as found:
        kinds = {each.name: each.type for each in found}
        assert found.extractfile("sub/a").read() == b"x" * 700
        assert found.getmember("zhard").linkname == "sub/a"
    assert name == "Dockerfile"
    assert set(kinds) == {".dockerignore", "Dockerfile", "fifo", "link", "sub", "sub/a", "zhard"}
    (tmp_path / "Other").write_text("FROM y\n")
    (tmp_path / "Other.dockerignore").write_text("*\n")
    name, chunks = packed(context, tmp_path, "Other")
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as found:
        assert found.getnames() == [name, ".dockerignore"]


@pytest.mark.parametrize("data", [b"longer", b"s"])
def test_a_file_that_changes_while_it_is_read(tmp_path, monkeypatch, data):
    (tmp_path / "Dockerfile").write_text("")

    def send(folder, selection, receiver):
        assert receiver.entry(Entry("a", stat.S_IFREG | 0o644, size_bytes=3))
        receiver.content("a", data)
        receiver.content("a", b"")

    monkeypatch.setattr("moby_builder.command.packing.send", send)
    _, chunks = packed(tmp_path, None, "Dockerfile")
    with pytest.raises(Unavailable, match="a changed while it was read"):
        b"".join(chunks)


def answering(path, text):
    """Answer one call with this, and return a list that gets what was asked."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    heard = []

    def serve():
        connection, _ = listener.accept()
        with connection, listener:
            heard.append(connection.recv(65536))
            connection.sendall(text)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return heard


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def answer(status, body):
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()


@pytest.mark.parametrize(("status", "kind"), [(400, Invalid), (404, NotFound), (501, Unsupported), (503, Unavailable)])
def test_errors_are_the_engine_s(tmp_path, status, kind):
    answering(tmp_path / "s", answer(status, '{"message": "in its words"}'))
    with pytest.raises(kind, match=r"^in its words$"):
        Caller(tmp_path / "s").ask("GET", "/x")


def test_an_error_in_the_answer_and_none_at_all(tmp_path):
    before = open_files()
    answering(tmp_path / "s", answer(200, '{"stream": "x"}\n{"error": "failed"}\n{"stream": "y"}\n'))
    with pytest.raises(_Failed, match="failed") as found:
        list(Caller(tmp_path / "s").lines("/build"))
    assert found.value.exit_code == 1
    until(lambda: open_files() <= before, "the connection's end, though the error is there still")
    answering(tmp_path / "t", b"")
    with pytest.raises(Unavailable, match="didn't answer"):
        Caller(tmp_path / "t").ask("GET", "/x")
    with pytest.raises(Unavailable, match="doesn't answer at"):
        Caller(tmp_path / "nonesuch", patience_s=0).ask("GET", "/x")


@pytest.mark.parametrize("cut", [b"", b"5\r\n{"], ids=["between chunks", "within one"])
def test_an_answer_that_is_broken_off_is_no_end(tmp_path, cut):
    """As where the engine is killed meanwhile; lines come as they are, however the chunks lie across them."""
    texts = (b'{"stream":"a"}\n{"str', b'eam":"b"}\n')
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in texts)
    answering(tmp_path / "s", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + cut)
    lines = Caller(tmp_path / "s").lines("/build")
    assert [next(lines), next(lines)] == [{"stream": "a"}, {"stream": "b"}]
    with pytest.raises(Unavailable, match="the engine didn't answer"):
        list(lines)


def test_an_engine_of_somebody_else(tmp_path, unprivileged):
    tmp_path.chmod(0)

    def call(_folder):
        with pytest.raises(Denied, match="can't connect"):
            Caller(tmp_path / "s", patience_s=0).ask("GET", "/x")

    unprivileged(call)


def test_a_push_after_the_build(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    calls = []

    class Heard(Caller):
        def lines(self, path, body=None, **headers):
            calls.append((path, sorted(headers)))
            yield (
                {"stream": "built\n", "aux": {"ID": "sha256:x"}} if path.startswith("/build") else {"status": "pushed"}
            )

    words = build_parser().parse_args(["-t", "r.example/a:1", "--push", "https://x/y.git"])
    assert build(Heard(tmp_path), words) == "sha256:x"
    assert [each for each, _ in calls][1] == "/images/r.example/a/push?tag=1"
    assert "remote=https%3A%2F%2Fx%2Fy.git" in calls[0][0]
    assert calls[1][1] == ["X_Registry_Auth"]
    assert capfd.readouterr().err == "built\npushed\n"


def test_filters_of_a_prune():
    assert keeping._filters(["until=24h", "inuse"]) == '{"until": ["24h"], "inuse": ["true"]}'
    with pytest.raises(Invalid, match="invalid filter"):
        keeping._filters(["=x"])


def test_a_build_without_a_builder_is_another_process_s(place, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Dockerfile").touch()
    with pytest.raises(Unsupported, match="doesn't take --secret, --check"):
        make(Config(), builder=None, frontend=None, place=place).run(["--secret", "id=x", "--check", "."])
