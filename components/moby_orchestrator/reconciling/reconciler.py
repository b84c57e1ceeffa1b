"""The heart of orchestrators: what is to be done so that what there is becomes what is wanted."""

from collections.abc import Iterable

from moby.contracts.orchestrator import NodeState, Problem, Task, TaskState, TaskStatus
from moby.values import evolve
from moby_orchestrator.reconciling.actions import Action, Assign, End, Forget, Lose, Plan, Refuse, Start
from moby_orchestrator.reconciling.placement import place
from moby_orchestrator.reconciling.services import decide
from moby_orchestrator.reconciling.steps import Steps
from moby_orchestrator.reconciling.tasks import FINAL, WANTED, elapsed_ns
from moby_orchestrator.reconciling.view import State, View

__all__ = ["LOST_AFTER_NS", "plan"]

LOST_AFTER_NS = 24 * 3600 * 1_000_000_000
"""How long a node may be down before its tasks count as lost."""
_UNASKED = frozenset({TaskState.NEW, TaskState.PENDING})


def plan(state: State, now_ns: int, history: int = 5) -> Plan:
    """Return what is to be done now; nothing once all is as wanted. The same input gives the same plan.

    Whoever carries it out writes all of it or none, or plans anew. It takes some 50 us a task that is to start, and 10
    for each other one. Nodes start those assigned to them that are wanted, end others, and say how they are.
    """
    view = View(state, now_ns)
    steps = Steps(now_ns)
    for task, why in view.unplaceable:
        steps.end(task, why)
    steps.actions.extend(_lost(view))
    for service_id in sorted(state.services):
        decide(view, state.services[service_id], steps, history)
    actions = [*steps.actions, *_strays(view)]
    actions.extend(_placed(state, steps.starts, actions))
    return Plan(tuple(actions), steps.wake_ns, steps.waiting)


def _lost(view: View) -> Iterable[Action]:
    """Yield tasks of which nobody will hear again: their nodes are gone, or have been down for long."""
    for task in view.state.tasks.values():
        if task.node_id and task.status.state not in FINAL:
            node = view.state.nodes.get(task.node_id)
            if node is None or (
                node.state is NodeState.DOWN and elapsed_ns(node.since_ns, view.now_ns) >= LOST_AFTER_NS
            ):
                yield Lose(task.id)


def _strays(view: View) -> Iterable[Action]:
    """Yield the end of tasks whose services are gone."""
    for task in view.strays:
        if task.status.state in FINAL:
            yield Forget(task.id)
        elif task.desired is not TaskState.REMOVE:
            yield End(task.id, TaskState.REMOVE, "its service is removed")


def _placed(state: State, starts: list[Task], actions: Iterable[Action]) -> Iterable[Action]:
    """Yield new tasks and those that wait for a node, with what they get."""
    ended = {each.task_id for each in actions if isinstance(each, End)}
    waiting = [
        task
        for task in state.tasks.values()
        if task.status.state in _UNASKED
        and task.desired in WANTED
        and task.id not in ended
        and task.service_id in state.services
    ]
    waiting.sort(key=lambda task: (task.created_ns, task.slot, task.id))
    if not waiting and not starts:
        return
    placed = place(state.services, state.nodes.values(), state.tasks.values(), [*waiting, *starts])
    for task in waiting:
        node_id = placed.nodes.get(task.id)
        if node_id is not None:
            yield Assign(task.id, node_id)
        elif task.problems != placed.problems[task.id]:
            yield Refuse(task.id, placed.problems[task.id])
    for task in starts:
        yield Start(_begun(task, placed.nodes.get(task.id), placed.problems.get(task.id, ())))


def _begun(task: Task, node_id: str | None, problems: tuple[Problem, ...]) -> Task:
    state = TaskState.PENDING if node_id is None else TaskState.ASSIGNED
    return evolve(task, node_id=node_id or task.node_id, status=TaskStatus(state, task.created_ns), problems=problems)
