"""A sandbox ends whatever became of those who came into it."""

import ctypes
import os
import signal
from pathlib import Path

import pytest
from peers.sandbox import Sandbox, until

PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture
def subreaper():
    """Have this process get the children of its children that end."""
    call = ctypes.CDLL(None).prctl
    call(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    yield
    call(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@pytest.fixture
def entered(tmp_path):
    """A sandbox, and a process that came into it and waits for its program."""
    (tmp_path / "memory").mkdir()
    sandbox = Sandbox(tmp_path / "memory")
    sandbox.open()
    process = sandbox.start("sleep", "1000", log=tmp_path / "log")
    until(lambda: "sleep 1000" in sandbox.processes().values(), "the program")
    return sandbox, process


def gone(sandbox):
    return not any(group.exists() for group in sandbox.groups)


@pytest.mark.usefixtures("subreaper")
def test_who_came_in_was_killed(entered):
    sandbox, process = entered
    process.kill()
    process.wait()
    sandbox.close()
    assert gone(sandbox)


def test_who_came_in_is_stopped(entered):
    sandbox, process = entered
    process.send_signal(signal.SIGSTOP)
    sandbox.close()
    assert gone(sandbox)
    process.wait()


def test_what_is_inside_is_frozen(entered):
    sandbox, process = entered
    [group] = [each for each in sandbox.groups if (each / "freezer.state").exists()] or [None]
    if group is None:
        pytest.skip("no freezer of cgroup v1 on this host; runs where there is one")
    inner = group / "inner"
    inner.mkdir()
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (inner / "cgroup.procs").write_text(children[0])
    (inner / "freezer.state").write_text("FROZEN")
    sandbox.close()
    assert gone(sandbox)
    process.wait()
    assert not os.path.exists(f"/proc/{children[0]}")  # noqa: PTH110
