"""Which node has which task: near to linear in tasks, and in nodes.

Nodes that suit a demand are in a heap, the emptiest first, which all services with this demand share. While a plan is
made, nodes only become fuller: an entry that says too little is put right once it is on top, and a node that has no
room for a demand any more leaves its heap for good.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heappop, heappush, heapreplace

from moby.contracts.orchestrator import Node, Problem, Service, Task
from moby.values import frozen
from moby_orchestrator.reconciling.constraints import attribute, known, parse
from moby_orchestrator.reconciling.rooms import Demand, Room, demand_of, problems, rooms
from moby_orchestrator.reconciling.tasks import FINAL, WANTED

__all__ = ["Placed", "place"]


@frozen
class Placed:
    """The nodes that tasks got, by the task's id, and why others got none."""

    nodes: Mapping[str, str]
    problems: Mapping[str, tuple[Problem, ...]]


def place(
    services: Mapping[str, Service], nodes: Iterable[Node], tasks: Iterable[Task], waiting: Sequence[Task]
) -> Placed:
    """Choose nodes for tasks that have none, or have one that wasn't asked yet (those of global services).

    `tasks` are all that are there; of a service, they are spread over its preferences, then over nodes that have
    the fewest of the service, then the fewest at all, then by id.
    """
    return _Placing(services, nodes, tasks, waiting).result()


class _Placing:
    """One plan's placing: what it knows of nodes, and what it has decided."""

    def __init__(
        self, services: Mapping[str, Service], nodes: Iterable[Node], tasks: Iterable[Task], waiting: Sequence[Task]
    ) -> None:
        self.services = services
        self.waiting = waiting
        open_ids = {task.id for task in waiting}
        standing = [task for task in tasks if task.id not in open_ids]
        self.rooms = rooms(nodes, standing)
        self.counts: dict[str, Counter[str]] = {}
        for task in standing:
            if task.desired in WANTED and task.status.state not in FINAL and task.node_id:
                self.counts.setdefault(task.service_id, Counter())[task.node_id] += 1
        self.sorts: dict[tuple[Demand, tuple[str, ...]], dict[tuple[str, ...], _Leaf]] = {}
        self.by_attribute: dict[str, dict[str, list[Room]]] = {}

    def result(self) -> Placed:
        """Place all that wait, service by service."""
        groups: dict[str, list[Task]] = {}
        for task in self.waiting:
            groups.setdefault(task.service_id, []).append(task)
        nodes: dict[str, str] = {}
        unplaced: dict[str, list[Task]] = {}
        for service_id in sorted(groups):
            found = self._place_service(self.services[service_id], groups[service_id])
            nodes.update(found)
            left = [task for task in groups[service_id] if task.id not in found]
            if left:
                unplaced[service_id] = left
        return Placed(nodes, self._explained(unplaced))

    def _place_service(self, service: Service, tasks: Sequence[Task]) -> dict[str, str]:
        demand = demand_of(service.spec)
        counts = self.counts.setdefault(service.id, Counter())
        found = {}
        spreading = None
        for task in tasks:
            if task.node_id:
                room = self.rooms.get(task.node_id)
                room = room if room and room.suits(demand) and room.fits(demand) else None
            else:
                spreading = spreading or _Spreading(service, demand, self._leaves(service, demand), self.rooms, counts)
                room = spreading.take()
            if room is not None:
                room.take(service.spec)
                counts[room.node.id] += 1
                if spreading is not None:
                    spreading.took(room)
                found[task.id] = room.node.id
        if spreading is not None:
            spreading.close()
        return found

    def _leaves(self, service: Service, demand: Demand) -> dict[tuple[str, ...], "_Leaf"]:
        """Return the nodes that suit a demand, by their values of the keys to spread over."""
        keys = tuple(known(each) for each in service.spec.placement.spread)
        if (leaves := self.sorts.get((demand, keys))) is None:
            sorted_in: dict[tuple[str, ...], list[Room]] = {}
            for room in self._candidates(demand):
                if room.suits(demand):
                    path = tuple(attribute(room.node, key) for key in keys)
                    sorted_in.setdefault(path, []).append(room)
            leaves = {path: _Leaf(each) for path, each in sorted(sorted_in.items())}
            self.sorts[demand, keys] = leaves
        return leaves

    def _candidates(self, demand: Demand) -> Iterable[Room]:
        """Return the rooms among which all are that satisfy one of the constraints, if one says what must be."""
        for each in map(parse, demand.constraints):
            if each.equal:
                if (values := self.by_attribute.get(each.key)) is None:
                    values = self.by_attribute[each.key] = {}
                    for room in self.rooms.values():
                        values.setdefault(attribute(room.node, each.key), []).append(room)
                return values.get(each.value, ())
        return self.rooms.values()

    def _explained(self, unplaced: Mapping[str, list[Task]]) -> dict[str, tuple[Problem, ...]]:
        """Say why tasks have no node; the same demand is looked at once."""
        told: dict[tuple[Demand, str], tuple[Problem, ...]] = {}
        found = {}
        for service_id, tasks in unplaced.items():
            spec = self.services[service_id].spec
            most, demand = spec.placement.max_replicas_per_node, demand_of(spec)
            for task in tasks:
                key = (demand, service_id if most else task.node_id)
                if key not in told:
                    asked = [self.rooms[task.node_id]] if task.node_id in self.rooms else self.rooms.values()
                    told[key] = problems(demand, asked, self.counts[service_id], most)
                found[task.id] = told[key]
        return found


class _Leaf:
    """Nodes that suit a demand and are the same to who spreads tasks, the emptiest first."""

    __slots__ = ("heap", "names")

    def __init__(self, members: Sequence[Room]) -> None:
        self.heap = [(room.tasks, room.node.id) for room in members]
        heapify(self.heap)
        self.names = {room.node.id for room in members}

    def emptiest(self, all_rooms: Mapping[str, Room]) -> int:
        """Return how many tasks the first node has."""
        while self.heap:
            tasks, name = self.heap[0]
            if tasks == all_rooms[name].tasks:
                return tasks
            heapreplace(self.heap, (all_rooms[name].tasks, name))
        return 0


class _Spreading:
    """One service's way through the nodes that suit it."""

    def __init__(
        self,
        service: Service,
        demand: Demand,
        leaves: Mapping[tuple[str, ...], _Leaf],
        all_rooms: Mapping[str, Room],
        counts: Counter[str],
    ) -> None:
        self.demand, self.rooms, self.counts = demand, all_rooms, counts
        self.most = service.spec.placement.max_replicas_per_node
        self.aside: list[tuple[_Leaf, str]] = []
        self.used: dict[int, list[tuple[int, int, str]]] = {}
        self.top = _Branch()
        self.chosen: _Leaf | None = None
        for path, leaf in leaves.items():
            there = [name for name in counts if name in leaf.names]
            self.used[id(leaf)] = [(counts[name], all_rooms[name].tasks, name) for name in there]
            heapify(self.used[id(leaf)])
            self.top.add(path, leaf, sum(counts[name] for name in there))
        self.top.arrange(all_rooms)

    def take(self) -> Room | None:
        """Return the node for the next task; None where no node has room."""
        return self.top.take(self)

    def took(self, room: Room) -> None:
        """Know that a node has one more."""
        if self.chosen is not None:
            name = room.node.id
            heappush(self.used[id(self.chosen)], (self.counts[name], room.tasks, name))
            self.chosen = None

    def close(self) -> None:
        """Give nodes back to those who share them."""
        for leaf, name in self.aside:
            heappush(leaf.heap, (self.rooms[name].tasks, name))

    def take_of(self, leaf: _Leaf) -> Room | None:
        """Return the node of a leaf that has the fewest of this service's tasks, then the fewest at all."""
        room = self._unused(leaf) or self._used(leaf)
        self.chosen = leaf if room else None
        return room

    def _unused(self, leaf: _Leaf) -> Room | None:
        while leaf.heap:
            tasks, name = leaf.heap[0]
            room = self.rooms[name]
            if tasks != room.tasks:
                heapreplace(leaf.heap, (room.tasks, name))
                continue
            heappop(leaf.heap)
            if not room.fits(self.demand):
                leaf.names.discard(name)
                continue
            self.aside.append((leaf, name))
            if not self.counts[name]:
                return room
        return None

    def _used(self, leaf: _Leaf) -> Room | None:
        heap = self.used[id(leaf)]
        while heap:
            count, tasks, name = heap[0]
            room = self.rooms[name]
            if (count, tasks) != (self.counts[name], room.tasks):
                heapreplace(heap, (self.counts[name], room.tasks, name))
                continue
            heappop(heap)
            if room.fits(self.demand) and not (self.most and count >= self.most):
                return room
        return None


class _Branch:
    """Nodes with a value of a key in common, by those of further keys: first those with the fewest of a service's
    tasks, then with the emptiest node."""

    def __init__(self) -> None:
        self.children: dict[str, _Branch] = {}
        self.leaf: _Leaf | None = None
        self.count = 0
        self.heap: list[tuple[int, int, str]] = []
        self.emptiest = 0

    def add(self, path: Sequence[str], leaf: _Leaf, count: int) -> None:
        """Put a leaf where its values lead."""
        branch = self
        branch.count += count
        for value in path:
            branch = branch.children.setdefault(value, _Branch())
            branch.count += count
        branch.leaf = leaf

    def arrange(self, all_rooms: Mapping[str, Room]) -> None:
        """Be ready to be taken from, once all is added."""
        for child in self.children.values():
            child.arrange(all_rooms)
        self.heap = [(child.count, child.emptiest, value) for value, child in self.children.items()]
        heapify(self.heap)
        self.emptiest = self.leaf.emptiest(all_rooms) if self.leaf else min((each[1] for each in self.heap), default=0)

    def take(self, spreading: _Spreading) -> Room | None:
        """Return the next node; None where there is no room below."""
        if self.leaf is not None:
            return spreading.take_of(self.leaf)
        while self.heap:
            count, emptiest, value = self.heap[0]
            room = self.children[value].take(spreading)
            if room is not None:
                heapreplace(self.heap, (count + 1, max(emptiest, room.tasks), value))
                return room
            heappop(self.heap)
        return None
