"""A cluster with faked engines and a faked clock, which carries plans out, and holds every plan to what is promised."""

from collections import Counter

import attrs
from moby_orchestrator.reconciling.actions import End, Start
from moby_orchestrator.reconciling.changes import carry_out, created, rolled_back, updated
from moby_orchestrator.reconciling.reconciler import plan
from moby_orchestrator.reconciling.tasks import FINAL, JOBS, WANTED, broke, works
from moby_orchestrator.reconciling.view import State
from orchestrator.notation import SECOND

from moby.contracts.orchestrator import Mode, Node, NodeDescription, NodeState, Order, TaskState, UpdateState
from moby.contracts.supervisor import HealthStatus

DOWN_AFTER = 3
"""So many seconds without an answer, and a node counts as down."""
UNDER_WAY = {UpdateState.UPDATING, UpdateState.ROLLBACK_STARTED}
NEXT = {
    TaskState.ASSIGNED: TaskState.PREPARING,
    TaskState.PREPARING: TaskState.STARTING,
    TaskState.STARTING: TaskState.RUNNING,
}


class Engine:
    """What runs on one node: containers by task; what an image does is its name."""

    def __init__(self):
        self.states = {}
        self.answers = True
        self.silent_for = 0

    def running(self):
        return {name for name, state in self.states.items() if state is TaskState.RUNNING}

    def crash(self):
        """All containers die with the machine."""
        self.states = {name: s if s in FINAL else TaskState.FAILED for name, s in self.states.items()}

    def work(self, tasks):
        """Do one step for each task that is the node's; return what each came to."""
        for task in tasks:
            state = self.states.get(task.id, TaskState.ASSIGNED)
            if state in FINAL:
                continue
            if task.desired not in WANTED:
                self.states[task.id] = TaskState.SHUTDOWN
            else:
                self.states[task.id] = self._step(task.spec.container.image, state)
        return {task.id: self.states[task.id] for task in tasks}

    @staticmethod
    def _step(image, state):
        if image == "missing" and state is TaskState.PREPARING:
            return TaskState.REJECTED
        if state is TaskState.RUNNING:
            return {"crash": TaskState.FAILED, "done": TaskState.COMPLETE}.get(image, state)
        return NEXT[state]


class Simulation:
    def __init__(self, nodes=5, memory_bytes=0):
        self.now = 1000 * SECOND
        self.memory_bytes = memory_bytes
        self.most = 1000
        """How much of a plan is carried out before there is another one."""
        self.engines = {}
        self.state = State()
        self.ever_ran = Counter()
        self.numbers = iter(range(10**6))
        for _ in range(nodes):
            self.join()

    # What users do

    def put(self, service):
        self.state = attrs_state(self.state, services={**self.state.services, service.id: service})

    def deploy(self, spec):
        service = created(f"s{next(self.numbers):03}", spec, self.now)
        self.put(service)
        return service.id

    def update(self, service_id, **changes):
        service = self.state.services[service_id]
        self.put(updated(service, attrs.evolve(service.spec, **changes), self.now))

    def roll_back(self, service_id):
        self.put(rolled_back(self.state.services[service_id], "asked for", self.now))

    def remove(self, service_id):
        self.put(attrs.evolve(self.state.services[service_id], removing=True))

    # What happens to nodes

    def join(self):
        name = f"n{next(self.numbers):03}"
        self.engines[name] = Engine()
        self._node(Node(name, description=NodeDescription(name, memory_bytes=self.memory_bytes), since_ns=self.now))
        return name

    def leave(self, name):
        """It goes for good; its containers with it."""
        del self.engines[name]
        self.state = attrs_state(self.state, nodes={k: v for k, v in self.state.nodes.items() if k != name})

    def _node(self, node):
        self.state = attrs_state(self.state, nodes={**self.state.nodes, node.id: node})

    def change_node(self, name, **changes):
        node = self.state.nodes[name]
        self._node(attrs.evolve(node, spec=attrs.evolve(node.spec, **changes)))

    def hear(self):
        """Have engines that answer say how they are; those that don't are unknown first, then down."""
        for name, engine in self.engines.items():
            engine.silent_for = 0 if engine.answers else engine.silent_for + 1
            state = NodeState.READY
            if engine.silent_for:
                state = NodeState.UNKNOWN if engine.silent_for < DOWN_AFTER else NodeState.DOWN
            node = self.state.nodes[name]
            if node.state is not state:
                self._node(attrs.evolve(node, state=state, since_ns=self.now))

    # What goes on

    def second(self):
        """Plan, carry it out, have each engine do a step, and let a second pass."""
        self.decide()
        self.state = attrs_state(self.state, tasks={**self.state.tasks, **self._worked()})
        self.now += SECOND
        self.hear()

    def decide(self):
        """Plan and carry out until there is nothing more to do before something is observed."""
        for _ in range(1000):
            found = plan(self.state, self.now)
            assert plan(self.state, self.now) == found
            if not found.actions:
                return
            found = attrs.evolve(found, actions=found.actions[: self.most])
            after = carry_out(self.state, found.actions, self.now)
            self._no_task_twice(after, found)
            self._as_promised(after, found)
            self.state = after
        raise AssertionError(f"plans go on though nothing was observed: {found}")

    def _worked(self):
        by_node = {name: [] for name in self.engines}
        for task in self.state.tasks.values():
            if task.node_id in by_node and task.status.state not in FINAL | {TaskState.PENDING}:
                by_node[task.node_id].append(task)
        changed = {}
        for name, engine in self.engines.items():
            if not engine.answers:
                continue
            for task_id, state in engine.work(by_node[name]).items():
                task = self.state.tasks[task_id]
                if state is not task.status.state:
                    changed[task_id] = self._seen(task, state)
            # An engine ends what nobody knows of.
            for task_id in engine.running() - self.state.tasks.keys():
                engine.states[task_id] = TaskState.SHUTDOWN
        return changed

    def _seen(self, task, state):
        runs = state is TaskState.RUNNING
        self.ever_ran[task.id, runs] += 1
        health = HealthStatus.NONE
        if runs and task.spec.container.image == "sick":
            health = HealthStatus.UNHEALTHY
        started = self.now if runs else task.status.started_ns
        status = attrs.evolve(task.status, state=state, time_ns=self.now, started_ns=started, health=health)
        return attrs.evolve(task, status=status)

    # What is promised

    def _no_task_twice(self, after, found):
        """A task starts once, and never beside another one of its slot, but a new one beside an old one."""
        assert all(number == 1 for (_, ran), number in self.ever_ran.items() if ran)
        ids = [each.task.id for each in found.actions if isinstance(each, Start)]
        assert len(ids) == len(set(ids)) and not self.state.tasks.keys() & set(ids)
        for service in after.services.values():
            where = Counter()
            for task in after.tasks.values():
                if task.service_id == service.id and task.desired in WANTED and task.status.state not in FINAL:
                    where[slot_of(task)] += 1
            fine = 2 if Order.START_FIRST in (service.spec.update.order, service.spec.rollback.order) else 1
            assert all(number <= fine for number in where.values()), where

    def _as_promised(self, after, found):
        """No update stops a task that works while too few others do, but for those whose new tasks failed."""
        changed = {
            each.task_id for each in found.actions if isinstance(each, End) and each.why == "its service has changed"
        }
        for service in after.services.values():
            mine = [each for each in after.tasks.values() if each.service_id == service.id]
            if service.spec.mode in JOBS or not any(each.id in changed and works(each) for each in mine):
                continue
            back = service.update and service.update.state is UpdateState.ROLLBACK_STARTED
            policy = service.spec.rollback if back else service.spec.update
            slots = {slot_of(each) for each in mine if each.id in changed} | {
                slot_of(each) for each in mine if each.desired in WANTED and each.status.state not in FINAL
            }
            wanted = len(slots) if service.spec.mode is Mode.GLOBAL else service.spec.replicas
            working = {slot_of(each) for each in mine if each.desired in WANTED and works(each)}
            fresh = [each for each in mine if each.template == service.template]
            gave_up = {slot_of(each) for each in fresh if broke(each, policy.monitor_ns) or each.status.state in FINAL}
            promised = wanted - (policy.parallelism or wanted) - len(gave_up - working)
            assert policy.order is Order.STOP_FIRST
            assert len(working) >= promised, (service.spec.name, len(working), promised)

    # How it ends

    def settle(self, seconds=400):
        """Let time pass until nothing changes for long enough; fail where that doesn't come."""
        quiet = 0
        for _ in range(seconds):
            before = self.state
            self.second()
            quiet = quiet + 1 if before == self.state else 0
            if quiet > 30:
                return
        raise AssertionError("it doesn't come to rest")

    def check_settled(self):
        """All that is wanted runs, where there is room, and nothing else does."""
        wanted = {each.id for each in self.state.tasks.values() if each.desired in WANTED}
        for name, engine in self.engines.items():
            assert engine.running() <= wanted
            for task_id in engine.running():
                assert self.state.tasks[task_id].node_id == name
        for service in self.state.services.values():
            assert not service.removing
            assert service.update is None or service.update.state not in UNDER_WAY
            mine = [
                each
                for each in self.state.tasks.values()
                if each.service_id == service.id and each.desired in WANTED and each.status.state not in FINAL
            ]
            count = len(self.state.nodes) if service.spec.mode is Mode.GLOBAL else service.spec.replicas
            assert len(mine) == len({slot_of(each) for each in mine}) == count
            paused = service.update and service.update.state in (UpdateState.PAUSED, UpdateState.ROLLBACK_PAUSED)
            assert paused or all(each.template == service.template for each in mine)


def attrs_state(state, **changes):
    return State(
        changes.get("services", state.services), changes.get("tasks", state.tasks), changes.get("nodes", state.nodes)
    )


def slot_of(task):
    return task.slot or task.node_id
