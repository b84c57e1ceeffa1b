"""The conformance suite of the kind `orchestrator`: services and their tasks."""

from functools import partial
from itertools import pairwise

import pytest

from moby.contracts.networks import EndpointConfig
from moby.contracts.orchestrator import (
    Mode,
    OrchestratorFeature,
    Placement,
    PublishedPort,
    Reason,
    Restart,
    RestartCondition,
    TaskState,
)
from moby.contracts.supervisor import HealthCheck, HealthStatus
from moby.errors import Conflict, Invalid, NotFound, Unsupported
from moby.testing.orchestrator_world import SECOND_NS, OrchestratorFixtures, World, eventually
from moby.values import evolve

__all__ = ["Services"]

_ENDED = (TaskState.COMPLETE, TaskState.FAILED, TaskState.REJECTED)
_NEVER = Restart(RestartCondition.NONE)


class Services(OrchestratorFixtures):
    """Creating services, changing how many tasks they have, ending them."""

    def test_create(self, world: World) -> None:
        """Its tasks come to run, one in each slot, and it is found by name, by id, and by a beginning of that."""
        spec = self.spec(world, "web", replicas=2, config={"labels": {"a": "b"}}, labels={"of": "it"})
        made = world.orchestrator.create(spec)
        assert (made.spec.name, made.spec.replicas, made.spec.labels["of"]) == ("web", 2, "it")
        tasks = self.running(world, "web", 2)
        assert [each.slot for each in tasks] == [1, 2]
        assert {each.service_id for each in tasks} == {made.id}
        for name in ("web", made.id, made.id[:12]):
            assert world.orchestrator.service(name).id == made.id
        for task in tasks:
            container = self.container(world, task)
            assert (container.config.labels["a"], container.state.pid) == ("b", task.status.pid)
            assert task.status.started_ns > 0

    def test_list(self, world: World) -> None:
        """All services, sorted by name; of no application they are in none."""
        for name in ("web", "api"):
            world.orchestrator.create(self.spec(world, name, replicas=0))
        assert [each.spec.name for each in world.orchestrator.services()] == ["api", "web"]
        assert world.orchestrator.services("shop") == ()
        assert world.orchestrator.applications() == ()

    def test_unknown_names(self, world: World) -> None:
        """NotFound, in docker's words."""
        orchestrator = world.orchestrator
        for call in (orchestrator.service, orchestrator.remove):
            self.refused(NotFound, "service nobody not found", call, "nobody")
        self.refused(NotFound, "service nobody not found", orchestrator.scale, "nobody", 2)
        spec = self.spec(world, "nobody")
        self.refused(NotFound, "service nobody not found", orchestrator.update, "nobody", spec)
        self.refused(NotFound, "task nobody.1 not found", orchestrator.task, "nobody.1")
        self.refused(NotFound, "node nobody not found", orchestrator.node, "nobody")
        self.refused(NotFound, "nobody", self.said, world, "nobody")

    def test_taken_name(self, world: World) -> None:
        """Conflict, and nothing of the first one changes."""
        made = world.orchestrator.create(self.spec(world, "web", replicas=0))
        self.refused(Conflict, "web", world.orchestrator.create, self.spec(world, "web", replicas=3))
        assert world.orchestrator.service("web") == made

    def test_taken_name_beside_one_that_goes(self, world: World) -> None:
        """Conflict too, though one that was removed had the name before, and hasn't ended yet."""
        ends_late = {"stop_signal": "SIGTERM", "stop_timeout_s": 1}
        self.begin(world, "web", config=ends_late)
        world.orchestrator.remove("web")
        made = world.orchestrator.create(self.spec(world, "web", replicas=0))
        self.refused(Conflict, "web", world.orchestrator.create, self.spec(world, "web", replicas=3))
        assert world.orchestrator.service("web") == made

    @pytest.mark.parametrize("name", ["", "a b", "-a", "a/b", "ä"])
    def test_no_name(self, world: World, name: str) -> None:
        """Invalid."""
        self.refused(Invalid, "name", world.orchestrator.create, self.spec(world, name))
        assert world.orchestrator.services() == ()

    def test_what_can_t_be(self, world: World) -> None:
        """Invalid, and nothing is made."""
        orchestrator = world.orchestrator
        self.refused(Invalid, "replicas", orchestrator.create, self.spec(world, "web", replicas=-1))
        bad = Placement(constraints=("node.role is worker",))
        self.refused(Invalid, "node.role is worker", orchestrator.create, self.spec(world, "web", placement=bad))
        empty = self.spec(world, "web")
        empty = evolve(empty, container=evolve(empty.container, image=""))
        self.refused(Invalid, "image", orchestrator.create, empty)
        assert orchestrator.services() == ()

    def test_no_such_network(self, world: World) -> None:
        """NotFound, and the name stays free."""
        spec = self.spec(world, "web", networks={"nonesuch": EndpointConfig()})
        self.refused(NotFound, "network nonesuch not found", world.orchestrator.create, spec)
        self.begin(world, "web")

    def test_no_such_image(self, world: World) -> None:
        """A task that is rejected, and says why; other services don't mind."""
        spec = self.spec(world, "lost")
        world.orchestrator.create(evolve(spec, container=evolve(spec.container, image="localhost/absent:1")))
        self.begin(world, "web")
        task = self.ended(world, "lost", TaskState.REJECTED)
        assert "absent" in task.status.error
        assert world.orchestrator.service("lost").spec.replicas == 1

    def test_scale(self, world: World) -> None:
        """More and fewer, to none and back; those that stay are left alone."""
        self.begin(world, "web")
        [first] = self.running(world, "web", 1)
        assert world.orchestrator.scale("web", 3).spec.replicas == 3
        more = self.running(world, "web", 3)
        assert [each.slot for each in more] == [1, 2, 3]
        assert more[0].status.container_id == first.status.container_id
        world.orchestrator.scale("web", 1)
        [left] = self.running(world, "web", 1)
        assert left.id in {each.id for each in more}
        eventually(lambda: len(self.alive(world, "web")) == 1, "the others end")
        world.orchestrator.scale("web", 0)
        eventually(lambda: not self.alive(world, "web"), "all end")
        assert world.orchestrator.service("web").spec.replicas == 0
        world.orchestrator.scale("web", 1)
        self.running(world, "web", 1)
        self.refused(Invalid, "", world.orchestrator.scale, "web", -1)

    def alive(self, world: World, name: str) -> list[str]:
        """Return ids of a service's containers that run."""
        return [each.id for each in self.of(world, name) if each.state.pid]

    def test_remove(self, world: World) -> None:
        """It is not found any more, its name is free at once, and its containers go."""
        made = self.begin(world, "web")
        [task] = self.running(world, "web", 1)
        world.orchestrator.remove("web")
        again = world.orchestrator.create(self.spec(world, "web"))
        assert again.id != made.id
        self.refused(NotFound, "not found", world.orchestrator.service, made.id)
        eventually(lambda: self.gone(world, task.status.container_id), "its container goes")
        [other] = self.running(world, "web", 1)
        assert other.id != task.id

    def gone(self, world: World, container: str) -> bool:
        """Whether a container isn't there any more, or has ended for good."""
        try:
            return not world.containers.get(container).state.pid
        except NotFound:
            return True

    def test_a_task_that_dies(self, world: World) -> None:
        """Is followed by another one in its slot; the other tasks are left alone."""
        self.begin(world, "web", replicas=2)
        dead, other = self.running(world, "web", 2)
        self.kill(dead)

        def followed() -> bool:
            tasks = [each for each in world.orchestrator.tasks("web") if each.slot == dead.slot]
            return any(
                each.status.state is TaskState.RUNNING
                and each.attempt > dead.attempt
                and each.status.pid != dead.status.pid
                for each in tasks
            )

        eventually(followed, "another task follows")
        assert world.orchestrator.task(f"web.{other.slot}").id == other.id
        self.running(world, "web", 2)

    @pytest.mark.parametrize(
        ("condition", "code", "state"),
        [
            (RestartCondition.NONE, 0, TaskState.COMPLETE),
            (RestartCondition.NONE, 3, TaskState.FAILED),
            (RestartCondition.ON_FAILURE, 0, TaskState.COMPLETE),
        ],
    )
    def test_an_end_that_is_the_end(self, world: World, condition: RestartCondition, code: int, state: str) -> None:
        """By its restart condition no task follows; how it ended is known."""
        spec = self.spec(world, "once", f"exit {code}", restart=Restart(condition, delay_ns=SECOND_NS // 20))
        world.orchestrator.create(spec)
        task = self.ended(world, "once", *_ENDED)
        assert (task.status.state, task.status.exit_code) == (state, code)
        assert [each.id for each in world.orchestrator.tasks("once")] == [task.id]

    def test_so_many_attempts(self, world: World) -> None:
        """And no more."""
        policy = Restart(RestartCondition.ON_FAILURE, SECOND_NS // 20, max_attempts=2)
        world.orchestrator.create(self.spec(world, "bad", "exit 4", restart=policy))
        task = eventually(
            lambda: next((each for each in world.orchestrator.tasks("bad") if each.attempt == 3), None),
            "three attempts",
        )
        eventually(lambda: world.orchestrator.task(task.id).status.state is TaskState.FAILED, "it fails for good")
        assert max(each.attempt for each in world.orchestrator.tasks("bad")) == 3

    def test_as_late_as_is_told(self, world: World) -> None:
        """However soon a task has ended, the next one begins so long after that."""
        policy = Restart(RestartCondition.ON_FAILURE, SECOND_NS)
        script = "read up idle </proc/uptime; echo $up; exit 4"
        world.orchestrator.create(self.spec(world, "bad", script, restart=policy))
        said = eventually(
            lambda: (found := self.said(world, "bad").split()) and len(found) > 2 and found, "three attempts"
        )
        moments = sorted(map(float, said))
        assert min(after - before for before, after in pairwise(moments)) >= 0.98  # two figures after the point

    @pytest.mark.parametrize("condition", [RestartCondition.ANY, RestartCondition.ON_FAILURE])
    def test_attempts_of_long_ago(self, world: World, condition: RestartCondition) -> None:
        """Don't count; those in the window do."""
        script = "exit 4" if condition is RestartCondition.ON_FAILURE else "exit 0"
        late = Restart(condition, SECOND_NS // 2, max_attempts=1, window_ns=SECOND_NS // 4)
        world.orchestrator.create(self.spec(world, "bad", script, restart=late))
        soon = Restart(condition, SECOND_NS // 20, max_attempts=1, window_ns=1000 * SECOND_NS)
        world.orchestrator.create(self.spec(world, "worse", script, restart=soon))
        eventually(lambda: self.attempts(world, "worse") == 2, "two attempts")
        eventually(lambda: self.attempts(world, "bad") > 2, "three attempts")
        assert self.attempts(world, "worse") == 2

    def attempts(self, world: World, name: str) -> int:
        """Return how many attempts of a service's tasks there were."""
        return max((each.attempt for each in world.orchestrator.tasks(name)), default=0)

    def test_a_container_removed_by_hand(self, world: World) -> None:
        """Is followed by another one."""
        self.offers(world, OrchestratorFeature.REPLACING)
        self.begin(world, "web")
        [task] = self.running(world, "web", 1)
        world.containers.remove(task.status.container_id, force=True)
        eventually(
            lambda: [each for each in self.running(world, "web", 1) if each.id != task.id], "another task is there"
        )

    def test_finding_tasks(self, world: World) -> None:
        """By id and by slot; of a service, of a node; all of them by service and slot."""
        self.begin(world, "web", replicas=2)
        self.begin(world, "api")
        first, second = self.running(world, "web", 2)
        orchestrator = world.orchestrator
        assert [orchestrator.task(each).id for each in (first.id, "web.1", "web.2")] == [first.id, first.id, second.id]
        [other] = orchestrator.tasks("api")
        node = orchestrator.node("self")
        assert {each.node_id for each in (first, second, other)} == {node.id}
        assert {first.id, second.id, other.id} <= {each.id for each in orchestrator.tasks(node=node.id)}
        assert {each.id for each in orchestrator.tasks("web", "self")} == {first.id, second.id}
        names = [(each.spec.name, each.slot) for each in orchestrator.tasks()]
        assert names == [("api", 1), ("web", 1), ("web", 2)]

    def test_health(self, world: World) -> None:
        """As its container's."""
        health = HealthCheck(("CMD-SHELL", "cat /ready"), SECOND_NS // 10, SECOND_NS * 5, 100, 0, SECOND_NS // 10)
        script = "while [ ! -e /go ]; do sleep 0.05; done; echo y >/ready; while :; do sleep 1000; done"
        world.orchestrator.create(self.spec(world, "web", script, config={"health": health}))

        def is_(status: HealthStatus) -> str:
            tasks = [each for each in world.orchestrator.tasks("web") if each.status.health is status]
            return tasks[0].status.container_id if tasks else ""

        container = eventually(lambda: is_(HealthStatus.STARTING), "it has a health")
        self.touch(world, container)
        eventually(lambda: is_(HealthStatus.HEALTHY), "it is healthy")
        self.running(world, "web", 1)

    def touch(self, world: World, container: str) -> None:
        """Make the file `/go` in a container."""
        from moby.testing.containers_world import archive

        world.containers.write_path(container, "/", archive(("go", b"")))

    def test_placeholders(self, world: World) -> None:
        """Of docker's templates, in the environment and the hostname."""
        config = {
            "environment": ("WHO={{.Service.Name}}.{{.Task.Slot}}", "ON={{.Node.Hostname}}"),
            "hostname": "host-{{.Task.Slot}}",
        }
        self.begin(world, "web", "echo $WHO on $ON; while :; do sleep 1000; done", replicas=2, config=config)
        node = world.orchestrator.node("self")
        for number in (1, 2):
            task = world.orchestrator.task(f"web.{number}")
            assert self.container(world, task).config.hostname == f"host-{number}"
            words = f"web.{number} on {node.description.hostname}\n"
            eventually(partial(self.says, world, task.id, words), f"task {number} says who it is")

    def test_constraints(self, world: World) -> None:
        """A task that no node can have is pending, says why, and runs once that changes."""
        node = world.orchestrator.node("self")
        nowhere = Placement(constraints=(f"node.hostname != {node.description.hostname}",))
        world.orchestrator.create(self.spec(world, "web", placement=nowhere))
        task = eventually(
            lambda: next((each for each in world.orchestrator.tasks("web") if each.problems), None), "it says why"
        )
        assert (task.status.state, task.problems[0].reason) == (TaskState.PENDING, Reason.CONSTRAINTS)
        here = Placement(constraints=(f"node.hostname == {node.description.hostname}",))
        world.orchestrator.update("web", self.spec(world, "web", placement=here))
        self.running(world, "web", 1)

    def test_published_ports(self, world: World) -> None:
        """A port that another service has is Conflict; Invalid where it is none."""
        published = self.spec(world, "web", replicas=0, ports=(PublishedPort(80, 18080),))
        world.orchestrator.create(published)
        self.refused(Conflict, "18080", world.orchestrator.create, evolve(published, name="api"))
        bad = evolve(published, name="api", ports=(PublishedPort(0, 70000),))
        self.refused(Invalid, "port", world.orchestrator.create, bad)

    @pytest.mark.parametrize("mode", [Mode.GLOBAL, Mode.GLOBAL_JOB, Mode.REPLICATED_JOB])
    def test_modes_that_are_lacking(self, world: World, mode: Mode) -> None:
        """Are refused by name."""
        self.lacks(world, OrchestratorFeature.GLOBAL if mode is Mode.GLOBAL else OrchestratorFeature.JOBS)
        self.refused(Unsupported, mode, world.orchestrator.create, self.spec(world, "web", mode=mode))

    def test_global(self, world: World) -> None:
        """One task on this node, which can't be scaled."""
        self.offers(world, OrchestratorFeature.GLOBAL)
        self.begin(world, "agent", mode=Mode.GLOBAL)
        [task] = self.running(world, "agent", 1)
        assert (task.slot, task.node_id) == (0, world.orchestrator.node("self").id)
        self.refused(Invalid, "", world.orchestrator.scale, "agent", 2)

    def test_job(self, world: World) -> None:
        """So many tasks that end well, and then no more."""
        self.offers(world, OrchestratorFeature.JOBS)
        spec = self.spec(world, "job", "exit 0", mode=Mode.REPLICATED_JOB, replicas=1, completions=2, restart=_NEVER)
        world.orchestrator.create(spec)

        def done() -> bool:
            states = [each.status.state for each in world.orchestrator.tasks("job")]
            return states == [TaskState.COMPLETE] * 2

        eventually(done, "two tasks complete")
