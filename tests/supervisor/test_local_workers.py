"""Workers: that they stay, that whatever becomes of one harms no other call, and whose children containers are."""

import os
import threading
from pathlib import Path

import pytest
from moby_supervisor.local import workers
from test_local import bundle, keeper, runtime, supervisor  # noqa: F401 - fixtures
from test_local_details import again, ends  # noqa: F401 - a fixture
from test_local_logs import children_of, eventually

from moby.contracts.supervisor import TaskConfig
from moby.errors import MobyError, Unavailable
from moby.host import processes
from moby.testing.bundles import Bundles, config

SLEEPS = ("sh", "-c", "while :; do read x; done")


def copies():
    """Return the children of this process that are no programs of their own: workers, while nothing else goes on."""
    found = [processes.process_stat(pid) for pid in children_of(os.getpid())]
    return {each.pid for each in found if each is not None and each.copied}


def zombies():
    found = [processes.process_stat(pid) for pid in children_of(os.getpid())]
    return {each.pid for each in found if each is not None and each.ended}


def whole_life(supervisor, bundle, name="a", code=3):  # noqa: F811
    supervisor.create(TaskConfig(name, bundle("sh", "-c", f"exit {code}")))
    supervisor.start(name)
    assert ends(supervisor, name).code == code
    supervisor.delete(name)


@pytest.fixture(autouse=True)
def _patience(monkeypatch):
    monkeypatch.setattr(workers, "_REST_S", 600.0)


def test_one_worker_makes_one_call_after_another(supervisor, bundle):  # noqa: F811
    before = copies()
    whole_life(supervisor, bundle)
    (worker,) = copies() - before
    whole_life(supervisor, bundle)
    assert copies() - before == {worker}


def test_a_worker_ends_after_so_many_calls(supervisor, bundle, monkeypatch):  # noqa: F811
    monkeypatch.setattr(workers, "_MOST_CALLS", 2)
    before, ended = copies(), zombies()
    for _ in range(3):
        whole_life(supervisor, bundle)
    eventually(lambda: len(copies() - before) <= 1)
    eventually(lambda: zombies() <= ended)


def test_one_that_is_killed_while_it_rests_is_replaced(supervisor, bundle):  # noqa: F811
    before = copies()
    whole_life(supervisor, bundle)
    (worker,) = copies() - before
    os.kill(worker, 9)
    eventually(lambda: worker not in children_of(os.getpid()))
    whole_life(supervisor, bundle)


def test_one_that_is_killed_in_a_call_fails_that_one(again, bundle, monkeypatch):  # noqa: F811
    ended, before = zombies(), copies()
    with again() as supervisor:  # noqa: F811
        supervisor.create(TaskConfig("a", bundle(*SLEEPS), stdin=True))
        (worker,) = copies() - before - {supervisor.state("a").pid}
        os.kill(worker, 9)
        eventually(lambda: worker not in children_of(os.getpid()))
        with monkeypatch.context() as patch:  # of the next one
            patch.setattr("moby_runtime.native.runtime.Native.start", lambda *arguments: os.kill(os.getpid(), 9))
            with pytest.raises(Unavailable, match="cannot start a: the process that did it was killed"):
                supervisor.start("a")
        supervisor.start("a")
        supervisor.delete("a", force=True)
    eventually(lambda: zombies() <= ended)


def test_a_child_that_a_runtime_leaves_in_it_becomes_the_supervisors(again, bundle, monkeypatch):  # noqa: F811
    """As of a runtime that knows nothing of whom it acts for."""
    monkeypatch.setattr(processes, "sibling", lambda: 0)
    before = copies()
    with again() as supervisor:  # noqa: F811
        supervisor.create(TaskConfig("a", bundle("sh", "-c", "exit 7")))
        pid = supervisor.state("a").pid
        assert processes.process_stat(pid).parent == os.getpid()
        assert copies() - before <= {pid}
        supervisor.start("a")
        assert ends(supervisor).code == 7
        supervisor.delete("a")


def test_what_is_too_big_for_it_is_done_all_the_same(supervisor, bundle):  # noqa: F811
    supervisor.create(TaskConfig("a", bundle(*SLEEPS), stdin=True))
    supervisor.start("a")
    environment = [f"N{number}={'x' * 1000}" for number in range(300)]
    words = ["sh", "-c", "[ ${#N299} = 1000 ] && exit 9"]
    process = {"args": words, "cwd": "/", "env": [*environment, "PATH=/bin:/usr/bin"]}
    supervisor.exec("a", "b", process, TaskConfig("b", Path()))
    assert ends(supervisor, "b").code == 9
    supervisor.delete("b")
    supervisor.delete("a", force=True)


def test_what_failed_late_is_reaped(supervisor, tmp_path, rootfs):  # noqa: F811
    """Its first process was the supervisor's own child."""
    data = config(["sh"])
    data["mounts"] = [*data["mounts"], {"destination": "/x", "type": "nosuchfs", "source": "none"}]
    failing = Bundles(tmp_path / "failing", rootfs).make("x", data)
    ended = zombies()
    for _ in range(3):
        with pytest.raises(MobyError, match="nosuchfs"):
            supervisor.create(TaskConfig("a", failing))
    eventually(lambda: zombies() <= ended)


def test_those_that_nobody_needs_go(supervisor, bundle, monkeypatch):  # noqa: F811
    monkeypatch.setattr(workers, "_REST_S", 0.05)
    before = copies()
    supervisor.create(TaskConfig("a", bundle(*SLEEPS), stdin=True))
    supervisor.start("a")
    process = {"args": ["sh", "-c", "exit 0"], "cwd": "/", "env": ["PATH=/bin:/usr/bin"]}
    threads = [
        threading.Thread(target=supervisor.exec, args=("a", f"b{n}", process, TaskConfig(f"b{n}", Path())))
        for n in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for n in range(4):
        ends(supervisor, f"b{n}")
        supervisor.delete(f"b{n}")
    supervisor.delete("a", force=True)
    eventually(lambda: copies() <= before)
    whole_life(supervisor, bundle)
