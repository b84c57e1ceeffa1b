"""The conformance suite of the kind `orchestrator`: changing services, and going back."""

from moby.contracts.orchestrator import (
    FailureAction,
    OrchestratorFeature,
    Service,
    ServiceSpec,
    TaskState,
    UpdatePolicy,
    UpdateState,
)
from moby.errors import Conflict, Invalid, NotFound, Unsupported
from moby.testing.orchestrator_world import FOREVER, SECOND_NS, OrchestratorFixtures, World, eventually
from moby.values import evolve

__all__ = ["Updates"]


class Updates(OrchestratorFixtures):
    """Changing services."""

    def changed(self, spec: ServiceSpec, value: str) -> ServiceSpec:
        """Return a spec whose tasks have another environment."""
        return evolve(spec, container=evolve(spec.container, environment=(f"V={value}",)))

    def test_update(self, world: World) -> None:
        """Tasks are replaced by such as are described; the service stays the same one."""
        made = self.begin(world, "web", replicas=2)
        before = self.running(world, "web", 2)
        found = world.orchestrator.update("web", self.changed(made.spec, "2"))
        assert (found.id, found.spec.container.environment) == (made.id, ("V=2",))
        after = self.running(world, "web", 2)
        assert [each.slot for each in after] == [1, 2]
        assert not {each.status.container_id for each in before} & {each.status.container_id for each in after}
        for task in after:
            assert "V=2" in self.container(world, task).config.environment
        eventually(lambda: not self.left(world, before), "those before end")

    def left(self, world: World, tasks: tuple[object, ...]) -> list[str]:
        """Return which of some tasks' containers still run."""
        ids = {each.status.container_id for each in tasks}  # type: ignore[attr-defined]
        return [each.id for each in world.containers.list() if each.id in ids and each.state.pid]

    def test_update_of_nothing(self, world: World) -> None:
        """Replaces no task; neither does one of how many there are."""
        made = self.begin(world, "web")
        [before] = self.running(world, "web", 1)
        world.orchestrator.update("web", world.orchestrator.service("web").spec)
        world.orchestrator.update("web", evolve(made.spec, replicas=2, labels={"new": "label"}))
        after = self.running(world, "web", 2)
        assert after[0].status.container_id == before.status.container_id
        assert world.orchestrator.service("web").spec.labels["new"] == "label"

    def test_by_force(self, world: World) -> None:
        """Another number replaces all tasks."""
        made = self.begin(world, "web")
        [before] = self.running(world, "web", 1)
        world.orchestrator.update("web", evolve(made.spec, force=1))
        [after] = self.running(world, "web", 1)
        assert after.status.container_id != before.status.container_id

    def test_what_can_t_be_changed(self, world: World) -> None:
        """A name: Unsupported. What can't be at all is Invalid; nothing of it is kept."""
        made = self.begin(world, "web")
        self.refused(Unsupported, "", world.orchestrator.update, "web", evolve(made.spec, name="api"))
        self.refused(Invalid, "replicas", world.orchestrator.update, "web", evolve(made.spec, replicas=-1))
        assert world.orchestrator.service("web").spec == made.spec
        assert [each.spec.name for each in world.orchestrator.services()] == ["web"]

    def test_out_of_sequence(self, world: World) -> None:
        """A change of a version that isn't the present one is Conflict, and changes nothing."""
        self.offers(world, OrchestratorFeature.VERSIONS)
        made = self.begin(world, "web")
        now = self.still(world, "web")
        newer = world.orchestrator.update("web", evolve(made.spec, labels={"a": "1"}), now.version)
        assert newer.version > now.version
        old = evolve(made.spec, labels={"a": "2"})
        for call, given in (
            (world.orchestrator.update, ("web", old, now.version)),
            (world.orchestrator.scale, ("web", 3, now.version)),
            (world.orchestrator.roll_back, ("web", now.version)),
        ):
            self.refused(Conflict, "update out of sequence", call, *given)
        assert world.orchestrator.service("web").spec.labels == {"a": "1"}

    def still(self, world: World, name: str) -> Service:
        """Return a service once its version doesn't rise by itself any more."""
        seen = [world.orchestrator.service(name)]

        def same() -> bool:
            seen.append(world.orchestrator.service(name))
            return len(seen) > 10 and len({each.version for each in seen[-10:]}) == 1

        eventually(same, "its version stays")
        return seen[-1]

    def test_without_versions(self, world: World) -> None:
        """The last change holds, whichever version it says."""
        self.lacks(world, OrchestratorFeature.VERSIONS)
        made = self.begin(world, "web")
        world.orchestrator.update("web", evolve(made.spec, labels={"a": "1"}), made.version + 7)
        assert world.orchestrator.scale("web", 2, 0).spec.labels == {"a": "1"}

    def test_roll_back(self, world: World) -> None:
        """It is as before its last update; Conflict where there was none."""
        self.offers(world, OrchestratorFeature.ROLLING)
        made = self.begin(world, "web")
        self.refused(Conflict, "", world.orchestrator.roll_back, "web")
        world.orchestrator.update("web", self.changed(made.spec, "2"))
        self.running(world, "web", 1)
        found = world.orchestrator.roll_back("web")
        assert found.spec.container.environment == ()
        [task] = self.running(world, "web", 1)
        assert not [each for each in self.container(world, task).config.environment if each.startswith("V=")]
        self.state(world, "web", UpdateState.ROLLBACK_COMPLETED)
        self.refused(NotFound, "service nobody not found", world.orchestrator.roll_back, "nobody")

    def test_rolling_back_is_lacking(self, world: World) -> None:
        """Unsupported."""
        self.lacks(world, OrchestratorFeature.ROLLING)
        self.begin(world, "web")
        self.refused(Unsupported, "", world.orchestrator.roll_back, "web")

    def state(self, world: World, name: str, *states: UpdateState) -> None:
        """Wait until a service's update is in one of some states."""

        def look() -> bool:
            update = world.orchestrator.service(name).update
            return update is not None and update.state in states

        eventually(look, f"the update of {name} is {' or '.join(states)}")

    def test_steps(self, world: World) -> None:
        """No more tasks at a time than the policy says are out of work, until all are new."""
        self.offers(world, OrchestratorFeature.ROLLING)
        made = self.begin(world, "web", replicas=3)
        self.running(world, "web", 3)
        fewest = 3
        world.orchestrator.update("web", self.changed(made.spec, "2"))

        def look() -> bool:
            nonlocal fewest
            tasks = world.orchestrator.tasks("web")
            fewest = min(fewest, sum(each.status.state is TaskState.RUNNING for each in tasks))
            update = world.orchestrator.service("web").update
            return update is not None and update.state is UpdateState.COMPLETED

        eventually(look, "the update is done")
        assert fewest >= 2
        self.running(world, "web", 3)

    def test_an_update_that_fails(self, world: World) -> None:
        """Pauses, with those tasks still at work that it hadn't come to; the next update ends it."""
        self.offers(world, OrchestratorFeature.ROLLING)
        made = self.begin(world, "web", replicas=3)
        bad = evolve(made.spec, container=evolve(made.spec.container, command=("sh", "-c", "exit 9")))
        bad = evolve(bad, update=UpdatePolicy(delay_ns=2 * SECOND_NS, monitor_ns=5 * SECOND_NS))
        world.orchestrator.update("web", bad)
        self.state(world, "web", UpdateState.PAUSED)
        at_work = [each for each in world.orchestrator.tasks("web") if each.status.state is TaskState.RUNNING]
        assert len([each for each in at_work if each.template == made.template]) == 2
        world.orchestrator.update("web", self.changed(made.spec, "3"))
        self.running(world, "web", 3)

    def test_an_update_that_fails_and_goes_back(self, world: World) -> None:
        """By itself, as its policy says."""
        self.offers(world, OrchestratorFeature.ROLLING)
        made = self.begin(world, "web", replicas=2)
        policy = UpdatePolicy(monitor_ns=5 * SECOND_NS, failure_action=FailureAction.ROLLBACK)
        bad = evolve(made.spec, container=evolve(made.spec.container, command=("sh", "-c", "exit 9")), update=policy)
        world.orchestrator.update("web", bad)
        self.state(world, "web", UpdateState.ROLLBACK_COMPLETED)
        for task in self.running(world, "web", 2):
            assert self.container(world, task).config.command == ("sh", "-c", FOREVER)

    def test_what_it_was_asked_for_is_kept(self, world: World) -> None:
        """Over the engine's death: the same services, and the same containers, none twice."""
        made = self.begin(world, "web", replicas=2)
        world.orchestrator.create(self.spec(world, "none", replicas=0))
        before = self.running(world, "web", 2)
        self.again(world)
        assert [each.spec.name for each in world.orchestrator.services()] == ["none", "web"]
        assert world.orchestrator.service("web").id == made.id
        after = self.running(world, "web", 2)
        assert [each.status.container_id for each in after] == [each.status.container_id for each in before]
        world.orchestrator.scale("web", 3)
        self.running(world, "web", 3)
