"""The command's verbs checkpoint, and restore in the foreground and detached."""

import contextlib
import os
import signal

import pytest
from peers import binaries
from runtime.commands import binary
from runtime_command.command import Terminal, ended

pytestmark = pytest.mark.slow

SCRIPT = "trap 'echo got; exit 5' TERM; echo up; while :; do sleep 0.05; done"


@pytest.fixture
def path(open_folder):
    """A PATH with CRIU on it."""
    binaries.need("criu", "criu")
    binary("criu", open_folder)
    return {"PATH": f"{open_folder}:{os.environ['PATH']}"}


@contextlib.contextmanager
def begun(command, *args, env=None):
    """Start the command, and end it where the test fails."""
    process = command.begin(*args, env=env)
    with process:
        try:
            yield process
        except BaseException:
            process.terminate()
            raise


@pytest.fixture
def written(command, path):
    """A bundle, and the image that its running container was written into."""
    bundle, image = command.bundle("sh", "-c", SCRIPT), command.folder / "image"
    with begun(command, "run", "--bundle", bundle, "box") as process:
        assert process.stdout.readline() == b"up\n"
        command("checkpoint", "--image-path", image, "--work-path", command.folder / "work", "box", env=path)
        assert process.wait(60) == 137
    assert command.ids() == []
    assert (command.folder / "work/dump.log").exists()
    return bundle, image


def test_in_the_foreground(command, path, written):
    bundle, image = written
    with begun(command, "restore", "--bundle", bundle, "--image-path", image, "box", env=path) as process:
        while command.ids() != ["box"] or command.status("box") != "running":
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == b"got\n"
        assert process.wait(60) == 5
    assert command.ids() == []


def test_detached(command, path, written):
    bundle, image = written
    pid_file = command.folder / "pid"
    words = ("restore", "--detach", "--bundle", bundle, "--image-path", image, "--pid-file", pid_file, "box")
    with begun(command, *words, env=path) as process:
        assert process.wait(60) == 0
        assert command.state("box")["pid"] == int(pid_file.read_text())
        command("kill", "box", "TERM")
        assert process.stdout.readline() == b"got\n"
    assert ended(int(pid_file.read_text())) == 5
    command("delete", "box")


def test_left_running(command, path):
    command.sleeping()
    image = command.folder / "image"
    command("checkpoint", "--leave-running", "--image-path", image, "box", env=path)
    assert command.status("box") == "running"
    assert "isn't empty" in command.error("checkpoint", "--image-path", image, "box", env=path)


def test_a_terminal_in_the_foreground(command, path, monkeypatch):
    bundle, image = command.bundle("sh", "-c", SCRIPT, terminal=True), command.folder / "image"
    terminal = Terminal(command, "run", "--bundle", bundle, "box")
    terminal.until("up")
    command("checkpoint", "--image-path", image, "box", env=path)
    assert terminal.code() == 137
    monkeypatch.setenv("PATH", path["PATH"])
    terminal = Terminal(command, "restore", "--bundle", bundle, "--image-path", image, "box")
    while command.ids() != ["box"] or command.status("box") != "running":
        assert terminal.process.poll() is None
    command("kill", "box", "TERM")
    terminal.until("got")
    assert terminal.code() == 5
