"""The plugin moby-volume-trash, a part in C, as a user has it: a wheel, installed by pip, tested, and in an engine."""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from clients.engine import ROOT, opened_moby
from peers.binaries import ROOT as PEERS
from peers.binaries import file
from peers.box import NAME, archive
from served.test_programs import conversation, exchange

pytestmark = pytest.mark.slow

PLUGIN = Path(__file__).parents[2] / "plugins/moby-volume-trash"
LIBRARIES = "usr/lib/x86_64-linux-gnu"
STRICT = "-O2 -Wall -Wextra -Wconversion -Wno-sign-conversion -Werror"
MANIFEST = """
moby: 1
name: kept
extends: [docker]
components:
  builder: null
  volume-driver: [local, {use: trash, config: {keep_days: 7}}]
"""


@pytest.fixture(scope="module")
def wheel(build_wheel, tmp_path_factory):
    file(f"{LIBRARIES}/libjansson.a", "jansson")
    if shutil.which("cc") is None:
        pytest.skip("no C compiler is here: apt install gcc")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CFLAGS", f"{STRICT} -I{PEERS}/usr/include -I{PEERS}/usr/include/x86_64-linux-gnu")
        patch.setenv("LDFLAGS", f"-s -L{PEERS}/{LIBRARIES}")
        # Of a copy, since what is compiled lies beside its source.
        copy = tmp_path_factory.mktemp("source") / "plugin"
        shutil.copytree(PLUGIN, copy, ignore=shutil.ignore_patterns("trash-volumes", "*cache*"))
        return build_wheel(copy)


@pytest.fixture(scope="module")
def bin_folder(install, wheel):
    return install(wheel)


@pytest.fixture(scope="module")
def program(wheel, tmp_path_factory):
    """The program alone, as in the wheel."""
    out = tmp_path_factory.mktemp("program") / "trash-volumes"
    with zipfile.ZipFile(wheel) as contents:
        out.write_bytes(contents.read("trash_volumes/trash-volumes"))
    out.chmod(0o755)
    return out


@pytest.fixture
def served(program, tmp_path):
    """A function that starts the program as an engine does, and returns its process and its socket's path."""
    started = []

    def start(keep_days=7):
        path = tmp_path / f"socket{len(started)}"
        for each in ("state", "run"):
            (tmp_path / each).mkdir(exist_ok=True)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            command = [program, tmp_path / "state", tmp_path / "run", str(keep_days)]
            become = "import os, sys; os.dup2(int(sys.argv[1]), 3); os.execv(sys.argv[2], sys.argv[2:])"
            words = [sys.executable, "-c", become, str(listener.fileno()), *map(str, command)]
            started.append(subprocess.Popen(words, pass_fds=[listener.fileno()]))
        return started[-1], path

    yield start
    for each in started:
        each.kill()
        each.wait()


@contextlib.contextmanager
def greeted(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(str(path))
        assert exchange(sock, {"moby": 1, "contract": "volume-driver", "version": 1})["moby"] == 1
        yield sock


def test_the_wheel_is_for_this_processor_and_names_its_part(wheel):
    assert wheel.name.endswith("-py3-none-linux_x86_64.whl")
    with zipfile.ZipFile(wheel) as contents:
        (facts,) = (name for name in contents.namelist() if name.endswith("moby-components.json"))
        (component,) = json.loads(contents.read(facts))["components"]
    assert (component["id"], component["served"]) == ("volume-driver/trash", "program")


def test_it_keeps_its_contract(bin_folder, run_program, tmp_path):
    done = run_program(bin_folder / "moby", "test-plugin", "moby-volume-trash", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    (report,) = json.loads(done.stdout)["components"]
    assert {each["outcome"] for each in report["promises"]} == {"ok"}
    assert len(report["promises"]) > 20


def test_the_documented_conversation(served, tmp_path):
    _, path = served()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        for said, answer in conversation():
            expected = json.loads(json.dumps(answer).replace("FOLDER", f"{tmp_path}/state/volumes"))
            assert exchange(sock, said) == expected, said


def test_what_was_removed_can_be_had_back_until_its_time(served, tmp_path):
    _, path = served()
    volumes, removed = tmp_path / "state/volumes", tmp_path / "state/removed"
    with greeted(path) as sock:
        exchange(sock, {"call": "create", "with": {"name": "a", "options": {}}})
        (volumes / "a/deep").mkdir()
        (volumes / "a/deep/file").write_text("x")
        exchange(sock, {"call": "remove", "with": {"name": "a"}})
        (kept,) = removed.iterdir()
        assert (kept.name.split(".", 2)[2], (kept / "deep/file").read_text()) == ("a", "x")
        kept.rename(volumes / "a")
        assert exchange(sock, {"call": "mount", "with": {"name": "a", "user": "c"}})["value"] == str(volumes / "a")
        exchange(sock, {"call": "reclaim", "with": {}})
        exchange(sock, {"call": "remove", "with": {"name": "a"}})
        (kept,) = removed.iterdir()
        stale = removed / f"{int(time.time()) - 8 * 86400}.000000000.old"
        stale.mkdir()
    process, path = served(keep_days=7)
    with greeted(path):
        assert list(removed.iterdir()) == [kept]
    process, path = served(keep_days=0)
    with greeted(path):
        assert list(removed.iterdir()) == []
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_what_is_deleted_may_be_deep_and_leads_nowhere(served, tmp_path):
    """Deeper than a path may be long; and a link, in place of a folder too, is deleted itself."""
    removed, outside = tmp_path / "state/removed", tmp_path / "outside"
    stale = removed / "1.000000000.old"
    stale.mkdir(parents=True)
    outside.mkdir()
    (outside / "file").write_text("kept")
    (stale / "link").symlink_to(outside)
    (removed / "1.000000000.link").symlink_to(outside)
    (removed / "0.0.folder").mkdir()
    (removed / "0.0.folder/left").write_text("by one that was killed")
    fd = os.open(stale, os.O_DIRECTORY)
    for _ in range(2500):
        os.mkdir("d", dir_fd=fd)
        inner = os.open("d", os.O_DIRECTORY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.symlink(outside, "link", dir_fd=fd)
    os.close(fd)
    _, path = served(keep_days=7)
    with greeted(path):
        assert list(removed.iterdir()) == []
    assert (outside / "file").read_text() == "kept"


def framed(body):
    return struct.pack("!IH", len(body), 0) + body


HELLO = framed(b'{"moby":1,"contract":"volume-driver","version":1}')


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        pytest.param(struct.pack("!IH", 2**32 - 1, 0), b"", id="long"),
        pytest.param(framed(b"nonsense"), b"Unsupported", id="no-json"),
        pytest.param(framed(b'{"moby":9,"contract":"volume-driver","version":1}'), b"Unsupported", id="version"),
        pytest.param(framed(b'{"moby":1,"contract":"ipam","version":1}'), b"Unsupported", id="kind"),
        pytest.param(framed(b'{"moby":1,"contract":3,"version":1}'), b"Unsupported", id="type"),
        pytest.param(HELLO + framed(b"[1]"), b"is no call", id="list"),
        pytest.param(HELLO + framed(b"\xff"), b"is no call", id="no-text"),
        pytest.param(HELLO + framed(b'{"call":"fly","with":{}}'), b"has no method fly here", id="method"),
        pytest.param(HELLO + framed(b'{"get":"colour"}'), b"has no colour here", id="attribute"),
        pytest.param(HELLO + framed(b'{"call":"create"}'), b"name is no name", id="no-arguments"),
        pytest.param(HELLO + framed(b'{"call":"create","with":[]}'), b"name is no name", id="arguments"),
        pytest.param(HELLO + framed(b'{"call":"create","with":{"name":7}}'), b"name is no name", id="number"),
        pytest.param(HELLO + framed(b'{"call":"mount","with":{"name":"a"}}'), b"user is no name", id="no-user"),
        pytest.param(HELLO + framed(b"[" * 100000), b"is no call", id="deep"),
    ],
)
def test_hostile_callers(served, sent, said):
    process, path = served()
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(str(path))
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := sock.recv(65536):
            answer += chunk
    assert said in answer
    with greeted(path) as sock:
        assert exchange(sock, {"get": "scope"}) == {"value": "local"}
    assert process.poll() is None


def test_random_bytes_end_nobody_else(served):
    process, path = served()
    source = random.Random(7)
    with greeted(path) as other:
        for _ in range(200):
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(path))
                whole = HELLO + framed(source.randbytes(source.randrange(40))) + source.randbytes(source.randrange(40))
                with contextlib.suppress(BrokenPipeError):
                    sock.sendall(whole[: source.randrange(len(whole))])
        assert exchange(other, {"call": "health", "with": {}}) == {"value": ""}
    assert process.poll() is None


@pytest.mark.skipif(os.geteuid() != 0, reason="an engine in a sandbox takes root; run as root")
def test_in_an_engine(bin_folder, run_program, tmp_path):
    """With docker's own command: made, used by a container, removed, and had back."""
    (tmp_path / "kept.yaml").write_text(MANIFEST)
    done = run_program(bin_folder / "moby", "assemble", tmp_path / "kept.yaml", "-o", tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    image = archive(tmp_path / "image.tar", tmp_path / "rootfs")
    with opened_moby(tmp_path / "engine", image, tmp_path / "kept/kept.pyz") as engine:
        engine("volume", "create", "-d", "trash", "papers")
        run = ["run", "--rm", "--network", "none", "-v", "papers:/papers", NAME, "sh", "-c"]
        engine(*run, "echo written >/papers/file")
        assert engine.out("volume", "inspect", "-f", "{{.Driver}} {{.Scope}}", "papers") == "trash local"
        refused = engine("volume", "create", "-d", "trash", "-o", "size=1", "other", check=False)
        assert 'invalid option: "size"' in refused.stderr
        engine("volume", "rm", "papers")
        state = engine.sandbox.seen(f"{ROOT}/state/volume-driver/trash")
        (kept,) = (state / "removed").iterdir()
        kept.rename(state / "volumes/papers")
        engine("volume", "create", "-d", "trash", "papers")
        assert engine.out(*run, "cat /papers/file") == "written"
        engine("volume", "rm", "papers")
        engine.check_gone()
