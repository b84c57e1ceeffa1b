"""What is left of a container of --rm goes after who waited for it has been told."""

import os
import threading

import pytest
from containers_engine import Engine, close
from moby_containers.engine.recovery import Recovery

from moby.contracts.containers import Condition, ContainerConfig, RestartPolicy, Status
from moby.errors import Conflict, NotFound, Unavailable
from moby.testing.boxes import readable
from moby.testing.containers import eventually

PATIENCE_S = 60


@pytest.fixture
def engine(tmp_path, rootfs):
    with Engine(tmp_path, rootfs) as opened:
        yield opened


class Held:
    """Keeps the supervisor from deleting tasks until told, or has that fail some times."""

    def __init__(self, engine, monkeypatch, failures=0, error=Unavailable("its control group is still in use")):  # noqa: B008 - a value
        self.asked, self.go = threading.Event(), threading.Event()
        self.failures = failures
        self.tries = 0
        delete = engine.supervisor.delete

        def deletes(task_id, *, force=False):
            self.tries += 1
            self.asked.set()
            if self.tries <= self.failures:
                raise error
            assert self.go.wait(PATIENCE_S)
            return delete(task_id, force=force)

        monkeypatch.setattr(engine.supervisor, "delete", deletes)


def removed(engine, **more):
    """Run one that goes at its end, up to what its waiter is told."""
    made = engine.containers.create(
        ContainerConfig("box", ("sh", "-c", "exit 3"), auto_remove=True, **more), "its-name"
    )
    waiter = engine.containers.wait(made.id, Condition.REMOVED)
    engine.containers.start(made.id)
    assert readable(waiter.fileno())
    ended = waiter.result()
    waiter.close()
    assert (ended.exit_code, ended.error) == (3, "")
    return made.id


def left_of(engine, made):
    folders = [engine.root / each / "containers" / made for each in ("state", "run")]
    return [each for each in folders if each.exists()], made in engine.images.prepared()


def test_who_waits_is_told_before_what_is_left_goes(engine, monkeypatch):
    held = Held(engine, monkeypatch)
    made = removed(engine)
    assert held.asked.wait(PATIENCE_S)
    with pytest.raises(NotFound):
        engine.containers.get(made)
    assert engine.actions()[-2:] == ["die", "destroy"]
    engine.containers.create(ContainerConfig("box", ("true",)), "its-name")
    assert left_of(engine, made)[1]
    held.go.set()
    engine.containers.used_images()
    assert left_of(engine, made) == ([], False)
    assert not [each for each in engine.supervisor.list() if each.id == made]


def test_who_asks_for_used_images_waits_for_what_is_left(engine, monkeypatch):
    held = Held(engine, monkeypatch)
    made = removed(engine)
    found = []
    thread = threading.Thread(target=lambda: found.append((engine.containers.used_images(), left_of(engine, made))))
    thread.start()
    assert held.asked.wait(PATIENCE_S)
    assert found == []
    held.go.set()
    thread.join(PATIENCE_S)
    assert found == [([], ([], False))]


@pytest.mark.parametrize(
    "error", [Unavailable("its control group is still in use"), Conflict("it is being paused")], ids=type
)
def test_what_cannot_go_yet_is_tried_again_and_logged_once(engine, monkeypatch, error):
    held = Held(engine, monkeypatch, failures=2, error=error)
    made = removed(engine)
    engine.containers.used_images()
    assert left_of(engine, made)[1], "who asks doesn't wait for another try"
    held.go.set()
    eventually(lambda: left_of(engine, made) == ([], False), "it goes")
    assert held.tries == 3
    assert len([each for each, _ in engine.log.lines if "what was left to do" in each]) == 1


def test_the_next_engine_removes_what_was_left(engine, monkeypatch):
    with monkeypatch.context() as patched:
        held = Held(engine, patched, failures=100)
        made = removed(engine)
        assert held.asked.wait(PATIENCE_S)
        engine.restart()
        assert engine.containers.list() == ()
    engine.restart()
    assert left_of(engine, made) == ([], False)
    assert engine.supervisor.list() == ()
    assert not os.path.ismount(engine.root / "run/containers" / made / "rootfs")


def test_what_goes_as_an_engine_starts_goes_once(engine, monkeypatch):
    """It is known to nobody while its folders are still there, and is no stranger."""
    made = engine.create("read a", auto_remove=True, open_stdin=True)
    engine.containers.start(made)
    held = Held(engine, monkeypatch)
    settle = Recovery.settle

    def settles(recovery, watch):
        assert held.asked.wait(PATIENCE_S)
        settle(recovery, watch)
        held.go.set()

    def ends():
        ended = engine.supervisor.exit_fd(made)
        engine.supervisor.kill(made, 9)
        assert readable(ended)
        os.close(ended)

    monkeypatch.setattr(Recovery, "settle", settles)
    engine.restart(ends)
    engine.containers.used_images()
    assert left_of(engine, made) == ([], False)
    assert held.tries == 1


def test_nobody_waits_for_what_ends_as_an_engine_does(engine, monkeypatch):
    """Between the end of who clears up and of who is told of ends, one of --rm goes: what is left is the next one's."""
    made = engine.create("read a", auto_remove=True, open_stdin=True)
    engine.containers.start(made)
    service, follower = engine.containers, engine.containers._follower
    close_follower = follower.close

    def closes():
        waiter = service.wait(made, Condition.REMOVED)
        engine.supervisor.kill(made, 9)
        assert readable(waiter.fileno())
        waiter.close()
        close_follower()

    monkeypatch.setattr(follower, "close", closes)
    engine.above.close()
    waits = threading.Thread(target=service.used_images, daemon=True)
    waits.start()
    waits.join(PATIENCE_S)
    assert not waits.is_alive()
    engine._open()
    assert left_of(engine, made) == ([], False)


def untold(engine, monkeypatch, *actions):
    """Have it be impossible to publish some of what happens to containers."""
    publish = engine.events.publish

    def refuses(event):
        if event.type == "container" and event.action in actions:
            raise Unavailable("who tells has ended")
        publish(event)

    monkeypatch.setattr(engine.events, "publish", refuses)


def test_what_has_ended_has_so_though_nobody_can_be_told(engine, monkeypatch):
    untold(engine, monkeypatch, "die", "kill")
    made = engine.create("read a; exit 3", open_stdin=True, restart=RestartPolicy("on-failure", 1))
    engine.containers.start(made)
    waiter = engine.containers.wait(made, Condition.NEXT_EXIT)
    streams = engine.containers.attach(made)
    os.write(streams.stdin, b"\n")
    close(streams)
    assert readable(waiter.fileno())
    assert waiter.result().exit_code == 3
    waiter.close()
    eventually(lambda: engine.containers.get(made).restart_count == 1, "its policy is followed")
    eventually(lambda: engine.containers.get(made).state.status is Status.RUNNING, "it runs again")
    engine.containers.remove(made, force=True)
    assert engine.actions()[-1] == "destroy"
    assert engine.containers.list() == ()


@pytest.mark.parametrize("volumes", [(), ("/data",)])
def test_what_is_gone_is_so_though_nobody_can_be_told(engine, monkeypatch, volumes):
    untold(engine, monkeypatch, "destroy")
    made = removed(engine, volumes=volumes)
    engine.containers.used_images()
    assert left_of(engine, made) == ([], False)
    assert [fields["container"] for each, fields in engine.log.lines if each.startswith("nobody can be told what")] == [
        made
    ]
    engine.restart()
    assert engine.containers.list() == ()


def test_volumes_of_its_own_are_gone_when_it_is_told(engine):
    made = removed(engine, volumes=("/data",))
    assert engine.volumes.list() == ()
    assert left_of(engine, made) == ([], False)


def test_an_end_by_which_it_is_gone_is_one_change_on_disk(engine, monkeypatch):
    shelf, saved = engine.containers._shelf, []
    save, before = shelf.save, shelf.position

    def saves(entry, *, position=0):
        saved.append(entry.status)
        save(entry, position=position)

    monkeypatch.setattr(shelf, "save", saves)
    made = removed(engine)
    assert saved == [Status.CREATED, Status.RUNNING]
    assert shelf.position > before
    eventually(lambda: left_of(engine, made) == ([], False), "what is left goes")
