"""What an engine finds that starts again: containers that ran on, that ended meanwhile, that a death left half-made."""

import os

import pytest
from containers_engine import close
from moby_containers.engine.recovery import Recovery

from moby.contracts.containers import Condition, ContainerConfig, ExecConfig, MountRequest, RestartPolicy, Status
from moby.contracts.supervisor import Health, HealthCheck, HealthStatus
from moby.errors import NotFound
from moby.testing.boxes import read_until, readable
from moby.testing.containers import eventually
from moby.values import evolve

pytestmark = pytest.mark.slow


def started(engine, script="cat", **config):
    made = engine.create(script, open_stdin=True, **config)
    engine.containers.start(made)
    return made


def test_a_running_one_runs_on(engine):
    made = started(engine)
    before = engine.containers.get(made).state
    engine.restart()
    found = engine.containers.get(made)
    assert found.state == before
    streams = engine.containers.attach(made)
    os.write(streams.stdin, b"still\n")
    assert read_until(streams.stdout, "still\n")
    close(streams)
    engine.containers.stop(made, timeout_s=0)
    assert engine.containers.get(made).state.exit_code == 137


def test_one_that_ended_meanwhile(engine):
    made = started(engine, "read a; exit 5")
    engine.restart(lambda: end(engine, made))
    assert engine.containers.get(made).state.status is Status.EXITED
    assert engine.containers.get(made).state.exit_code == 5
    assert "die" in engine.actions()


def end(engine, made):
    """Have a task end, and wait until it has."""
    streams = engine.supervisor.attach(made)
    os.write(streams.stdin, b"\n")
    descriptor = engine.supervisor.exit_fd(made)
    assert readable(descriptor)
    os.close(descriptor)
    close(streams)


def test_one_whose_end_nobody_saw(engine):
    made = started(engine)
    engine.restart(lambda: engine.supervisor.delete(made, force=True) and engine.supervisor.trim_journal(10**6))
    state = engine.containers.get(made).state
    assert state.status is Status.EXITED


def test_names_and_configs_are_kept(engine):
    made = engine.containers.create(
        ContainerConfig("box", ("true",), labels={"a": "b"}, mounts=(MountRequest("tmpfs", "/t", mode=0o700),)), "kept"
    ).id
    before = engine.containers.get("kept")
    engine.restart()
    assert engine.containers.get("kept") == before
    engine.containers.rename("kept", "other")
    engine.restart()
    assert engine.containers.get("other").id == made


def test_a_paused_one_is_paused(engine):
    made = started(engine)
    engine.containers.pause(made)
    engine.restart()
    assert engine.containers.get(made).state.status is Status.PAUSED
    assert engine.containers.get(made).state.health is None
    engine.containers.unpause(made)


def test_an_exec_goes_on(engine):
    made = started(engine)
    exec_id = engine.containers.exec_create(made, ExecConfig(("sh", "-c", "cat; exit 3"), attach_stdin=True))
    streams = engine.containers.exec_start(exec_id)
    engine.restart()
    assert engine.containers.exec_get(exec_id).running
    os.close(streams.stdin)
    eventually(lambda: engine.containers.exec_get(exec_id).exit_code == 3, "the exec ends")


@pytest.mark.parametrize(
    ("policy", "stopped", "again"),
    [("always", True, True), ("unless-stopped", True, False), ("unless-stopped", False, True), ("no", False, False)],
)
def test_policies(engine, policy, stopped, again):
    made = started(engine, "read a", restart=RestartPolicy(policy))
    if stopped:
        engine.containers.stop(made, timeout_s=0)
    first = engine.containers.get(made).state.started
    engine.restart(lambda: None if stopped else end(engine, made))
    if again:
        eventually(lambda: engine.containers.get(made).state.started > first, "it is started again")
    else:
        assert engine.containers.get(made).state.status is Status.EXITED


def test_retries_that_are_used_up_stay_so(engine):
    """Whoever starts: what was counted before counts on, also of one that ran meanwhile."""
    policy = RestartPolicy("on-failure", maximum_retries=1)
    used = engine.create("exit 3", restart=policy)
    engine.containers.start(used)
    running = started(engine, "read a; exit 4", restart=policy)
    end(engine, running)
    eventually(lambda: engine.actions().count("start") == 4, "each is started once more")
    eventually(lambda: engine.containers.get(used).state.status is Status.EXITED, "it is given up")
    before = engine.containers.get(used)
    engine.restart()
    end(engine, running)
    eventually(lambda: engine.containers.get(running).state.status is Status.EXITED, "it is given up too")
    assert engine.containers.get(running).restart_count == 1
    engine.restart()
    last = started(engine)  # after which what there is to start has been
    eventually(lambda: not engine.containers._later._due, "all is done")
    assert engine.containers.get(used) == before
    engine.containers.stop(last, timeout_s=0)


def test_an_engine_for_a_command_starts_nothing(engine):
    """Neither what ended before nor what it sees end; the next one that lasts does, by their policies."""
    policy = RestartPolicy("always")
    over, waiting, running = (
        started(engine, "read a; exit 3", restart=policy),
        started(engine, "exit 4", restart=RestartPolicy("always", delay_ns=10**12)),
        started(engine, "read a; exit 5", restart=policy),
    )
    eventually(lambda: engine.containers.get(waiting).state.status is Status.RESTARTING, "it waits")
    engine.restart(lambda: end(engine, over), lasts=False)
    own = started(engine, "read a; exit 6", restart=policy)
    end(engine, running)
    end(engine, own)
    eventually(lambda: engine.containers.get(own).restart_count == 1, "what it has started itself is started again")
    assert [engine.containers.get(each).state.status for each in (over, waiting)] == [Status.EXITED, Status.RESTARTING]
    eventually(lambda: engine.containers.get(running).state.status is Status.EXITED, "its end is seen")
    eventually(lambda: engine.actions().count("start") == 2, "one was started, and started again")
    assert engine.containers.get(running).state.exit_code == 5
    before = engine.containers.get(waiting).state.started
    engine.restart()
    for each in (over, running):
        eventually(lambda each=each: engine.containers.get(each).state.status is Status.RUNNING, "it runs again")
    eventually(lambda: engine.containers.get(waiting).state.started > before, "it is started again, too")


def test_one_that_was_to_go(engine):
    made = started(engine, "read a", auto_remove=True)
    engine.restart(lambda: end(engine, made))
    eventually(lambda: not engine.containers.list(), "it is removed")
    engine.containers.used_images()
    assert engine.images.prepared() == {}


def test_a_start_that_nobody_was_told_of(engine):
    made = engine.create("cat", open_stdin=True, health=HealthCheck(("CMD-SHELL", ":"), interval_ns=30_000_000))
    entry = engine.containers._shelf.get(made)

    def start():
        engine.containers._starting.prepare(entry)
        engine.supervisor.start(made)

    engine.restart(start)
    assert engine.containers.get(made).state.status is Status.RUNNING
    eventually(lambda: engine.containers.get(made).state.health.status is HealthStatus.HEALTHY, "it is healthy")


def test_one_that_ended_before_anybody_probed_it_is_shown_with_health(engine, monkeypatch):
    made = started(engine, health=HealthCheck(("CMD-SHELL", ":"), interval_ns=10**12))
    state = engine.supervisor.state
    monkeypatch.setattr(engine.supervisor, "state", lambda task_id: evolve(state(task_id), health=Health()))
    assert engine.containers.get(made).state.health.status is HealthStatus.STARTING


def test_a_task_that_never_started(engine):
    made = engine.create("cat", open_stdin=True)
    close(engine.containers.attach(made))
    assert [each.id for each in engine.supervisor.list()] == [made]
    engine.restart()
    assert engine.supervisor.list() == ()
    assert not os.path.ismount(engine.root / "run/containers" / made / "rootfs")
    assert engine.finish(engine.create(":"))[0] == 0


def test_what_is_left_of_a_making_goes(engine):
    stranger = "ab" * 32
    folder = engine.root / "state/containers" / stranger
    folder.mkdir()
    engine.images.prepare(stranger, engine.images.get("box"))
    volume = engine.volumes.create().name
    engine.volumes.hold(volume, stranger)
    engine.restart()
    assert not folder.exists()
    assert engine.images.prepared() == {}
    with pytest.raises(NotFound):
        engine.volumes.get(volume)


def test_a_volume_that_was_just_made_is_already_somebody_s(engine, monkeypatch):
    """A kill at the next moment leaves a volume that the next engine can tell is that of nothing half-made."""
    made = []
    create = engine.volumes.create
    monkeypatch.setattr(
        engine.volumes, "create", lambda *given, **named: made.append(create(*given, **named)) or made[-1]
    )
    container = engine.create(":", volumes=("/a",))
    assert [(each.anonymous, each.users) for each in made] == [(True, (container,))]


def test_a_removal_is_finished(engine):
    made = engine.create(":", volumes=("/a",))
    name = engine.containers.get(made).mounts[0].name
    entry = engine.containers._shelf.get(made)
    entry.set_state(status=Status.REMOVING)
    entry.keep(with_volumes=True)
    engine.containers._shelf.save(entry)
    engine.restart()
    assert engine.containers.list() == ()
    with pytest.raises(NotFound):
        engine.volumes.get(name)


def test_a_removal_that_has_begun_goes_on(engine):
    """One with --rm that ended just now, say: it is on its way already when all are looked at."""
    own = engine.containers
    entry = own._shelf.get(engine.create(":"))
    entry.removing = True
    entry.set_state(status=Status.REMOVING)
    recovery = Recovery(own._parts, own._starting, own._ending, own._execs, own._networking)
    recovery.settle(own._follower)
    assert entry.status is Status.REMOVING
    entry.removing = False
    recovery.settle(own._follower)
    assert own.list() == ()


def test_what_ends_as_the_host_is_given_back_is_not_started_again(engine):
    """But by the next engine; what was just started would hold what is given back."""
    made = started(engine, "read a; exit 5", restart=RestartPolicy("always"))
    waiting = started(engine, "exit 6", restart=RestartPolicy("always", delay_ns=10**12))
    eventually(lambda: engine.containers.get(waiting).state.status is Status.RESTARTING, "it waits")
    engine.containers.reclaim()
    end(engine, made)
    eventually(lambda: engine.containers.get(made).state.status is Status.EXITED, "it has ended for good")
    assert engine.actions().count("start") == 2
    engine.restart()
    eventually(lambda: engine.containers.get(made).state.status is Status.RUNNING, "it runs again")
    engine.containers.remove(made, force=True)
    engine.containers.remove(waiting, force=True)


def test_a_stranger_among_tasks_goes(engine):
    made = started(engine)
    entry = engine.containers._shelf.get(made)
    engine.restart(lambda: engine.metadata.bucket("containers").delete(entry.id))
    assert engine.supervisor.list() == ()
    assert engine.images.prepared() == {}


def test_waiting_over_a_removal_that_fails(engine, monkeypatch):
    made = engine.create(":")
    waiter = engine.containers.wait(made, Condition.REMOVED)
    with monkeypatch.context() as broken:
        broken.setattr(engine.images, "release", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            engine.containers.remove(made)
    assert engine.containers.get(made).state.status is Status.DEAD
    assert "division" in waiter.result().error
    waiter.close()
    engine.restart()
    assert engine.containers.get(made).state.status is Status.DEAD
    engine.containers.remove(made)
    assert engine.containers.list() == ()


def test_one_that_no_signal_ends_is_ended_by_force(engine, monkeypatch):
    monkeypatch.setattr("moby_containers.engine.ending._KILL_PATIENCE_S", 0.2)
    made = started(engine)
    with monkeypatch.context() as deaf:
        deaf.setattr(engine.supervisor, "kill", lambda *_, **__: None)
        engine.containers.remove(made, force=True)
    assert engine.containers.list() == ()
    assert engine.supervisor.list() == ()
