import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from moby_orchestrator.reconciling.changes import carry_out
from moby_orchestrator.reconciling.reconciler import plan
from moby_orchestrator.reconciling.tasks import works
from orchestrator.notation import SECOND, spec
from orchestrator.simulation import Simulation

from moby.contracts.containers import ContainerConfig
from moby.contracts.orchestrator import Availability, Mode, TaskState, UpdateState

POLICIES = st.fixed_dictionaries(
    {
        "parallelism": st.integers(0, 3),
        "delay": st.sampled_from([0, 2]),
        "monitor": st.sampled_from([0, 3]),
        "order": st.sampled_from(["stop-first", "start-first"]),
        "max_failure_ratio": st.sampled_from([0.0, 0.4]),
        "failure_action": st.sampled_from(["pause", "continue", "rollback"]),
    }
)

MODES = st.sampled_from(["replicated", "replicated", "global"])


def container(image):
    return ContainerConfig(image)


class Five(RuleBasedStateMachine):
    """Five nodes that join, leave, stall and come back, under services that users change."""

    def __init__(self):
        super().__init__()
        self.world = Simulation()

    @initialize(most=st.sampled_from([1000, 1000, 1, 2, 3]))
    def store(self, most):
        """What takes just so much of a plan at once: whoever dies then has it go on with another plan."""
        self.world.most = most

    def a_service(self, data):
        return data.draw(st.sampled_from(sorted(self.world.state.services)))

    def a_node(self, data):
        return data.draw(st.sampled_from(sorted(self.world.engines)))

    @precondition(lambda self: len(self.world.state.services) < 4)
    @rule(
        replicas=st.integers(0, 5),
        mode=st.sampled_from(["replicated", "replicated", "global"]),
        how=POLICIES,
        back=POLICIES,
    )
    def deploy(self, replicas, mode, how, back):
        given = {"image": "one", "mode": mode, "replicas": replicas, "update": how, "rollback": back}
        name = f"web{next(self.world.numbers)}"
        self.world.deploy(spec(name, {**given, "restart": {"delay": 1}}))

    @precondition(lambda self: self.world.state.services)
    @rule(data=st.data(), image=st.sampled_from(["one", "two", "three", "crash", "missing", "sick"]))
    def change(self, data, image):
        self.world.update(self.a_service(data), container=container(image))

    @precondition(lambda self: self.world.state.services)
    @rule(data=st.data(), replicas=st.integers(0, 6))
    def scale(self, data, replicas):
        self.world.update(self.a_service(data), replicas=replicas)

    @precondition(lambda self: any(each.previous for each in self.world.state.services.values()))
    @rule(data=st.data())
    def roll_back(self, data):
        changed = sorted(name for name, each in self.world.state.services.items() if each.previous)
        self.world.roll_back(data.draw(st.sampled_from(changed)))

    @precondition(lambda self: self.world.state.services)
    @rule(data=st.data())
    def remove(self, data):
        self.world.remove(self.a_service(data))

    @precondition(lambda self: len(self.world.engines) < 6)
    @rule()
    def join(self):
        self.world.join()

    @precondition(lambda self: len(self.world.engines) > 2)
    @rule(data=st.data())
    def leave(self, data):
        self.world.leave(self.a_node(data))

    @rule(data=st.data())
    def stall(self, data):
        self.world.engines[self.a_node(data)].answers = False

    @rule(data=st.data())
    def crash(self, data):
        engine = self.world.engines[self.a_node(data)]
        engine.answers = False
        engine.crash()

    @rule(data=st.data())
    def come_back(self, data):
        self.world.engines[self.a_node(data)].answers = True

    @rule(data=st.data(), availability=st.sampled_from(Availability))
    def drain(self, data, availability):
        self.world.change_node(self.a_node(data), availability=availability)

    @rule(data=st.data())
    def a_task_dies(self, data):
        engine = self.world.engines[self.a_node(data)]
        if running := sorted(engine.running()):
            engine.states[data.draw(st.sampled_from(running))] = TaskState.FAILED

    @rule(seconds=st.integers(-300, 300))
    def clock_jumps(self, seconds):
        self.world.now += seconds * SECOND

    @rule(seconds=st.integers(1, 12))
    def time_passes(self, seconds):
        for _ in range(seconds):
            self.world.second()

    @invariant()
    def what_is_planned_is_as_promised(self):
        self.world.decide()

    def teardown(self):
        """Once all nodes are back, images work, and paused updates are begun again, all comes to rest as wanted."""
        world = self.world
        for name, engine in world.engines.items():
            engine.answers = True
            world.change_node(name, availability=Availability.ACTIVE)
        for name, service in list(world.state.services.items()):
            if not service.removing:
                world.update(name, container=container("last"))
        world.settle()
        world.check_settled()


TestFive = Five.TestCase
TestFive.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.mark.slow
class TestFiveForLong(Five.TestCase):
    settings = settings(
        max_examples=200, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )


@settings(max_examples=30, deadline=None)
@given(replicas=st.integers(1, 8), how=POLICIES)
def test_an_update_that_works_never_goes_below_what_is_promised(replicas, how):
    world = Simulation()
    name = world.deploy(spec("web", {"image": "one", "replicas": replicas, "update": how}))
    world.settle()
    world.update(name, container=container("two"))
    start_first = how["order"] == "start-first"
    least = replicas if start_first else max(0, replicas - (how["parallelism"] or replicas))
    for _ in range(80):
        world.second()
        working = [each for each in world.state.tasks.values() if works(each) and each.desired.value == "running"]
        assert least <= len(working) <= replicas + (min(replicas, how["parallelism"] or replicas) if start_first else 0)
    assert world.state.services[name].update.state is UpdateState.COMPLETED
    world.check_settled()


@settings(max_examples=30, deadline=None)
@given(replicas=st.integers(2, 8), how=POLICIES, image=st.sampled_from(["crash", "missing", "sick"]))
def test_an_update_that_fails_does_as_told(replicas, how, image):
    world = Simulation()
    how = {**how, "monitor": 3, "max_failure_ratio": 0.0}
    given = {"image": "one", "replicas": replicas, "update": how, "rollback": {"monitor": 1}, "restart": {"delay": 1}}
    name = world.deploy(spec("web", given))
    world.settle()
    world.update(name, container=container(image))
    for _ in range(80):
        world.second()
    service = world.state.services[name]
    working = sum(works(each) for each in world.state.tasks.values())
    # One that crashes works for a moment, which is enough to take another one's place, and to let the next one start.
    start_first, crashes = how["order"] == "start-first", image == "crash"
    if how["failure_action"] == "pause":
        assert service.update.state is UpdateState.PAUSED
        at_a_time = how["parallelism"] or replicas
        promised = replicas if start_first else max(0, replicas - at_a_time)
        assert working >= (0 if start_first and crashes else promised)
    elif how["failure_action"] == "rollback":
        assert service.update.state is UpdateState.ROLLBACK_COMPLETED
        assert service.spec.container.image == "one"
        assert working == replicas
        world.check_settled()
    elif not crashes:
        assert working == (replicas if start_first else 0)
        assert service.update.state is (UpdateState.UPDATING if start_first else UpdateState.COMPLETED)


@settings(max_examples=15, deadline=None)
@given(completions=st.integers(1, 12), at_a_time=st.integers(1, 4), lost=st.integers(0, 3))
def test_a_job_comes_to_its_end(completions, at_a_time, lost):
    world = Simulation()
    given = {"image": "done", "mode": "replicated-job", "replicas": at_a_time, "completions": completions}
    name = world.deploy(spec("sum", {**given, "restart": {"delay": 1}}))
    for number in range(120):
        if number == 4:
            for engine in list(world.engines.values())[:lost]:
                engine.answers = False
        world.second()
        assert sum(works(each) and each.desired.value == "complete" for each in world.state.tasks.values()) <= at_a_time
    ended = {each.slot for each in world.state.tasks.values() if each.status.state.value == "complete"}
    assert ended == set(range(1, completions + 1))
    assert world.state.services[name].spec.mode is Mode.REPLICATED_JOB


def test_applications_begin_and_end_in_order():
    world = Simulation()
    first = {"service": "db"}
    web = world.deploy(spec("web", {"image": "one", "replicas": 2, "dependencies": [first]}))
    db = world.deploy(spec("db", {"image": "one"}))
    world.settle()
    began = {each.service_id: each.status.started_ns for each in world.state.tasks.values()}
    assert began[db] < began[web]
    world.remove(db)
    world.remove(web)
    gone = []
    for _ in range(20):
        world.second()
        gone += [name for name in (web, db) if name not in world.state.services and name not in gone]
    assert gone == [web, db]
    assert not world.state.tasks


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False), POLICIES)
def test_a_manager_that_dies_half_way_is_followed_by_one_that_goes_on(draw, how):
    """Each second somebody dies after some of a plan was written, also in the middle of an update."""
    world = Simulation()
    name = world.deploy(spec("web", {"image": "one", "replicas": 4, "update": how}))
    world.settle()
    world.update(name, container=container("two"))
    for _ in range(60):
        actions = plan(world.state, world.now).actions
        world.state = carry_out(world.state, actions[: draw.randint(0, len(actions))], world.now)
        world.second()
    assert world.state.services[name].update.state is UpdateState.COMPLETED
    world.check_settled()
