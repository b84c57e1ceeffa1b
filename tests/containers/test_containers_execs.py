"""As whom an exec runs, and how long it can be asked about."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from moby_containers.engine import execs

from moby.contracts.containers import ExecConfig
from moby.contracts.types import Window
from moby.errors import Conflict, Invalid, NotFound
from moby.testing.boxes import read_all
from moby.testing.containers import close
from moby.testing.containers_world import eventually


def started(engine, **config):
    made = engine.create("while :; do sleep 1; done", **config)
    engine.containers.start(made)
    return made


def made(engine, container):
    return engine.containers.exec_create(container, ExecConfig(("sh", "-c", "exit 3")))


def run(engine, container):
    exec_id = made(engine, container)
    engine.containers.exec_start(exec_id, detach=True)
    eventually(lambda: engine.containers.exec_get(exec_id).exit_code == 3, "it ends")
    return exec_id


def said(engine, container, script, **asked):
    config = ExecConfig(("sh", "-c", script), attach_stdout=True, **asked)
    streams = engine.containers.exec_start(engine.containers.exec_create(container, config))
    try:
        return read_all(streams.stdout)
    finally:
        close(streams)


@pytest.mark.parametrize(
    ("user", "groups"), [("", "0 777"), ("0", "0 777"), ("1000", "1000 100 777"), ("5:users", "100 777")]
)
def test_further_groups_are_any_users(engine, user, groups):
    found = said(engine, started(engine, group_add=("777",)), "id -G", user=user)
    assert {*found.split()} == {*groups.split()}


def test_no_new_privileges_are_none_for_privileged_ones_too(engine):
    script = "grep NoNewPrivs /proc/self/status"
    confined = started(engine, security_options=("no-new-privileges",))
    assert said(engine, confined, script, privileged=True).split()[1] == "1"
    assert said(engine, started(engine), script, privileged=True).split()[1] == "0"


def test_a_size_waits_for_the_start(engine):
    script = "until stty size | grep '33 99'; do sleep 0.05; done"
    config = ExecConfig(("sh", "-c", script), terminal=True, attach_stdout=True)
    exec_id = engine.containers.exec_create(started(engine), config)
    with ThreadPoolExecutor(1) as thread:
        told = thread.submit(engine.containers.exec_resize, exec_id, Window(33, 99))
        with pytest.raises(TimeoutError):
            told.result(0.1)
        streams = engine.containers.exec_start(exec_id)
        told.result(10)
        assert "33 99" in read_all(streams.stdout)
    close(streams)


def test_a_size_of_what_never_runs(engine, monkeypatch):
    container = started(engine)
    failed = engine.containers.exec_create(container, ExecConfig(("/none",), terminal=True))
    with ThreadPoolExecutor(1) as thread:
        told = thread.submit(engine.containers.exec_resize, failed, Window(33, 99))
        with pytest.raises(Invalid):
            engine.containers.exec_start(failed, detach=True)
        with pytest.raises(Conflict, match="is not running"):
            told.result(5)
    monkeypatch.setattr(execs, "_STARTED_S", 0.0)
    with pytest.raises(Conflict, match="is not running"):
        engine.containers.exec_resize(made(engine, container), Window(33, 99))


def is_gone(engine, exec_id):
    try:
        engine.containers.exec_get(exec_id)
    except NotFound as error:
        return error.message == f"No such exec instance: {exec_id}"
    return False


def test_for_a_moment_after_its_container(engine, monkeypatch):
    monkeypatch.setattr(execs, "_READ_S", 600.0)
    first = started(engine)
    kept = run(engine, first)
    engine.containers.remove(first, force=True)
    monkeypatch.setattr(execs, "_READ_S", 0.0)
    second = started(engine)
    gone = run(engine, second)
    engine.containers.remove(second, force=True)
    eventually(lambda: is_gone(engine, gone), "it goes with its container")
    assert engine.containers.exec_get(kept).exit_code == 3


def test_for_some_minutes(engine, monkeypatch):
    container = started(engine)
    kept, late = run(engine, container), made(engine, container)
    monkeypatch.setattr(execs, "_KEPT_S", 0.0)
    unstarted = made(engine, container)
    eventually(lambda: is_gone(engine, unstarted), "one that nobody starts goes")
    engine.containers.exec_start(late, detach=True)
    eventually(lambda: is_gone(engine, late), "one that has ended goes")
    assert engine.containers.exec_get(kept).exit_code == 3
    engine.containers.remove(container, force=True)
