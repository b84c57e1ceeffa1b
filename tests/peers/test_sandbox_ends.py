"""A sandbox ends whatever became of those who came into it, and is nobody else's."""

import ctypes
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from peers.sandbox import Sandbox, until

from moby.host import mounts, namespaces

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


def test_mounts_of_others_that_go_are_not_missed(tmp_path):
    """Who removes a folder takes what is mounted there from all namespaces."""
    if os.geteuid():
        pytest.skip("only root can mount; runs as root")
    memory, other = tmp_path / "memory", tmp_path / "other"
    memory.mkdir()
    other.mkdir()
    sandbox = Sandbox(memory)

    def opened():
        namespaces.unshare(namespaces.FLAGS["mount"])
        mounts.set_propagation("/", "rprivate")
        subprocess.run(["mount", "-t", "tmpfs", "other", str(other)], check=True)
        sandbox.open()
        return sandbox.trace()

    def told():
        return str(other) in sandbox.seen("/proc/1/mountinfo").read_text()

    with ThreadPoolExecutor(1) as apart:  # whose end is the sandbox's
        before = apart.submit(opened).result()
        try:
            assert told()
            other.rmdir()
            assert not told()
            assert sandbox.trace() == before
            sandbox.run("mount", "-t", "tmpfs", "own", "/mnt")
            assert sandbox.trace() - before == {"mount at /mnt": 1}
        finally:
            sandbox.close()
