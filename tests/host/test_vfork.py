"""A process on its maker's memory, and children of whom a process makes them for its parent."""

import gc
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from moby.host import processes, vfork

pytestmark = pytest.mark.skipif(not vfork.possible(), reason="this interpreter looks where its stack is; 3.13 runs it")


def alone(check):
    """Call a check in a process with one thread; return what it returns."""
    read, write = os.pipe()

    def child():
        os.close(read)
        try:
            said = {"value": check()}
        except BaseException as error:
            said = {"error": repr(error)}
        os.write(write, json.dumps(said).encode())
        os._exit(0)

    _, pidfd = processes.fork(child)
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as file:
        said = json.load(file)
    processes.reap(pidfd)
    os.close(pidfd)
    assert "error" not in said, said
    return said["value"]


def test_its_memory_is_ours_and_all_else_its_own(tmp_path):
    def check():
        seen = {}

        def body():
            os.chdir(tmp_path)
            seen["pid"], seen["parent"] = os.getpid(), os.getppid()
            seen["opened"] = os.open(os.devnull, os.O_RDONLY)

        before, folder = set(Path("/proc/self/fd").iterdir()), Path.cwd()
        pid, pidfd = vfork.run(body)
        code = processes.reap(pidfd)
        os.close(pidfd)
        return (
            seen["pid"] == pid != os.getpid() == seen["parent"],
            code,
            set(Path("/proc/self/fd").iterdir()) == before,
            Path.cwd() == folder,
            gc.isenabled(),
            signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set(),
        )

    assert alone(check) == [True, 0, True, True, True, True]


def test_what_it_raises_is_raised_here_and_it_is_reaped():
    def check():
        with pytest.raises(ZeroDivisionError):
            vfork.run(lambda: 1 // 0)
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, 0)
        return True

    assert alone(check)


def test_it_may_clone_and_that_one_lives_on():
    def check():
        made = []

        def grandchild():
            os._exit(len(str(sys.version_info)) and 7)

        _, pidfd = vfork.run(lambda: made.append(processes.clone(grandchild, processes.CLONE_PARENT)[0]))
        processes.reap(pidfd)
        return os.waitstatus_to_exitcode(os.waitpid(made[0], 0)[1])

    assert alone(check) == 7


def test_arguments_are_forgotten_and_remembered():
    def check():
        path = Path("/proc/self/cmdline")
        before = path.read_bytes()
        forgotten = processes.forget_arguments()
        blank = path.read_bytes()
        processes.remember_arguments(forgotten)
        return (blank.strip(b"\0") == b"", path.read_bytes() == before, before != b"")

    assert alone(check) == [True, True, True]


def test_what_acts_for_its_parent_makes_siblings_and_leaves_them():
    def check():
        read, write = os.pipe()

        def helper():
            processes.act_for_parent()
            pid, pidfd = processes.clone(lambda: os._exit(9), processes.sibling())
            processes.dismiss(pidfd)
            told = processes.take_dismissed() == [pidfd]
            os.write(write, json.dumps([pid, told, processes.take_dismissed()]).encode())
            os._exit(0)

        assert processes.sibling() == 0
        _, pidfd = processes.clone(helper)
        processes.dismiss(pidfd)
        pid, told, left = json.loads(os.read(read, 4096))
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), told, left, processes.take_dismissed()

    assert alone(check) == [9, True, [], []]


def test_where_it_cannot_be_done(monkeypatch):
    def denied(function):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(vfork, "_Body", denied)
        assert not vfork.possible()
    monkeypatch.setattr(sys, "version_info", (3, 14))
    assert not vfork.possible()
