"""What is known at one moment, arranged for deciding."""

from collections.abc import Iterable, Iterator, Mapping

from moby.contracts.orchestrator import Availability, Mode, Node, NodeState, Service, Task
from moby.values import field, frozen
from moby_orchestrator.reconciling.constraints import allowed, on_platform
from moby_orchestrator.reconciling.tasks import FINAL, WANTED, works

__all__ = ["Key", "Slot", "State", "View"]

Key = int | str
"""What names a slot: its number, or of a global service its node."""


@frozen
class State:
    """All services, tasks and nodes, each by its id."""

    services: Mapping[str, Service] = field(factory=dict)
    tasks: Mapping[str, Task] = field(factory=dict)
    nodes: Mapping[str, Node] = field(factory=dict)


class Slot:
    """The tasks that have followed each other in one place of a service, the newest first."""

    __slots__ = ("ended", "last", "leaving", "live")

    def __init__(self) -> None:
        self.live: list[Task] = []
        """Wanted, and not ended."""
        self.leaving: list[Task] = []
        """Not wanted any more, and still ending."""
        self.ended: list[Task] = []
        self.last = 0
        """The newest one's attempt."""

    def working(self) -> bool:
        """Return whether a task in it works."""
        return any(map(works, self.live))

    def everything(self) -> Iterator[Task]:
        """Yield all tasks that are still known."""
        yield from self.live
        yield from self.leaving
        yield from self.ended


class View:
    """A state, with tasks by service and slot. Tasks on nodes that are away count neither as live nor as leaving."""

    def __init__(self, state: State, now_ns: int) -> None:
        self.state = state
        self.now_ns = now_ns
        self.slots: dict[str, dict[Key, Slot]] = {name: {} for name in state.services}
        self.unplaceable: list[tuple[Task, str]] = []
        """Wanted tasks that can't stay where they are, and why."""
        self.strays: list[Task] = []
        """Tasks of services that aren't there."""
        self.names = {each.spec.name: each for each in state.services.values() if not each.removing}
        self.leaving_after: dict[str, list[Service]] = {}
        """By name, services that are removed and depend on that one."""
        for each in state.services.values():
            for dependency in each.spec.dependencies if each.removing else ():
                self.leaving_after.setdefault(dependency.service, []).append(each)
        self._excuses = {name: _excuse(node) for name, node in state.nodes.items()}
        for task in sorted(state.tasks.values(), key=lambda task: (-task.attempt, task.id)):
            self._sort_in(task)

    def _sort_in(self, task: Task) -> None:
        service = self.state.services.get(task.service_id)
        if service is None:
            self.strays.append(task)
            return
        key: Key = task.node_id if service.spec.mode in (Mode.GLOBAL, Mode.GLOBAL_JOB) else task.slot
        slots = self.slots[service.id]
        if (slot := slots.get(key)) is None:
            slot = slots[key] = Slot()
        slot.last = max(slot.last, task.attempt)
        if task.status.state in FINAL:
            slot.ended.append(task)
        elif task.desired not in WANTED:
            if not self.away(task):
                slot.leaving.append(task)
        elif excuse := self.excuse(task, service):
            self.unplaceable.append((task, excuse))
            if not self.away(task):
                slot.leaving.append(task)
        else:
            slot.live.append(task)

    def away(self, task: Task) -> bool:
        """Return whether a task's node can't be asked about it."""
        node = self.state.nodes.get(task.node_id)
        return task.node_id != "" and (node is None or node.state is NodeState.DOWN)

    def excuse(self, task: Task, service: Service) -> str:
        """Return why a task can't stay on its node; empty where it can, or has none."""
        if not task.node_id:
            return ""
        if excuse := self._excuses.get(task.node_id, "its node is gone"):
            return excuse
        constraints = service.spec.placement.constraints if task.template == service.template else ()
        node = self.state.nodes[task.node_id]
        return "" if allowed(constraints, node) else "its node doesn't satisfy the constraints any more"

    def eligible(self, service: Service) -> Iterable[str]:
        """Return the nodes on which a global service has, or may keep, a task."""
        known, placement = self.slots[service.id], service.spec.placement
        for name, node in sorted(self.state.nodes.items()):
            suits = allowed(placement.constraints, node) and on_platform(placement.platforms, node)
            if suits and not self._excuses[name]:
                new = node.state is NodeState.READY and node.spec.availability is Availability.ACTIVE
                if new or (name in known and known[name].live):
                    yield name


def _excuse(node: Node) -> str:
    if node.state is NodeState.DOWN:
        return "its node is down"
    return "its node is drained" if node.spec.availability is Availability.DRAIN else ""
