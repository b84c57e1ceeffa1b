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


def test_asks_to_die_with_the_main_thread(supervisor, bundles):
    bundle = bundles(*SLEEP)
    supervisor.create(TaskConfig("a", bundle))
    assert annotations(bundle) == {DIE_WITH_PARENT: "true"}


def test_asks_nothing_of_a_thread_that_may_end(supervisor, bundles, forking, monkeypatch):
    bundle = bundles(*SLEEP)
    monkeypatch.setattr(forking, "create", _raiser(HostUnfit("enough")))
    errors = []

    def create():
        try:
            supervisor.create(TaskConfig("a", bundle))
        except HostUnfit as error:
            errors.append(error)

    thread = threading.Thread(target=create)
    thread.start()
    thread.join(20)
    assert errors
    assert annotations(bundle) == {}


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
