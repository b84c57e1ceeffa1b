"""How long planning takes as clusters grow: ten thousand tasks on a thousand nodes in under a second."""

import sys
import time

from moby_orchestrator.reconciling.actions import Start
from moby_orchestrator.reconciling.changes import carry_out, created
from moby_orchestrator.reconciling.reconciler import plan
from moby_orchestrator.reconciling.tasks import FINAL, WANTED, works
from moby_orchestrator.reconciling.view import State

from benchmarks.measure import PASS, Row, Timed, in_turn
from moby.contracts.containers import ContainerConfig
from moby.contracts.orchestrator import (
    Node,
    NodeDescription,
    NodeSpec,
    NodeState,
    Placement,
    Reservations,
    ServiceSpec,
    Task,
    TaskState,
    TaskStatus,
)
from moby.values import evolve

__all__ = ["rows"]

SECOND_NS = 1_000_000_000
SIZES = (1_000, 2_000, 5_000, 10_000, 20_000)
LARGEST = 10_000
REPLICAS = 100
TARGET = 1_000 / 12.3
"""A second, where the interpreter's own start took 12.3 ms."""
RUNS = 3


def cluster(tasks: int) -> State:
    """Return services that want so many tasks, and a tenth as many nodes in seven zones, with nothing running."""
    placement = Placement(constraints=("node.labels.disk!=none",), spread=("node.labels.zone",))
    reservations = Reservations(nano_cpus=SECOND_NS // 10, memory_bytes=64 << 20)
    services = {}
    for number in range(tasks // REPLICAS):
        spec = ServiceSpec(
            f"web{number}",
            ContainerConfig("web"),
            replicas=REPLICAS,
            placement=placement,
            reservations=reservations,
        )
        services[f"s{number:04}"] = created(f"s{number:04}", spec, 1)
    nodes = {}
    for number in range(tasks // 10):
        described = NodeDescription(f"host{number}", nano_cpus=8 * SECOND_NS, memory_bytes=16 << 30)
        spec_of_node = NodeSpec(labels={"zone": str(number % 7)})
        nodes[f"n{number:05}"] = Node(f"n{number:05}", spec_of_node, described)
    return State(services, {}, nodes)


def planned(tasks: int) -> float:
    """Plan all tasks at once, check that each has a node and none too many, and return the shortest time of a few."""
    state, taken = cluster(tasks), []
    for _ in range(RUNS):
        began = time.perf_counter()
        found = plan(state, SECOND_NS)
        taken.append(time.perf_counter() - began)
        starts = [each.task for each in found.actions if isinstance(each, Start)]
        placed = sum(each.status.state is TaskState.ASSIGNED for each in starts)
        if placed != tasks:
            raise SystemExit(f"{placed} of {tasks} tasks have a node")
    return min(taken)


def _run(task: Task, now_ns: int) -> Task:
    """Return a task as an engine would have it a moment later."""
    if task.desired in WANTED and task.status.state is TaskState.ASSIGNED:
        return evolve(task, status=TaskStatus(TaskState.RUNNING, now_ns, now_ns))
    if task.desired not in WANTED and task.status.state not in FINAL:
        return evolve(task, status=evolve(task.status, state=TaskState.SHUTDOWN, time_ns=now_ns))
    return task


def _settled(state: State, now_ns: int, lost: frozenset[str] = frozenset()) -> tuple[State, float]:
    """Plan, carry out and have faked engines work until all is as wanted; return the seconds that planning took."""
    took = 0.0
    for _ in range(20):
        now_ns += SECOND_NS
        began = time.perf_counter()
        found = plan(state, now_ns)
        took += time.perf_counter() - began
        if not found.actions:
            return state, took
        state = carry_out(state, found.actions, now_ns)
        tasks = {name: task if task.node_id in lost else _run(task, now_ns) for name, task in state.tasks.items()}
        state = State(state.services, tasks, state.nodes)
    raise SystemExit("the cluster doesn't come to rest")


def recovered(tasks: int) -> float:
    """Take a tenth of the nodes from a cluster that runs, and return the seconds of planning until all run again."""
    state, _ = _settled(cluster(tasks), SECOND_NS)
    lost = frozenset(sorted(state.nodes)[::10])
    nodes = {
        name: evolve(node, state=NodeState.DOWN, since_ns=100 * SECOND_NS) if name in lost else node
        for name, node in state.nodes.items()
    }
    state, took = _settled(State(state.services, state.tasks, nodes), 100 * SECOND_NS, lost)
    running = [each for each in state.tasks.values() if each.desired in WANTED and works(each)]
    if len(running) != tasks or any(each.node_id in lost for each in running):
        raise SystemExit(f"{len(running)} of {tasks} tasks run")
    return took


def rows() -> list[Row]:
    """Time planning in clusters of growing size: from nothing, and after a tenth of their nodes were lost."""
    (peer,) = in_turn(Timed(PASS))
    found = []
    for what, measure in (("plan {} tasks on {} nodes", planned), ("{} tasks, a tenth of {} nodes lost", recovered)):
        first = 0.0
        for size in SIZES:
            took = measure(size)
            first = first or took / size
            bar = "#" * round(took / size / first * 10)
            note = f"{took / size * 1e6:.0f} us a task {bar}"
            target = TARGET if size == LARGEST else None
            found.append(Row(what.format(size, size // 10), took * 1000, "python -c pass", peer * 1000, target, note))
    return found


if __name__ == "__main__":
    measured = rows()
    for row in measured:
        print(f"{row.what:48} {row.ours_ms:7.1f} ms {row.ratio:6.1f} x python -c pass  {row.note}")  # noqa: T201
    sys.exit(0 if all(row.target is None or row.ratio < row.target for row in measured) else 1)
