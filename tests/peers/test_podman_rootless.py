"""Podman of an ordinary user, with our runtime."""

import pytest
from peers.engines import choices

pytestmark = [
    pytest.mark.usefixtures("tidy"),
    pytest.mark.parametrize("engine", choices("rootless"), indirect=True, scope="module"),
]


def test_root_inside_is_the_user(engine):
    done = engine.run("sh", "-c", "id -u; cat /proc/self/uid_map; touch /file && echo written; exit 5")
    assert done.returncode == 5
    assert done.stdout.split() == ["0", "0", "1000", "1", "1", "100000", "65536", "written"]


def test_the_user_inside_is_the_user(engine):
    text = engine.said("sh", "-c", "id; touch /tmp/file && echo written", options=["--userns=keep-id"])
    assert text == "uid=1000(user) gid=1000(user) groups=1000(user)\nwritten"


def test_another_user_inside(engine):
    options = ["--user", "1000:1000", "--group-add", "2000"]
    assert engine.said("id", options=options) == "uid=1000(user) gid=1000(user) groups=1000(user),2000(extra)"


def test_terminal(engine):
    terminal = engine.terminal(
        "run", "--rm", "-it", "--network=none", "localhost/box", "sh", "-c", "tty; read x; exit 4"
    )
    terminal.read_until("/dev/pts/0")
    terminal.write("\n")
    assert terminal.code() == 4


def test_exec_pause_and_stop(engine):
    name = engine.up()
    assert engine("exec", name, "sh", "-c", "exit 6", check=False).returncode == 6
    engine("stop", "-t", "60", name)
    assert engine.inspect(name, ".State.ExitCode") == 3


def test_confinement(engine):
    status = engine.said("cat", "/proc/self/status", options=["--cap-drop", "ALL"])
    assert "CapEff:\t0000000000000000\n" in status
    assert "Seccomp:\t2\n" in status
    assert "Read-only file system" in engine.run("touch", "/x", options=["--read-only"]).stderr


def test_what_is_not_there(engine):
    done = engine.run("nonesuch")
    assert done.returncode == 127
