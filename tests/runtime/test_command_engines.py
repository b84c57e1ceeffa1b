"""An assembly that chooses runc or crun, as its user assembles and runs it."""

import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from runtime.commands import TOOLS, binary, without_hybrid

from moby import distribution
from moby.host.processes import set_child_subreaper
from moby.testing.boxes import cgroup_folders, children, read_until, reap

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="these containers have control groups; runs as root"),
]
MANIFEST = """\
moby: 1
name: by-{name}
extends: [quickstart]
components:
  runtime: {{use: {name}{config}}}
"""


class Assembled:
    """An engine of its own folder, and the command that it drives."""

    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        self.binary = binary(name, folder)
        self.root = folder / "root"
        config = f", config: {{binary: {self.binary}}}"
        self.pyz = self.assemble(f"by-{name}", MANIFEST.format(name=name, config=config))

    def assemble(self, name, text):
        manifest = self.folder / f"{name}.yaml"
        manifest.write_text(text)
        distribution.assemble(str(manifest), self.folder / "dist")
        return self.folder / "dist" / name / f"{name}.pyz"

    def argv(self, *arguments, pyz=None):
        return [sys.executable, str(pyz or self.pyz), "--root", str(self.root), *arguments]

    def call(self, *arguments, pyz=None, path=os.defpath, **options):
        return subprocess.run(
            self.argv(*arguments, pyz=pyz), capture_output=True, text=True, timeout=120, check=False,
            env={"PATH": path}, **options,
        )  # fmt: skip


@pytest.fixture(scope="module", params=sorted(TOOLS))
def engine(request):
    with tempfile.TemporaryDirectory(prefix="moby-by-") as folder, without_hybrid():
        made = Assembled(request.param, Path(folder))
        done = made.call("image", "from-host", "--tag", "demo")
        assert done.returncode == 0, done.stderr
        yield made


@pytest.fixture(autouse=True)
def nothing_stays(engine):
    yield
    assert sorted(each for each in (engine.root / "run").rglob("*") if each.name.startswith(("call-", "record"))) == []
    assert cgroup_folders(f"by-{engine.name}") == ()


@pytest.mark.parametrize("code", [0, 3])
def test_run(engine, code):
    done = engine.call("run", "demo", "sh", "-c", f"echo pid $$; echo err >&2; exit {code}")
    assert (done.returncode, done.stdout, done.stderr) == (code, "pid 1\n", "err\n")


def test_input_comes_in(engine):
    assert engine.call("run", "-i", "demo", "cat", input="through\n").stdout == "through\n"


@pytest.mark.parametrize(("program", "code"), [("absent", 127), ("/etc/passwd", 126)])
def test_a_program_that_cannot_run(engine, program, code):
    done = engine.call("run", "demo", program)
    assert done.returncode == code
    assert program in done.stderr


def test_a_limit(engine):
    script = "x=0123456789; while :; do x=$x$x; done"
    assert engine.call("run", "-m", "16m", "demo", "sh", "-c", script).returncode == 137


def test_a_terminal(engine):
    master, slave = pty.openpty()
    words = engine.argv("run", "-it", "demo", "sh", "-c", "tty; read x; echo got $x; exit 5")
    child = subprocess.Popen(words, stdin=slave, stdout=slave, stderr=slave, env={"PATH": os.defpath})
    os.close(slave)
    try:
        assert "/dev/pts/0" in read_until(master, "/dev/pts/0")
        os.write(master, b"words\n")
        read_until(master, "got words")
        assert child.wait(60) == 5
    finally:
        child.kill()
        child.wait()
        os.close(master)


def test_signals_reach_it(engine):
    script = "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done"
    words = engine.argv("run", "demo", "sh", "-c", script)
    with subprocess.Popen(words, stdout=subprocess.PIPE, env={"PATH": os.defpath}) as child:
        read_until(child.stdout.fileno(), "up")
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 7


@pytest.fixture
def heir():
    """Be who inherits what a killed process left, and take its exit status."""
    before, others = set_child_subreaper(), children()
    yield
    reap(children() - others)
    set_child_subreaper(before)


def test_what_a_killed_run_left_is_taken_away(engine, heir):
    """The command's containers don't die with their engine; the next call on its folder ends them."""
    words = engine.argv("run", "demo", "sh", "-c", "echo up; exec sleep 1000")
    child = subprocess.Popen(words, stdout=subprocess.PIPE, env={"PATH": os.defpath})
    read_until(child.stdout.fileno(), "up")
    child.kill()
    child.wait()
    child.stdout.close()
    assert engine.call("down").returncode == 0


def test_doctor_looks_at_the_binary_that_is_named(engine):
    checks = json.loads(engine.call("doctor", "--json").stdout)["checks"]
    assert {each["need"]: each["ok"] for each in checks if each["component"] == f"runtime/{engine.name}"} == {
        f"binary {engine.binary}>={'.'.join(map(str, TOOLS[engine.name].oldest))}": True,
        **({"cgroup unmixed": True} if engine.name == "crun" else {}),
    }


def test_without_the_binary(engine, tmp_path):
    name = f"lacking-{engine.name}"
    pyz = engine.assemble(name, MANIFEST.format(name=engine.name, config="").replace("by-", "lacking-"))
    path = str(tmp_path)
    done = engine.call("doctor", pyz=pyz, path=path)
    assert done.returncode == 3
    assert f"{engine.name} isn't on PATH" in done.stdout
    assert f"apt install {engine.name}" in done.stdout
    done = engine.call("run", "demo", "true", pyz=pyz, path=path)
    assert done.returncode == 125
    assert f"apt install {engine.name}" in done.stderr
    (tmp_path / engine.name).symlink_to(engine.binary)
    assert engine.call("run", "demo", "true", pyz=pyz, path=f"{path}:{os.defpath}").returncode == 0
