import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from attrs import field, frozen
from forking import ForkingRuntime
from holding import LinesDriver

from moby.testing.bundles import PROGRAMS, make_rootfs

HERE = Path(__file__).parent
NOBODY = 65534
SLOW = pytest.mark.slow


@pytest.fixture
def forking():
    return ForkingRuntime()


@pytest.fixture
def drivers():
    """The log drivers of a supervisor in this process."""
    return {"lines": LinesDriver(), "waiting": LinesDriver(waits=True)}


@pytest.fixture
def bundles(tmp_path):
    """A function that makes bundles for the forking runtime."""
    made = iter(range(1000))

    def bundle(*arguments, terminal=False):
        folder = tmp_path / f"bundle-{next(made)}"
        folder.mkdir()
        process = {"args": arguments, "terminal": terminal, "cwd": "/", "env": [f"PATH={os.defpath}"]}
        (folder / "config.json").write_text(json.dumps({"process": process}))
        return folder

    return bundle


@frozen
class Engine:
    """tests/supervisor/engine.py with a root folder of its own."""

    folder: Path
    """Where everything of it lies, and whatever a test shares with it."""
    root: Path
    runtime: str
    rootfs: Path
    user: int
    started: list = field(factory=list)

    @property
    def argv(self):
        change = [] if self.user == os.geteuid() else ["setpriv", f"--reuid={self.user}", f"--regid={self.user}"]
        clear = ["--clear-groups"] if change else []
        return [
            *change,
            *clear,
            sys.executable,
            str(HERE / "engine.py"),
            str(self.root),
            self.runtime,
            str(self.rootfs),
        ]

    def run(self, *arguments, **options):
        text = options.pop("input", "").encode()
        done = subprocess.run([*self.argv, "run", *arguments], input=text, capture_output=True, timeout=60, check=False)
        done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
        return done

    def start(self, *arguments, **options):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.started.append(subprocess.Popen([*self.argv, "run", *arguments], **{**pipes, **options}))
        return self.started[-1]

    def stop(self):
        """End what a failed test left running."""
        for each in self.started:
            each.kill()
            each.wait(30)
            for stream in (each.stdin, each.stdout, each.stderr):
                if stream is not None:
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()

    def left(self):
        """What lies in its folders that a container brought."""
        found = (each for each in self.root.rglob("*") if each.name != ".gate" and each.parent != self.root)
        lent = self.rootfs.with_name("lent")
        return sorted([*found, *([lent] if lent.exists() else [])])


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory):
    return make_rootfs(tmp_path_factory.mktemp("image") / "rootfs", (*PROGRAMS, "hostname", "ps", "stty"))


@pytest.fixture
def folder():
    """A folder that other users can reach, which those of pytest aren't."""
    with tempfile.TemporaryDirectory(prefix="moby-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def make_engine(kind, folder, rootfs):
    runtime, _, who = kind.partition("-")
    if who and os.geteuid():
        pytest.skip("only root can become nobody; run by root this is covered")
    user = NOBODY if who else os.geteuid()
    engine = Engine(folder, folder / "root", runtime, folder / "image" / "rootfs", user)
    for each in (engine.root, engine.rootfs.parent):
        each.mkdir()
    subprocess.run(["cp", "-a", str(rootfs), str(engine.rootfs)], check=True, timeout=60)
    subprocess.run(["chown", "-R", f"{user}:{user}", str(folder)], check=True, timeout=60)
    return engine


@contextlib.contextmanager
def running(kind, folder, rootfs):
    """Lend an engine, and see that it leaves no trace of a container."""
    engine = make_engine(kind, folder, rootfs)
    try:
        yield engine
    finally:
        engine.stop()
    assert engine.left() == []


@pytest.fixture(params=["forking", pytest.param("native", marks=SLOW), pytest.param("native-nobody", marks=SLOW)])
def engine(request, folder, rootfs):
    """An engine on each runtime."""
    with running(request.param, folder, rootfs) as engine:
        yield engine


@pytest.fixture(params=["native", pytest.param("native-nobody", marks=SLOW)])
def isolating(request, folder, rootfs):
    """An engine on each runtime that isolates."""
    with running(request.param, folder, rootfs) as engine:
        yield engine


@pytest.fixture
def plain(folder, rootfs):
    """An engine whose containers are ordinary processes."""
    with running("forking", folder, rootfs) as engine:
        yield engine


@pytest.fixture
def limiting(folder, rootfs):
    """An engine that has control groups."""
    if os.geteuid():
        pytest.skip("limits want root or a delegated control group; run by root this is covered")
    with running("native", folder, rootfs) as engine:
        yield engine
