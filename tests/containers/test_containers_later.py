"""What is done later: in time, whatever was asked for meanwhile, and none of it twice."""

import threading
import time
from math import inf

import pytest
from containers_engine import Lines
from moby_containers.engine.later import Later

from moby.testing.containers import eventually

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


def idle(later, count):
    """Have so many threads, none of which has anything to do."""
    done, may_end = Done(), threading.Event()
    for _ in range(count):
        later.soon(done.act("warm", may_end))
    eventually(lambda: len(later._threads) == count and not later._idle, "all are busy")
    may_end.set()
    done.wait(*["warm"] * count)
    eventually(lambda: later._idle == [inf] * count, "they are idle")


def test_what_is_sooner_comes_first(later):
    done = Done()
    later.after(PATIENCE_S * 200, done.act("never"))
    later.after(PATIENCE_S * 100, done.act("never"))
    later.after(0.1, done.act("first"))
    done.wait("first")
    later.after(0.1, done.act("second"))
    done.wait("first", "second")


def test_what_is_due_waits_for_nobody_else(later):
    """Who was idle takes what is next, though whoever waited for it is busy."""
    idle(later, 2)
    done, may_end = Done(), threading.Event()
    later.after(0.1, done.act("long", may_end))
    later.after(0.2, done.act("short"))
    done.wait("short")
    may_end.set()
    done.wait("short", "long")


def test_what_is_next_waits_for_nobody_who_is_busy_where_more_threads_may_be_had(later):
    idle(later, 1)
    done, may_end = Done(), threading.Event()
    with later._changed:  # so that both are there before anybody wakes
        later.soon(done.act("long", may_end))
        later.soon(done.act("short"))
    done.wait("short")
    may_end.set()
    done.wait("short", "long")


def test_what_is_next_is_done_though_no_more_threads_may_be_had(later, monkeypatch):
    def start(thread):
        raise RuntimeError("can't start new thread")

    idle(later, 1)
    done = Done()
    monkeypatch.setattr(threading.Thread, "start", start)
    with later._changed:
        later.soon(done.act("first"))
        later.soon(done.act("second"))
    done.wait("first", "second")


def test_nobody_is_woken_for_what_comes_after_others(later, monkeypatch):
    idle(later, 2)
    later.after(PATIENCE_S * 100, lambda: None)
    eventually(lambda: min(later._idle) < inf, "one waits for it")
    woken = []
    monkeypatch.setattr(later._changed, "notify", lambda: woken.append(None))
    later.after(PATIENCE_S * 200, lambda: None)
    assert woken == []


def test_nothing_is_begun_once_it_is_closed(later):
    done = Done()
    later.after(PATIENCE_S * 100, done.act("never"))
    later.close()
    later.soon(done.act("never"))
    assert done.names == []
