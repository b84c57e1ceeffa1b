"""What goes wrong: engines that are killed, containers that die, hang or are removed, clocks that jump, full disks."""

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from random import Random

import pytest
from attrs import evolve
from swarm_engine import Engine
from swarm_process import Process

from moby.contracts.containers import ContainerConfig, Status
from moby.contracts.orchestrator import (
    ClusterSpec,
    FailureAction,
    PublishedPort,
    Restart,
    SecretSpec,
    ServiceSpec,
    TaskState,
    UpdatePolicy,
    UpdateState,
)  # fmt: skip
from moby.contracts.supervisor import HealthCheck
from moby.errors import HostUnfit
from moby.host import mounts
from moby.testing.orchestrator import eventually

pytestmark = [pytest.mark.slow]
SECOND = 10**9
ROUNDS = int(os.environ.get("MOBY_FAULT_ROUNDS", "6"))
FOREVER = "while :; do sleep 1000; done"


def spec(name, script=FOREVER, replicas=1, config=None, **more):
    container = ContainerConfig("box", command=("sh", "-c", script), stop_signal="SIGKILL", **(config or {}))
    more.setdefault("restart", Restart(delay_ns=SECOND // 20))
    return ServiceSpec(name, container, replicas=replicas, **more)


def running(engine, name):
    return [each for each in engine.orchestrator.tasks(name) if each.status.state is TaskState.RUNNING]


def runs(engine, name, replicas):
    found = running(engine, name)
    present = engine.orchestrator.service(name).template
    return len(found) == replicas and all(each.template == present for each in found) and found


def replaced(engine, task, replicas):
    """Wait until as many as are wanted run, and not this one."""

    def look():
        return task.id not in [each.id for each in running(engine, "web")] and runs(engine, "web", replicas)

    eventually(look, "another one has taken its place")


def update_state(engine, name):
    update = engine.orchestrator.service(name).update
    return update and update.state


@pytest.fixture(autouse=True)
def nothing_left(engine):
    """After each test nothing of services is left on the machine."""
    yield
    for each in engine.orchestrator.services():
        engine.orchestrator.remove(each.id)
    eventually(lambda: not engine.containers.list() and not engine.orchestrator.tasks(), "all containers go")
    eventually(lambda: all(not each.containers for each in engine.networks.list()), "all sandboxes go")


def check_sound(engine, name, replicas):
    """No task twice, none lost: as many slots as are wanted have one container that runs, and none that nobody knows.

    Who scales down keeps the slots whose tasks are best off, whatever their numbers.
    """
    tasks = {each.status.container_id: each for each in engine.orchestrator.tasks() if each.status.container_id}
    alive = [each for each in engine.containers.list() if each.state.status is Status.RUNNING]
    assert {each.id for each in alive} <= tasks.keys()
    slots = Counter(tasks[each.id].slot for each in alive if tasks[each.id].spec.name == name)
    assert sorted(slots.values()) == [1] * replicas, slots


def test_a_task_dies(engine):
    engine.orchestrator.create(spec("web", replicas=2))
    [first, _] = eventually(lambda: runs(engine, "web", 2), "two run")
    engine.containers.kill(first.status.container_id)
    replaced(engine, first, 2)
    old = engine.orchestrator.task(first.id)
    assert (old.status.state, old.status.exit_code, old.status.error) == (
        TaskState.FAILED, 137, "task: non-zero exit (137)",
    )  # fmt: skip
    check_sound(engine, "web", 2)


def test_a_container_is_removed_by_hand(engine):
    engine.orchestrator.create(spec("web", replicas=2))
    [first, _] = eventually(lambda: runs(engine, "web", 2), "two run")
    engine.containers.remove(first.status.container_id, force=True)
    replaced(engine, first, 2)
    check_sound(engine, "web", 2)


def test_a_container_is_started_by_hand_again(engine):
    """What has ended isn't its task any more, and is stopped."""
    engine.orchestrator.create(spec("web"))
    [first] = eventually(lambda: runs(engine, "web", 1), "it runs")
    container = first.status.container_id
    engine.containers.kill(container)
    eventually(lambda: engine.orchestrator.task(first.id).status.state is TaskState.FAILED, "it has ended")
    engine.containers.start(container)
    eventually(lambda: engine.containers.get(container).state.status is Status.EXITED, "it is stopped")
    eventually(lambda: runs(engine, "web", 1), "another one runs")
    check_sound(engine, "web", 1)


def test_what_happens_while_nobody_looks(engine):
    """A task that died while the engine was away has failed, and says how; the others go on."""
    engine.orchestrator.create(spec("web", replicas=3))
    [first, *others] = eventually(lambda: runs(engine, "web", 3), "three run")
    engine.restart(lambda: os.kill(first.status.pid, signal.SIGKILL))
    replaced(engine, first, 3)
    assert engine.orchestrator.task(first.id).status.exit_code == 137
    assert {each.id for each in others} < {each.id for each in running(engine, "web")}
    check_sound(engine, "web", 3)


HEALTH = HealthCheck(("CMD-SHELL", "test ! -e /sick"), interval_ns=SECOND // 10, timeout_ns=5 * SECOND, retries=2)


def test_a_task_hangs(engine):
    """It isn't well any more, and is replaced."""
    engine.orchestrator.create(spec("web", config={"health": HEALTH}))
    eventually(lambda: [each.status.health.value for each in running(engine, "web")] == ["healthy"], "it is well")
    [first] = running(engine, "web")
    from moby.contracts.containers import ExecConfig

    execution = engine.containers.exec_create(first.status.container_id, ExecConfig(("touch", "/sick")))
    engine.containers.exec_start(execution, detach=True)
    eventually(lambda: engine.orchestrator.task(first.id).status.state is TaskState.FAILED, "it has failed")
    assert engine.orchestrator.task(first.id).status.error == "task: unhealthy container"
    eventually(lambda: runs(engine, "web", 1), "another one runs")
    check_sound(engine, "web", 1)


def test_a_task_that_somebody_pauses_is_not_one_that_hangs(engine):
    """Though its container is shown as unhealthy meanwhile, and until it is probed again."""
    engine.orchestrator.create(spec("web", config={"health": HEALTH}))
    eventually(lambda: [each.status.health.value for each in running(engine, "web")] == ["healthy"], "it is well")
    [first] = running(engine, "web")
    container = first.status.container_id
    engine.containers.pause(container)
    engine.restart()  # since when all containers are looked at
    assert engine.containers.get(container).state.health.status == "unhealthy"
    assert [each.status.health.value for each in running(engine, "web")] == ["healthy"]
    engine.containers.unpause(container)
    eventually(lambda: engine.containers.get(container).state.health.status == "healthy", "it is well again")
    assert [each.id for each in running(engine, "web")] == [first.id]
    assert [each.id for each in engine.orchestrator.tasks("web")] == [first.id]


@pytest.mark.parametrize("action", [FailureAction.PAUSE, FailureAction.ROLLBACK])
def test_health_never_passes(engine, action):
    """The update pauses or goes back, as told; those that work stay."""
    never = HealthCheck(("CMD", "cat", "/none"), interval_ns=SECOND // 10, timeout_ns=5 * SECOND, retries=2)
    made = engine.orchestrator.create(spec("web", replicas=2))
    eventually(lambda: runs(engine, "web", 2), "two run")
    policy = UpdatePolicy(monitor_ns=20 * SECOND, failure_action=action)
    bad = evolve(made.spec, container=evolve(made.spec.container, health=never), update=policy)
    engine.orchestrator.update("web", bad)
    wanted = {
        FailureAction.PAUSE: UpdateState.PAUSED,
        FailureAction.ROLLBACK: UpdateState.ROLLBACK_COMPLETED,
    }[action]
    eventually(lambda: update_state(engine, "web") is wanted, f"it is {wanted}")
    old = [each for each in running(engine, "web") if each.template == made.template]
    assert len(old) == (2 if action is FailureAction.ROLLBACK else 1)


def test_a_container_with_a_task_s_labels_is_nobody_s_but_who_made_it(engine):
    """Whoever copies a task's container copies its labels; neither a start nor the service's end takes the copy."""
    engine.orchestrator.create(spec("web"))
    [task] = eventually(lambda: runs(engine, "web", 1), "its task runs")
    made = engine.containers.get(task.status.container_id)
    assert made.config.task == task.id
    of_none = {**made.config.labels, "com.docker.swarm.task.id": "none"}
    copies = [
        engine.containers.create(ContainerConfig("box", command=made.config.command, network="none", labels=labels)).id
        for labels in (made.config.labels, of_none)
    ]
    for each in copies:
        engine.containers.start(each)
    engine.restart()
    engine.orchestrator.remove("web")
    eventually(lambda: made.id not in {each.id for each in engine.containers.list()}, "its own is gone")
    assert [engine.containers.get(each).state.status for each in copies] == [Status.RUNNING] * 2
    for each in copies:
        engine.containers.remove(each, force=True)


def test_killed_in_the_middle_of_an_update(tmp_path, rootfs, swarm_plan):
    """It goes on afterwards: no task twice, none lost, and never fewer at work than promised."""
    process = Process(tmp_path / "engine", rootfs, swarm_plan)
    try:
        process.ask("orchestrator.cluster().create(ClusterSpec())")
        made = spec("web", replicas=4, update=UpdatePolicy(delay_ns=SECOND // 2, monitor_ns=SECOND // 5))
        process.ask(f"orchestrator.create({source(made)})")
        eventually(lambda: process.ask(_COUNT) == "4", "four run")
        process.ask("orchestrator.update('web', evolve(orchestrator.service('web').spec, force=1))")
        eventually(lambda: 0 < int(process.ask(_RENEWED)) < 4, "it is half-way")
    finally:
        process.kill()
    least = Least()
    with Engine(tmp_path / "engine", rootfs, swarm_plan) as engine, least.watching(engine, "web"):
        eventually(lambda: runs(engine, "web", 4), "all are new")
        eventually(lambda: update_state(engine, "web") is UpdateState.COMPLETED, "the update is done")
        check_sound(engine, "web", 4)
    assert least.seen >= 3


_COUNT = "sum(each.status.state is TaskState.RUNNING for each in orchestrator.tasks('web'))"
_RENEWED = (
    "sum(each.status.state is TaskState.RUNNING and each.template == orchestrator.service('web').template"
    " for each in orchestrator.tasks('web'))"
)


@pytest.mark.long
def test_killed_again_and_again(tmp_path, rootfs, swarm_plan):
    """At any moment of anything: what was answered for is so in the end, and nothing besides."""
    random = Random(7)
    root, replicas, force = tmp_path / "engine", 3, 0
    made = spec("web", replicas=replicas, ports=(PublishedPort(80, 8083),))
    for number in range(ROUNDS):
        process = Process(root, rootfs, swarm_plan)
        try:
            if not number:
                process.ask("orchestrator.cluster().create(ClusterSpec())")
                process.ask(f"orchestrator.create({source(made)})")
            for _ in range(random.randrange(1, 4)):
                if random.random() < 0.5:
                    replicas = random.randrange(8)
                    process.ask(f"orchestrator.scale('web', {replicas})")
                else:
                    force += 1
                    process.ask(f"orchestrator.update('web', evolve(orchestrator.service('web').spec, force={force}))")
                threading.Event().wait(random.random())
        finally:
            process.kill()
    with Engine(root, rootfs, swarm_plan) as engine:
        found = engine.orchestrator.service("web").spec
        assert (found.replicas, found.force) == (replicas, force)
        eventually(lambda: replicas == 0 or runs(engine, "web", replicas), "as many as are wanted run, all new")
        eventually(lambda: alive(engine) == replicas, "and no others")
        check_sound(engine, "web", replicas)
        engine.orchestrator.remove("web")
        eventually(lambda: not engine.containers.list() and not engine.orchestrator.tasks(), "all of it goes")
        eventually(lambda: all(not each.containers for each in engine.networks.list()), "sandboxes too")


def alive(engine):
    return sum(each.state.status is Status.RUNNING for each in engine.containers.list())


def source(made):
    """Return a service's spec as an expression."""
    text = repr(made)
    for name in ("UpdatePolicy", "Restart", "Placement", "Reservations"):
        assert f"{name}(" in text
    import re

    return re.sub(r"<(\w+)\.(\w+): [^>]*>", r"\1.\2", text)


class Least:
    """How few containers have been running at any moment, by the engine's own list."""

    def __init__(self):
        self.seen = 10**6

    def watching(self, engine, name):
        least, stop = self, threading.Event()

        class Watching:
            def __enter__(self):
                def look():
                    while not stop.wait(0.02):
                        alive = [
                            each
                            for each in engine.containers.list()
                            if each.state.status is Status.RUNNING and each.name.startswith(f"{name}.")
                        ]
                        least.seen = min(least.seen, len(alive))

                self.thread = threading.Thread(target=look)
                self.thread.start()

            def __exit__(self, *error):
                stop.set()
                self.thread.join()

        return Watching()


@pytest.mark.long
@pytest.mark.parametrize("moment", ["creating", "scaling down"])
def test_killed_at_work(tmp_path, rootfs, swarm_plan, moment):
    """In the middle of starting, and of ending, many."""
    process = Process(tmp_path / "engine", rootfs, swarm_plan)
    replicas = 12 if moment == "creating" else 3
    try:
        process.ask("orchestrator.cluster().create(ClusterSpec())")
        many = spec("web", replicas=12, ports=(PublishedPort(80, 8082),))
        process.ask(f"orchestrator.create({source(many)})")
        if moment == "creating":
            eventually(lambda: int(process.ask(_COUNT)) >= 2, "some run")
        else:
            eventually(lambda: process.ask(_COUNT) == "12", "all run")
            process.ask("orchestrator.scale('web', 3)")
    finally:
        process.kill()
    with Engine(tmp_path / "engine", rootfs, swarm_plan) as engine:
        eventually(lambda: runs(engine, "web", replicas), "as many as are wanted run")
        eventually(lambda: len(engine.containers.list()) == replicas, "and nothing else is there")
        check_sound(engine, "web", replicas)


class Shifted:
    """A clock that can be set."""

    def __init__(self):
        self.by_ns = 0

    def now_ns(self):
        return time.time_ns() + self.by_ns

    def monotonic_ns(self):
        return time.monotonic_ns()


DAY = 86_400 * SECOND


@pytest.mark.parametrize("by_ns", [-DAY, DAY])
def test_a_clock_jumps(tmp_path, rootfs, swarm_plan, by_ns):
    """In the middle of an update, which goes on; what dies afterwards is followed."""
    clock = Shifted()
    with Engine(tmp_path / "engine", rootfs, swarm_plan, clock=clock) as engine:
        engine.orchestrator.cluster().create(ClusterSpec())
        policy = UpdatePolicy(delay_ns=SECOND // 2, monitor_ns=SECOND)
        engine.orchestrator.create(spec("web", replicas=3, update=policy, restart=Restart(delay_ns=SECOND)))
        eventually(lambda: runs(engine, "web", 3), "three run")
        least = Least()
        with least.watching(engine, "web"):
            engine.orchestrator.update("web", evolve(engine.orchestrator.service("web").spec, force=1))
            new = engine.orchestrator.service("web").template
            eventually(lambda: [each for each in running(engine, "web") if each.template == new], "one is new")
            clock.by_ns = by_ns
            eventually(lambda: update_state(engine, "web") is UpdateState.COMPLETED, "the update is done")
        assert least.seen >= 2
        [first, *_] = runs(engine, "web", 3)
        engine.containers.kill(first.status.container_id)
        eventually(
            lambda: first.id not in [each.id for each in running(engine, "web")] and runs(engine, "web", 3),
            "three again",
        )
        check_sound(engine, "web", 3)


@pytest.mark.long
def test_a_full_disk(tmp_path, rootfs, swarm_plan):
    """Nothing can be written; once there is room again, all is as it was wanted, also what was asked for before."""
    root = tmp_path / "engine"
    root.mkdir()
    mounts.mount("none", str(root), "tmpfs", 0, "size=96m")
    with Engine(root, rootfs, swarm_plan) as engine:
        engine.orchestrator.cluster().create(ClusterSpec())
        engine.orchestrator.create(spec("web", replicas=2))
        [first, _] = eventually(lambda: runs(engine, "web", 2), "two run")
        filler = root / "filler"
        fill(filler)
        try:
            os.kill(first.status.pid, signal.SIGKILL)
            with pytest.raises(HostUnfit):
                for number in range(1000):
                    engine.orchestrator.create_secret(SecretSpec(f"s{number}", b"x" * 10000))
        finally:
            filler.unlink()
        replaced(engine, first, 2)
        check_sound(engine, "web", 2)
        eventually(lambda: len(engine.containers.list()) <= 2 + 5, "no more than the history is kept")


def fill(file):
    with file.open("wb", buffering=0) as out, contextlib.suppress(OSError):
        for size in (1 << 20, 1 << 12):
            with contextlib.suppress(OSError):
                while True:
                    out.write(b"\0" * size)
