"""What nodes have left, and what tasks demand of them."""

from collections.abc import Iterable, Mapping

from moby.contracts.orchestrator import (
    Availability,
    Node,
    NodeState,
    Problem,
    PublishMode,
    Reason,
    ServiceSpec,
    Task,
)
from moby.contracts.types import Platform
from moby.values import frozen
from moby_orchestrator.reconciling.constraints import allowed, on_platform
from moby_orchestrator.reconciling.tasks import FINAL

__all__ = ["Demand", "Room", "demand_of", "problems", "rooms"]

Port = tuple[str, int, str]
"""A protocol, a port of the host's, and its address."""
_EVERYWHERE = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - nothing is bound here


@frozen
class Demand:
    """What a node must have for a task."""

    constraints: tuple[str, ...] = ()
    platforms: tuple[Platform, ...] = ()
    plugins: tuple[tuple[str, str], ...] = ()
    nano_cpus: int = 0
    memory_bytes: int = 0
    generic: tuple[tuple[str, int], ...] = ()
    ports: tuple[Port, ...] = ()


def demand_of(spec: ServiceSpec) -> Demand:
    """Return what a service's tasks demand."""
    container, reserved = spec.container, spec.reservations
    drivers = {("volume", each.driver) for each in container.mounts if each.type == "volume" and each.driver}
    if container.log.driver:
        drivers.add(("log", container.log.driver))
    return Demand(
        spec.placement.constraints,
        spec.placement.platforms,
        tuple(sorted(drivers)),
        reserved.nano_cpus,
        reserved.memory_bytes,
        tuple(sorted(reserved.generic.items())),
        host_ports(spec),
    )


def host_ports(spec: ServiceSpec) -> tuple[Port, ...]:
    """Return the ports that each of a service's tasks takes of its node."""
    if not spec.ports:
        return ()
    return tuple(
        (each.protocol, each.published, each.host_address)
        for each in spec.ports
        if each.mode is PublishMode.HOST and each.published
    )


class Room:
    """A node, and what its tasks leave of it; for one thread, and as long as one plan takes to make."""

    __slots__ = ("_ports", "generic", "memory_bytes", "nano_cpus", "node", "tasks")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.tasks = 0
        self.nano_cpus = node.description.nano_cpus
        self.memory_bytes = node.description.memory_bytes
        self.generic = dict(node.description.generic)
        self._ports: dict[tuple[str, int], set[str]] = {}

    def take(self, spec: ServiceSpec) -> None:
        """Give a task its part."""
        self.tasks += 1
        reserved = spec.reservations
        self.nano_cpus -= reserved.nano_cpus
        self.memory_bytes -= reserved.memory_bytes
        for name, number in reserved.generic.items():
            self.generic[name] = self.generic.get(name, 0) - number
        for protocol, port, address in host_ports(spec):
            self._ports.setdefault((protocol, port), set()).add(address)

    def fits(self, demand: Demand) -> bool:
        """Return whether it has what changes from task to task: resources and ports."""
        return self.lacks(demand) is None

    def lacks(self, demand: Demand) -> tuple[Reason, str] | None:
        """Return what it has too little of, and how much it is; None where it has enough."""
        if demand.nano_cpus > self.nano_cpus and demand.nano_cpus:
            return Reason.RESOURCES, f"cpus: {demand.nano_cpus / 1e9:g} of {self.nano_cpus / 1e9:g}"
        if demand.memory_bytes > self.memory_bytes and demand.memory_bytes:
            return Reason.RESOURCES, f"memory: {demand.memory_bytes} bytes of {self.memory_bytes}"
        for name, number in demand.generic:
            if number > self.generic.get(name, 0):
                return Reason.RESOURCES, f"{name}: {number} of {self.generic.get(name, 0)}"
        for protocol, port, address in demand.ports:
            if self._is_taken(protocol, port, address):
                return Reason.PORT, f"{port}/{protocol}"
        return None

    def suits(self, demand: Demand) -> bool:
        """Return whether it is of the right sort, whatever it has left."""
        return self.unfit(demand) is None

    def unfit(self, demand: Demand) -> tuple[Reason, str] | None:
        """Return why it never has such tasks as it is; None where it may have some."""
        if self.node.state is not NodeState.READY:
            return Reason.UNAVAILABLE, self.node.state.value
        if self.node.spec.availability is not Availability.ACTIVE:
            return Reason.UNAVAILABLE, self.node.spec.availability.value
        if not allowed(demand.constraints, self.node):
            return Reason.CONSTRAINTS, ", ".join(demand.constraints)
        if not on_platform(demand.platforms, self.node):
            return Reason.PLATFORM, str(self.node.description.platform)
        has = self.node.description.plugins
        for plugin in demand.plugins:
            if has is not None and plugin not in has:
                return Reason.PLUGIN, " driver ".join(plugin)
        return None

    def _is_taken(self, protocol: str, port: int, address: str) -> bool:
        taken = self._ports.get((protocol, port), set())
        return bool(taken) and (address in _EVERYWHERE or address in taken or bool(taken & _EVERYWHERE))


def rooms(nodes: Iterable[Node], tasks: Iterable[Task]) -> dict[str, Room]:
    """Return what nodes have left beside tasks that haven't ended, also such that are to end."""
    found = {node.id: Room(node) for node in nodes}
    for task in tasks:
        if task.node_id in found and task.status.state not in FINAL:
            found[task.node_id].take(task.spec)
    return found


def problems(
    demand: Demand, candidates: Iterable[Room], full: Mapping[str, int], max_per_node: int
) -> tuple[Problem, ...]:
    """Return why no node has room for a task, the most common reason first; `full` are tasks of its service by node."""
    counts: dict[Reason, int] = {}
    details: dict[Reason, set[str]] = {}
    for room in candidates:
        found = room.unfit(demand) or room.lacks(demand)
        if found is None and max_per_node and full.get(room.node.id, 0) >= max_per_node:
            found = Reason.MAX_REPLICAS, str(max_per_node)
        if found is not None:
            counts[found[0]] = counts.get(found[0], 0) + 1
            details.setdefault(found[0], set()).add(found[1])
    told = (
        Problem(reason, number, next(iter(details[reason])) if len(details[reason]) == 1 else "")
        for reason, number in counts.items()
    )
    return tuple(sorted(told, key=lambda each: (-each.nodes, each.reason)))
