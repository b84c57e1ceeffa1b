"""How long a container waits for its next start, by a clock that goes when it is told to."""

import os

import pytest
from containers_engine import eventually

from moby.contracts.containers import Condition, RestartPolicy, Status
from moby.errors import Conflict
from moby.testing.boxes import readable
from moby.testing.containers import close

pytestmark = pytest.mark.slow


@pytest.fixture
def clock(engine, monkeypatch):
    """What the engine reads the time of what is left to do from, in seconds."""
    seconds = [1000.0]
    monkeypatch.setattr(engine.containers._later, "_now", lambda: seconds[0])
    return seconds


def waits(engine, clock, made, restarts):
    """Return how long the container waits, once it has ended so often."""
    later = engine.containers._later

    def found():
        shown = engine.containers.get(made)
        due = [at - clock[0] for at, _, _ in list(later._due) if at > clock[0]]
        return shown.restart_count == restarts and shown.state.status is Status.RESTARTING and due

    (wait,) = eventually(found, f"end {restarts}")
    return wait


def passes(engine, clock, seconds):
    """Have so much time pass at once, and those look at the clock who wait."""
    changed = engine.containers._later._changed
    with changed:
        clock[0] += seconds
        changed.notify_all()


def test_it_waits_longer_each_time_and_never_longer_than_a_minute(engine, clock, monkeypatch):
    made = engine.create("exit 1", restart=RestartPolicy("always"))
    engine.containers.start(made)
    found = []
    for number in range(1, 13):
        found.append(round(waits(engine, clock, made, number), 6))
        passes(engine, clock, found[-1])
    assert found == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 60.0, 60.0]
    waits(engine, clock, made, 13)
    monkeypatch.setattr("moby_containers.engine.ending._LONG_RUN_NS", 0)  # as if it had run for long
    passes(engine, clock, 60)
    assert round(waits(engine, clock, made, 14), 6) == 0.1
    engine.containers.stop(made)
    assert engine.containers.get(made).state.status is Status.EXITED


def test_it_waits_as_long_as_its_policy_says(engine, clock):
    made = engine.create("exit 1", restart=RestartPolicy("always", delay_ns=7 * 10**9))
    engine.containers.start(made)
    for number in range(1, 4):
        assert round(waits(engine, clock, made, number), 6) == 7.0
        passes(engine, clock, 7)
    engine.containers.stop(made)


def test_so_many_attempts_in_a_window(engine):
    """Also after the engine's end; who starts it by hand has it begin anew."""
    policy = RestartPolicy("always", delay_ns=10**6, attempts=2, window_ns=1000 * 10**9)
    made = engine.create("exit 0", restart=policy)

    def over(restarts):
        shown = engine.containers.get(made)
        return (shown.state.status, shown.restart_count) == (Status.EXITED, restarts)

    engine.containers.start(made)
    eventually(lambda: over(2), "it is over")
    engine.restart()
    assert over(2)
    engine.containers.start(made)
    eventually(lambda: over(2) and engine.containers.get(made).state.started, "it is over again")


@pytest.fixture
def ends(engine):
    """End what reads a line once more."""

    def end(made):
        streams = engine.containers.attach(made)
        os.write(streams.stdin, b"\n")
        close(streams)

    return end


def told(waiter):
    assert readable(waiter.fileno())
    found = waiter.result().exit_code
    waiter.close()
    return found


def test_who_waits_is_told_of_each_end(engine, clock, ends):
    """Who comes while it waits for its restart is told of the next one, as it counts as running."""
    made = engine.create("read a; exit 3", open_stdin=True, restart=RestartPolicy("always"))
    engine.containers.start(made)
    running, gone = engine.containers.wait(made), engine.containers.wait(made, Condition.REMOVED)
    ends(made)
    assert told(running) == 3
    waits(engine, clock, made, 1)
    waiting = engine.containers.wait(made)
    assert not readable(waiting.fileno(), 0.1)
    passes(engine, clock, 0.1)
    eventually(lambda: engine.containers.get(made).state.status is Status.RUNNING, "it runs again")
    assert not readable(waiting.fileno(), 0.1)
    ends(made)
    assert told(waiting) == 3
    waits(engine, clock, made, 2)
    called_off = engine.containers.wait(made)
    engine.containers.stop(made)
    assert told(called_off) == 3
    assert not readable(gone.fileno(), 0)
    engine.containers.remove(made)
    assert told(gone) == 3


@pytest.mark.parametrize("signal", ["KILL", "USR1"])
def test_a_kill_calls_its_restart_off(engine, clock, signal):
    """Where the signal is one that is to end it."""
    made = engine.create("exit 3", stop_signal="USR1", restart=RestartPolicy("always"))
    engine.containers.start(made)
    waits(engine, clock, made, 1)
    engine.containers.kill(made, "HUP")
    passes(engine, clock, 0.1)
    waits(engine, clock, made, 2)
    waiting = engine.containers.wait(made)
    engine.containers.kill(made, signal)
    assert told(waiting) == 3
    assert engine.containers.get(made).state.status is Status.EXITED
    passes(engine, clock, 60)
    with pytest.raises(Conflict, match="is not running"):
        engine.containers.kill(made)
    assert engine.containers.get(made).restart_count == 2
    assert engine.actions()[-1] == "die"
