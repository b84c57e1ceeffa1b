"""`serve` of a real archive: front ends, signals, upgrades, other verbs beside it, and `down`."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from served import distributions
from served.conftest import alive, eventually, pids_of

from moby.distribution.contents import contents
from moby.engine import root as engine_root
from moby.errors import Conflict
from moby.placement import placed
from moby.plan import Instance, Plan
from moby.served.launching import Launcher
from moby.surroundings import Roots, Surroundings

pytestmark = pytest.mark.slow

Make = Callable[..., Path]


@pytest.fixture
def archive(instance: Callable[..., Instance], tmp_path: Path) -> Make:
    key = "served-shelf/threads"

    def make(name: str = "toy.pyz", mark: str = "") -> Path:
        parts = (instance("threads"), instance("front", needs=key), instance("say", needs=key))
        return distributions.make(tmp_path / name, placed(Plan("toy", parts)), mark)

    return make


@pytest.fixture
def root(around: Surroundings, archive: Make) -> Iterator[Path]:
    yield around.roots.run.parent
    Launcher(around.roots.run, linger_s=0.2).end()
    assert eventually(lambda: not pids_of(around.roots.run.parent))


def whole(path: Path) -> Any:
    """Return what a file of JSON holds; None where it isn't written to its end yet."""
    try:
        return json.loads(path.read_text())
    except ValueError:
        return None


def test_it_answers_and_ends_in_order(archive: Make, root: Path) -> None:
    with distributions.serving(archive(), root) as serving:
        engine, shelf, file = serving.ask()
        assert engine == serving.process.pid != shelf
        assert Path(file).is_relative_to(root / "run/distributions"), "it runs from a copy of its own"
        with serving.asked("wait 0.5") as answer:
            serving.process.send_signal(signal.SIGHUP)
            serving.process.send_signal(signal.SIGTERM)
            assert answer() == (engine, shelf, file), "what was asked before is answered before it ends"
        assert serving.process.wait(60) == 0
        assert not serving.path.exists()


def test_the_archive_may_be_replaced_under_it(archive: Make, root: Path) -> None:
    path = archive()
    with distributions.serving(path, root) as serving:
        first = serving.ask()
        path.write_bytes(b"no archive any more")
        os.kill(first[1], signal.SIGKILL)
        assert serving.ask()[1] != first[1], "its part starts again all the same"
        serving.process.send_signal(signal.SIGUSR1)
        dump = eventually(lambda: next((root / "run/dumps").glob("*.json"), None))
        states = eventually(lambda: whole(dump))["states"]
        assert states["served-shelf/threads"][0] == "running"
        assert serving.end() == 0


def test_another_distribution_replaces_served_parts(archive: Make, root: Path) -> None:
    old = archive("old.pyz", "old")
    with distributions.serving(old, root) as serving:
        before = serving.ask("hold")[1]  # so that it stays, however long the next takes to come up
        assert serving.end() == 0
    with distributions.serving(old, root) as serving:
        assert serving.ask()[1] == before, "the same one keeps them"
        assert serving.end() == 0
    with distributions.serving(archive("new.pyz", "new"), root) as serving:
        after = serving.ask()[1]
        assert after != before
        assert not alive(before)
        assert distributions.run(old, root, "say").stdout.split()[1] == str(after)
        assert serving.end() == 0


def test_a_killed_engine_is_followed_by_another(archive: Make, root: Path) -> None:
    path = archive()
    with distributions.serving(path, root) as serving:
        before = serving.ask("hold")[1]
        assert serving.end(signal.SIGKILL) == -signal.SIGKILL
    with distributions.serving(path, root) as serving:
        assert serving.ask()[1] == before
        refused = distributions.run(path, root, "serve", "--host", f"unix://{root}/other")
        assert refused.returncode == 1
        assert f"is served already by process {serving.process.pid} (serve) since 2" in refused.stderr
        assert serving.end() == 0


def test_who_else_may_serve_them_is_named(tmp_path: Path) -> None:
    """A command that serves for its own time, and one that has just begun or was of an earlier engine."""
    roots = Roots.under(tmp_path, "toy")
    with engine_root.serving(roots, "run"):
        os.utime(roots.run / "serve.lock", (0, 1_700_000_000))
        with pytest.raises(Conflict) as caught, engine_root.serving(roots):
            pass
        assert caught.value.message == (
            f"the engine 'toy' in {roots.run} is served already by process {os.getpid()} (run) "
            "since 2023-11-14T22:13:20Z"
        )
        assert caught.value.hint is not None
        assert caught.value.hint.startswith("wait until that run has ended, or end it;")
        for said, words in (("", " already$"), ("123\n", r" already by process 123 \(serve\) since ")):
            (roots.run / "serve.lock").write_text(said)
            with pytest.raises(Conflict) as caught, engine_root.serving(roots):
                pass
            assert re.search(words, caught.value.message)
            assert caught.value.hint == "end that one first"


def test_commands_beside_it_use_the_same_part(archive: Make, root: Path) -> None:
    path = archive()
    with distributions.serving(path, root) as serving:
        said = distributions.run(path, root, "say")
        own, shelf = said.stdout.split()
        assert (int(shelf), said.returncode) == (serving.ask()[1], 0)
        assert int(own) != serving.process.pid
        assert serving.end() == 0


def test_down_ends_all(archive: Make, root: Path) -> None:
    path = archive()
    with distributions.serving(path, root) as serving:
        pids = serving.ask()[:2]
        done = distributions.run(path, root, "down")
        assert (done.returncode, done.stderr) == (0, "")
        assert serving.process.wait(60) == 0
    assert not any(map(alive, pids))
    assert not (root / "run").exists()
    assert (root / "state/served-shelf/threads/reclaimed").exists()
    assert distributions.run(path, root, "down", "--purge").returncode == 0
    assert [*root.iterdir()] == []


def test_sockets_that_are_there_already(archive: Make, root: Path, tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    path = tmp_path / "passed.sock"
    listener.bind(str(path))
    listener.listen()
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(tmp_path / "notify"))
    told.settimeout(60)
    code = (
        "import os, sys\n"
        f"os.dup2({listener.fileno()}, 3)\n"
        "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='front')\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
    )
    command = [sys.executable, "-c", code, str(archive()), "--root", str(root), "--log-format", "json", "serve"]
    environ = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
    with subprocess.Popen(command, env=environ, pass_fds=[listener.fileno()], stderr=subprocess.PIPE) as process:
        assert told.recv(1000).startswith(b"READY=1\n")
        assert distributions.Serving(process, path).ask()[0] == process.pid  # type: ignore[arg-type]
        process.terminate()
        assert told.recv(1000) == b"STOPPING=1"
        assert process.wait(60) == 0
    assert path.exists(), "the socket is systemd's"
    listener.close()
    told.close()


@pytest.mark.parametrize(
    ("count", "words", "message"),
    [
        pytest.param(
            1, ("--host", "fd://", "--host", "fd://"), "fd://3 is given twice, by --host fd:// too", id="twice"
        ),
        pytest.param(2, (), "says that 2 sockets were passed, but 4 isn't open", id="fewer"),
    ],
)
def test_sockets_that_are_not_there(
    archive: Make, root: Path, tmp_path: Path, count: int, words: tuple[str, ...], message: str
) -> None:
    code = (
        "import os, sys\n"
        "os.dup2(int(sys.argv[1]), 3)\n"
        "os.closerange(4, 64)\n"
        f"os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='{count}')\n"
        "os.execv(sys.executable, [sys.executable, *sys.argv[2:]])\n"
    )
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "passed.sock"))
        listener.listen()
        fd = listener.fileno()
        command = [sys.executable, "-c", code, str(fd), str(archive()), "--root", str(root), "serve", *words]
        done = subprocess.run(command, pass_fds=[fd], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, message in done.stderr, "Traceback" in done.stderr) == (1, True, False), done.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        pytest.param(("--host", "x=unix:///y"), 1, "no front end 'x'; there are front", id="name"),
        pytest.param(("--host", "fd://"), 1, "systemd has passed no such socket", id="fd"),
        pytest.param(("--host", "ftp://x"), 1, "frontend/front: ftp://x: no address", id="scheme"),
        pytest.param(("--host", "unix:///y") * 2, 1, "unix:///y is given twice", id="twice"),
        pytest.param(("--hots", "x"), 2, "unrecognized arguments", id="flag"),
    ],
)
def test_what_is_refused(archive: Make, root: Path, words: tuple[str, ...], code: int, message: str) -> None:
    done = distributions.run(archive(), root, "serve", *words)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr


def test_support_tells_no_secret(archive: Make, root: Path, tmp_path: Path) -> None:
    path = archive()
    with distributions.serving(path, root) as serving:
        shelf = serving.ask()[1]
        (root / "run/keeper/log").write_text("warning x: password=hunter2 http://me:hunter2@host/\n")
        done = distributions.run(path, root, "support", "-o", str(tmp_path / "out.tgz"))
        assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'out.tgz'}\n"), done.stderr
        assert serving.end() == 0
    with tarfile.open(tmp_path / "out.tgz") as found:
        texts = {each.name.partition("/")[2]: found.extractfile(each) for each in found}
        read = {name: file.read().decode() for name, file in texts.items() if file}
    assert "hunter2" not in "".join(read.values())
    assert "password=(hidden)" in read["keeper/log"]
    assert json.loads(read["parts.json"])["parts"][0]["pid"] == shelf
    assert {"versions.json", "plan.json", "host.json", "checks.json"} <= read.keys()


def test_every_distribution_holds_what_served_parts_run_on() -> None:
    found = {entry.path for entry in contents(Plan("x")).entries}
    wanted = {f"moby/served/keeper/{name}.py" for name in ("program", "parts", "holdings", "files")}
    assert found >= {*wanted, "moby/engine/part.py", "moby/served/server.py", "moby/served/endpoint.py"}


def test_down_ends_what_does_not_start(archive: Make, root: Path) -> None:
    path = archive()
    with distributions.serving(path, root) as serving:
        shelf = serving.ask("hold")[1]
        assert serving.end() == 0
    (root / "state/served-shelf/threads").chmod(0)
    os.kill(shelf, signal.SIGKILL)
    distributions.run(path, root, "down")
    (root / "state/served-shelf/threads").chmod(0o700)
    assert eventually(lambda: not pids_of(root))
