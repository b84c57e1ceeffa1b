"""What is done later: in time, whatever was asked for meanwhile, and none of it twice."""

import threading
import time

import pytest
from containers_engine import Lines
from moby_containers.engine.later import Later

PATIENCE_S = 60


@pytest.fixture
def later():
    made = Later(Lines(), time.monotonic)
    yield made
    made.close()


class Done:
    """Actions that say that they were done, some of them only once they may end."""

    def __init__(self):
        self.names, self.changed = [], threading.Condition()

    def act(self, name, until=None):
        def action():
            if until is not None:
                assert until.wait(PATIENCE_S)
            with self.changed:
                self.names.append(name)
                self.changed.notify_all()

        return action

    def wait(self, *names):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.names) >= len(names), PATIENCE_S)
            assert self.names == list(names)


def test_what_is_sooner_comes_first(later):
    done = Done()
    later.after(PATIENCE_S * 100, done.act("never"))
    later.after(0.2, done.act("second"))
    later.after(0.1, done.act("first"))
    done.wait("first", "second")


def test_what_is_due_waits_for_nobody_else(later):
    """Who was idle takes what is next, though whoever waited for it is busy."""
    done, may_end = Done(), threading.Event()
    idle = [threading.Event(), threading.Event()]
    for each in idle:  # two threads, which then have nothing to do
        later.soon(done.act("warm", each))
    for each in idle:
        each.set()
    done.wait("warm", "warm")
    later.after(0.1, done.act("long", may_end))
    later.after(0.2, done.act("short"))
    done.wait("warm", "warm", "short")
    may_end.set()
    done.wait("warm", "warm", "short", "long")


def test_nobody_is_woken_for_what_comes_after_others(later, monkeypatch):
    done = Done()
    later.soon(done.act("warm"))
    done.wait("warm")
    later.after(PATIENCE_S * 100, done.act("never"))
    woken = []
    monkeypatch.setattr(later._changed, "notify", lambda: woken.append(None))
    later.after(PATIENCE_S * 200, done.act("never"))
    assert woken == []


def test_nothing_is_begun_once_it_is_closed(later):
    done = Done()
    later.after(0.2, done.act("never"))
    later.close()
    later.soon(done.act("never"))
    assert done.names == []
