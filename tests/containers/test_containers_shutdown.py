"""The end of all containers, as an engine goes for good: in their own way and time, and at once."""

import time

import pytest
from containers_engine import eventually

from moby.contracts.containers import RestartPolicy, Status
from moby.contracts.log_driver import LogQuery
from moby.errors import Unavailable
from moby.testing.boxes import read_all

pytestmark = pytest.mark.slow

TRAPS = "trap 'echo told; exit 3' {}; echo up; while :; do sleep 0.05; done"


def log(engine, made):
    return read_all(engine.containers.logs(made, LogQuery()))


@pytest.fixture
def started(engine):
    """Start one that says when its trap is set; else it's deaf, as a first process is to what it doesn't handle."""

    def start(signal="TERM", **config):
        made = engine.create(TRAPS.format(signal) if signal else "echo up; exec sleep 1000", **config)
        engine.containers.start(made)
        eventually(lambda: "up" in log(engine, made), "it is up")
        return made

    return start


def state(engine, made):
    found = engine.containers.get(made).state
    return found.status, found.exit_code


def test_each_gets_its_signal(engine, started):
    """One that is paused too, which goes on for that, and one that is restarted else, or waits for its restart."""
    made = [started(), started("USR1", stop_signal="USR1"), started(), started(restart=RestartPolicy("always"))]
    engine.containers.pause(made[2])
    waiting = engine.create("exit 4", restart=RestartPolicy("always", delay_ns=10**12))
    engine.containers.start(waiting)
    eventually(lambda: state(engine, waiting)[0] is Status.RESTARTING, "it waits")
    gone = started(auto_remove=True)
    engine.containers.wind_down(None)
    assert [state(engine, each) for each in made] == [(Status.EXITED, 3)] * 4
    assert all("told" in log(engine, each) for each in made)
    assert state(engine, waiting) == (Status.EXITED, 4)
    assert gone not in {each.id for each in engine.containers.list()}
    assert engine.actions().count("start") == 6
    engine.restart()
    for each in (made[3], waiting):
        eventually(lambda each=each: engine.actions().count("start") == 2, "the next engine starts it by its policy")


def test_all_have_their_own_time_at_once(engine, started):
    """As with dockerd; what doesn't end in it is killed."""
    deaf = [started("", stop_timeout_s=each) for each in (1, 2, 2, 2)]
    began = time.monotonic()
    engine.containers.wind_down(None)
    assert 2 <= time.monotonic() - began < 4
    assert [state(engine, each) for each in deaf] == [(Status.EXITED, 137)] * 4
    ends = [engine.containers.get(each).state.finished for each in deaf]
    assert ends[0] < min(ends[1:])


@pytest.mark.parametrize("own_s", [None, -1])
def test_a_shorter_time(engine, started, own_s):
    """Also of one that may take as long as it likes."""
    deaf, hears = started("", stop_timeout_s=own_s), started()
    began = time.monotonic()
    engine.containers.wind_down(0.5)
    assert 0.5 <= time.monotonic() - began < 3
    assert (state(engine, deaf)[1], state(engine, hears)[1]) == (137, 3)


def test_one_that_cannot_be_told_keeps_no_other(engine, started, monkeypatch):
    made = [started(), started()]
    kill = engine.supervisor.kill

    def fails(task_id, number):
        if task_id == made[0]:
            raise Unavailable("not now")
        kill(task_id, number)

    with monkeypatch.context() as broken:
        broken.setattr(engine.supervisor, "kill", fails)
        engine.containers.wind_down(None)
    assert state(engine, made[1]) == (Status.EXITED, 3)
    assert ("a container can't be stopped", {"container": made[0], "error": "not now"}) in engine.log.lines
