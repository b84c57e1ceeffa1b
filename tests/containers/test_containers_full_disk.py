"""Ends of containers that can't be written down for a time: nobody is told meanwhile, and none is passed over."""

import os

import pytest
from containers_engine import Engine, close

from moby.contracts.containers import Condition, RestartPolicy, Status
from moby.contracts.types import Exit
from moby.errors import Corrupt, HostUnfit, Unavailable
from moby.testing.boxes import readable
from moby.testing.containers import eventually

pytestmark = pytest.mark.slow
FULL = HostUnfit("can't use db: database or disk is full", hint="make room on that disk")


class Refusing:
    """Has a shelf refuse to write what has come to its end, until there is room."""

    def __init__(self, engine, monkeypatch, error):
        self.error, self.refused = error, []
        shelf = engine.containers._shelf
        save = shelf.save

        def refusing(entry, *, position=0):
            if self.error is not None and not entry.alive:
                self.refused.append(entry.id)
                raise self.error
            save(entry, position=position)

        monkeypatch.setattr(shelf, "save", refusing)


@pytest.fixture(params=["local", "foreground"])
def engine(request, tmp_path, rootfs):
    with Engine(tmp_path, rootfs, request.param) as engine:
        yield engine


@pytest.mark.parametrize("error", [FULL, Unavailable("in use by another writer"), OSError(28, "no room")], ids=type)
def test_an_end_waits_until_it_can_be_written(engine, monkeypatch, error):
    made = engine.create("read a; exit 7", open_stdin=True, restart=RestartPolicy("on-failure", 1))
    waiter = engine.containers.wait(made, Condition.NEXT_EXIT)
    engine.containers.start(made)
    disk = Refusing(engine, monkeypatch, error)
    write_line(engine, made)
    eventually(lambda: len(disk.refused) >= 2, "it is tried again")
    assert not readable(waiter.fileno(), 0)
    assert "die" not in engine.actions()
    disk.error = None
    assert readable(waiter.fileno())
    assert waiter.result().exit_code == 7
    waiter.close()
    eventually(lambda: engine.containers.get(made).restart_count == 1, "its policy is followed, once")
    assert engine.actions().count("die") == 1


def test_what_goes_wrong_is_said_once_and_tried_less_and_less_often(engine, monkeypatch):
    made = engine.create("read a; exit 7", open_stdin=True)
    engine.containers.start(made)
    disk = Refusing(engine, monkeypatch, FULL)
    write_line(engine, made)
    eventually(lambda: len(disk.refused) >= 4, "it is tried again")
    told = [(message, fields) for message, fields in engine.log.lines if fields.get("error") == str(FULL)]
    assert len(told) == 1, told
    disk.error = None
    eventually(lambda: engine.containers.get(made).state.status is Status.EXITED, "its end is known")


class Full:
    """Has a shelf strike nothing off, nor write down what is dead, until there is room."""

    def __init__(self, engine, monkeypatch):
        self.tries, self.patched = 0, monkeypatch
        shelf = engine.containers._shelf
        save = shelf.save

        def strikes(entry, *, position=0):
            self.tries += 1
            raise FULL

        def saves(entry, *, position=0):
            if entry.status is Status.DEAD:
                raise FULL
            save(entry, position=position)

        monkeypatch.setattr(shelf, "strike", strikes)
        monkeypatch.setattr(shelf, "save", saves)


def test_what_is_to_be_removed_at_its_end_goes_once_there_is_room(engine, monkeypatch):
    made = engine.create("exit 0", auto_remove=True)
    waiter = engine.containers.wait(made, Condition.REMOVED)
    with monkeypatch.context() as patched:
        disk = Full(engine, patched)
        engine.containers.start(made)
        assert readable(waiter.fileno())
        assert "disk is full" in waiter.result().error
        waiter.close()
        assert engine.containers.get(made).state.status is Status.DEAD
        eventually(lambda: disk.tries >= 3, "it is tried again")
        assert len([each for each, _ in engine.log.lines if "what was left to do" in each]) == 1
    eventually(lambda: not engine.containers.list(), "it is removed")
    assert engine.actions().count("destroy") == 1


def test_what_somebody_else_has_removed_is_not_removed_again(engine, monkeypatch):
    made = engine.create("exit 0", auto_remove=True)
    left: list = []
    with monkeypatch.context() as patched:
        Full(engine, patched)
        patched.setattr(engine.containers._later, "after", lambda seconds, action: left.append(action))
        engine.containers.start(made)
        eventually(lambda: left, "it has ended")
        with pytest.raises(HostUnfit):
            left.pop()()
        assert engine.containers.get(made).state.status is Status.DEAD
    engine.containers.remove(made)
    (again,) = left
    again()
    assert engine.actions().count("destroy") == 1


def test_the_next_engine_removes_what_this_one_could_not(tmp_path, rootfs, monkeypatch):
    with Engine(tmp_path, rootfs) as engine:
        made = engine.create("exit 0", auto_remove=True)

        def strikes(entry, *, position=0):
            raise FULL

        with monkeypatch.context() as patched:
            patched.setattr(engine.containers._shelf, "strike", strikes)
            engine.containers.start(made)
            eventually(lambda: engine.containers.get(made).state.status is Status.DEAD, "it can't be removed")
            engine.restart()
        eventually(lambda: not engine.containers.list(), "it is removed")


def write_line(engine, made):
    streams = engine.containers.attach(made)
    os.write(streams.stdin, b"\n")
    close(streams)


def test_what_has_no_room_at_a_start_comes_after_it(tmp_path, rootfs, monkeypatch):
    with Engine(tmp_path, rootfs) as engine:
        made = engine.create("read a; exit 7", open_stdin=True)
        engine.containers.start(made)
        disk = Refusing(engine, monkeypatch, FULL)
        write_line(engine, made)
        eventually(lambda: disk.refused, "there is no room for its end")
        refused = []

        def full(self, entry, exit, *, position=0):
            refused.append(entry.id)
            raise FULL

        with monkeypatch.context() as patched:
            patched.setattr("moby_containers.engine.ending.Ending.ended", full)
            engine.restart()
            assert engine.containers.get(made).state.status is Status.RUNNING
            seen = len(refused)
            eventually(lambda: len(refused) > seen, "it is tried again")
        eventually(lambda: engine.containers.get(made).state.status is Status.EXITED, "its end is known")
        assert engine.containers.get(made).state.exit_code == 7


def test_an_end_that_can_never_be_dealt_with_stands_in_no_other_s_way(engine, monkeypatch):
    bad, good = (engine.create("read a; exit 7", open_stdin=True) for _ in range(2))
    for each in (bad, good):
        engine.containers.start(each)
    ending = engine.containers._ending
    ended, refused = ending.ended, []

    def ends(entry, exit, *, position=0):
        if entry.id == bad:
            refused.append(entry.id)
            raise Corrupt("what is stored of it can't be read")
        ended(entry, exit, position=position)

    monkeypatch.setattr(ending, "ended", ends)
    write_line(engine, bad)
    eventually(lambda: refused, "it is looked at")
    write_line(engine, good)
    eventually(lambda: engine.containers.get(good).state.status is Status.EXITED, "the other one has ended")
    assert refused == [bad]
    assert any("can't be dealt with" in message for message, _ in engine.log.lines)
    monkeypatch.setattr(ending, "ended", ended)
    engine.supervisor.delete(bad, force=True)
    ended(engine.containers._shelf.get(bad), Exit(7, 1 << 62))
