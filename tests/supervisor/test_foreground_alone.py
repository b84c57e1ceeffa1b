"""What is the supervisor `foreground`'s own, beyond its contract."""

import json
import os
import signal
import threading
from pathlib import Path

import pytest
from ambient import ListLog, RealClock
from moby_supervisor.foreground.task import Task
from moby_supervisor.foreground.tasks import Foreground

from moby.contracts.runtime import DIE_WITH_PARENT
from moby.contracts.supervisor import TaskConfig
from moby.contracts.types import TaskStatus
from moby.errors import Conflict, HostUnfit, Invalid, NotFound, Unavailable
from moby.host import claims
from moby.host.processes import readable


@pytest.fixture
def log():
    return ListLog()


@pytest.fixture
def make(forking, tmp_path, log):
    def make(**options):
        return Foreground({"forking": forking}, tmp_path / "run", RealClock(), log, **options)

    return make


@pytest.fixture
def supervisor(make):
    with make() as supervisor:
        yield supervisor


SLEEP = ("sleep", "60")


def begin(supervisor, bundle, task="a"):
    supervisor.create(TaskConfig(task, bundle(*SLEEP)))
    supervisor.start(task)


def test_leaving_ends_everything(make, forking, bundles):
    with make() as supervisor:
        begin(supervisor, bundles, "a")
        supervisor.create(TaskConfig("b", bundles(*SLEEP)))
        process = {"args": SLEEP, "env": [f"PATH={os.defpath}"]}
        supervisor.exec("a", "c", process, TaskConfig("c", Path()))
        watched = [supervisor.exit_fd(each) for each in "abc"]
    assert forking.deleted == ["a", "b"]
    for each in watched:
        assert claims.os.stat(each)
        os.close(each)


@pytest.mark.parametrize(("tasks", "error"), [("a", HostUnfit), ("ab", ExceptionGroup)], ids=["one", "several"])
def test_leaving_tells_what_failed(make, forking, bundles, monkeypatch, tasks, error):
    supervisor = make().__enter__()
    for each in tasks:
        supervisor.create(TaskConfig(each, bundles(*SLEEP)))
    with monkeypatch.context() as patch, pytest.raises(error):
        patch.setattr(forking, "delete", _raiser(HostUnfit("no")))
        supervisor.__exit__(None, None, None)
    supervisor.__exit__(None, None, None)
    assert forking.deleted == list(tasks)


def _raiser(error):
    def raising(*arguments, **options):
        raise error

    return raising


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".", "-a", "a" * 1025])
def test_no_id(supervisor, bundles, name):
    with pytest.raises(Invalid, match="no id"):
        supervisor.create(TaskConfig(name, bundles(*SLEEP)))


def test_no_runtimes(tmp_path, bundles):
    with Foreground({}, tmp_path / "run", RealClock(), ListLog()) as supervisor, pytest.raises(NotFound, match="none"):
        supervisor.create(TaskConfig("a", bundles(*SLEEP)))


def test_exit_that_somebody_else_reaped_is_unknown(supervisor, bundles):
    begin(supervisor, bundles)
    pid = supervisor.state("a").pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    ended = supervisor.state("a").exit
    assert ended is not None
    assert ended.code is None


def test_paused_task_is_deleted_by_force(supervisor, bundles):
    begin(supervisor, bundles)
    supervisor.pause("a")
    assert supervisor.delete("a", force=True).code == 137


def test_what_does_not_die(make, bundles, forking, monkeypatch):
    with make(kill_timeout_s=0.05) as supervisor:
        begin(supervisor, bundles)
        with monkeypatch.context() as patch:
            patch.setattr(forking, "kill", lambda *arguments, **options: None)
            patch.setattr(Task, "signal", lambda self, number: None)
            with pytest.raises(Unavailable, match="hasn't ended"):
                supervisor.delete("a", force=True)
        assert supervisor.state("a").status is TaskStatus.RUNNING


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [("pause", ()), ("resume", ()), ("update", ({},)), ("exec", ("c", {}, TaskConfig("c", Path())))],
)
def test_exec_shares_its_containers_fate(supervisor, bundles, verb, arguments):
    begin(supervisor, bundles)
    supervisor.exec("a", "b", {"args": SLEEP, "env": [f"PATH={os.defpath}"]}, TaskConfig("b", Path()))
    with pytest.raises(Conflict, match="an exec"):
        getattr(supervisor, verb)("b", *arguments)


def test_update(supervisor, bundles, forking):
    begin(supervisor, bundles)
    supervisor.update("a", {"pids": {"limit": 5}})
    assert forking.updated == [("a", {"pids": {"limit": 5}})]


def annotations(bundle):
    return json.loads((bundle / "config.json").read_text()).get("annotations", {})


def aside(work):
    """Do something in a thread that ends with it."""
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join(60)
    return found[0]


def test_asks_to_die_with_the_process(supervisor, bundles):
    for name, how in (("a", lambda work: work()), ("b", aside)):
        bundle = bundles(*SLEEP)
        how(lambda: supervisor.create(TaskConfig(name, bundle)))  # noqa: B023 - called at once
        assert annotations(bundle) == {DIE_WITH_PARENT: "true"}


def test_what_a_thread_made_outlives_that_thread_and_not_the_process(make, bundles):
    theirs, ours = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            supervisor = make().__enter__()
            task = aside(lambda: supervisor.create(TaskConfig("a", bundles(*SLEEP))))
            supervisor.start("a")
            os.write(ours, str(task.pid).encode())
            signal.pause()
        finally:
            os._exit(1)
    os.close(ours)
    watched = os.pidfd_open(int(os.read(theirs, 100)))
    try:
        assert not readable(watched, 0.2)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert readable(watched, 60)
    for each in (theirs, watched):
        os.close(each)


def test_what_several_threads_make_is_made_at_once(supervisor, bundles, forking, monkeypatch):
    create, together = forking.create, threading.Barrier(3)

    def creates(*arguments):
        together.wait(60)
        return create(*arguments)

    monkeypatch.setattr(forking, "create", creates)
    for names in ("abc", "def"):
        made = [threading.Thread(target=begin, args=(supervisor, bundles, each)) for each in names]
        for each in made:
            each.start()
        for each in made:
            each.join(60)
    assert [each.id for each in supervisor.list()] == list("abcdef")
    assert [each.name for each in threading.enumerate()].count("lasting") == 3


def test_what_fails_in_such_a_thread_is_raised(supervisor, bundles, forking, monkeypatch):
    monkeypatch.setattr(forking, "create", _raiser(HostUnfit("enough")))

    def creates():
        with pytest.raises(HostUnfit, match="enough"):
            supervisor.create(TaskConfig("a", bundles(*SLEEP)))
        return True

    assert aside(creates)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"annotations": 3}', "\xff"])
def test_config_that_cannot_be_read_is_the_runtimes_to_refuse(supervisor, tmp_path, text):
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises((Invalid, TypeError)):
        supervisor.create(TaskConfig("a", tmp_path))
    assert (tmp_path / "config.json").read_bytes() == text.encode("latin-1")


def abandon(tmp_path, name, runtime):
    left = claims.claim(tmp_path / "run", name)
    if runtime is not None:
        (left.path / "runtime").write_text(runtime)
    os.close(left.descriptor)
    return left.path


def test_successor_deletes_what_was_left(make, forking, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(forking, "delete", lambda name, *, force: asked.append((name, force)))
    paths = [abandon(tmp_path, "a", "forking"), abandon(tmp_path, "b", None)]
    with make():
        assert asked == [("a", True)]
        assert not [each for each in paths if each.exists()]


def test_successor_keeps_what_it_cannot_delete(make, log, tmp_path):
    path = abandon(tmp_path, "a", "one that is gone")
    for _ in range(2):
        with make():
            assert path.exists()
    assert [(level, fields["id"]) for level, _, fields in log.lines] == [("warning", "a")] * 2


def test_successor_leaves_the_living_alone(supervisor, make, forking, bundles):
    begin(supervisor, bundles)
    with make():
        assert supervisor.state("a").status is TaskStatus.RUNNING
    assert forking.deleted == []
