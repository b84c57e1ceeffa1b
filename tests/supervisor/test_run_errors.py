import errno
import os

import pytest
from ambient import ListLog, RealClock
from engine import OneImage, place
from moby_supervisor.foreground.tasks import Foreground
from moby_supervisor.run.command import Run

from moby.contracts.types import Exit
from moby.errors import HostUnfit, NotFound, Unavailable
from moby.testing.supervisor import open_descriptors


@pytest.fixture
def supervisor(forking, tmp_path):
    with Foreground({"forking": forking}, tmp_path / "run", RealClock(), ListLog()) as supervisor:
        yield supervisor


@pytest.fixture
def log():
    return ListLog()


@pytest.fixture
def run(supervisor, tmp_path, log):
    return Run(OneImage(tmp_path), supervisor, place(tmp_path, "command"), log)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param([], ["the runtime filters no system calls, so the container may make all of them"], id="default"),
        pytest.param(["--security-opt", "seccomp=unconfined"], [], id="unconfined"),
    ],
)
def test_runtime_without_seccomp(run, log, options, said):
    assert run.run([*options, "demo"]) == 0
    assert [message for level, message, _ in log.lines if level == "warning"] == said
    assert all("seccomp=unconfined" in fields["fix"] for _, _, fields in log.lines)


@pytest.mark.parametrize(
    ("number", "hint"),
    [(errno.ENOSPC, "free space"), (errno.EROFS, "writable"), (errno.EMFILE, "ulimit"), (errno.EIO, "")],
)
def test_host_that_refuses(run, monkeypatch, number, hint):
    def refusing(*arguments):
        raise OSError(number, os.strerror(number), "/somewhere")

    monkeypatch.setattr("moby.host.claims.claim", refusing)
    with pytest.raises(HostUnfit, match="/somewhere") as raised:
        run.run(["demo"])
    assert raised.value.exit_code == 125
    assert hint in raised.value.hint


def test_unknown_exit(run, supervisor, monkeypatch):
    known = type(supervisor).state

    def unknown(self, task_id):
        from attrs import evolve

        found = known(self, task_id)
        return evolve(found, exit=found.exit and Exit(None, 0))

    monkeypatch.setattr(type(supervisor), "state", unknown)
    with pytest.raises(Unavailable, match="isn't known") as raised:
        run.run(["demo"])
    assert raised.value.exit_code == 125
    assert supervisor.list() == ()


def test_absent_image(run):
    with pytest.raises(NotFound, match="there are: demo") as raised:
        run.run(["absent"])
    assert "image from-host --tag absent" in raised.value.hint
    assert raised.value.exit_code == 125


def test_nothing_stays_behind(run, supervisor, tmp_path, capfd):
    before = sorted(tmp_path.rglob("*"))
    open_before = open_descriptors()
    assert run.run(["demo"]) == 0
    assert capfd.readouterr().out == "default command\n"
    assert supervisor.list() == ()
    assert open_descriptors() == open_before
    assert {each.name for each in set(tmp_path.rglob("*")) - set(before)} <= {".gate", "run"}
