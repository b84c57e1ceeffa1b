"""This machine at work in its cluster: a manager, and a node."""

from moby.contracts.orchestrator import Manager as Managing
from moby.contracts.orchestrator import Node, NodeSpec, NodeState, Role
from moby.values import evolve
from moby_orchestrator.swarm.agent import Agent
from moby_orchestrator.swarm.applications import clear_leftovers
from moby_orchestrator.swarm.balancing import Balancing
from moby_orchestrator.swarm.describing import describe, own_address
from moby_orchestrator.swarm.files import Files
from moby_orchestrator.swarm.manager import Manager
from moby_orchestrator.swarm.parts import Parts
from moby_orchestrator.swarm.store import Store
from moby_orchestrator.swarm.world import World

__all__ = ["Running", "present"]


def present(parts: Parts, store: Store, node_id: str, address: str = "", name: str = "") -> None:
    """Have the store know this machine as it is now."""
    description, now_ns = describe(parts), parts.clock.now_ns()
    with store.change() as draft:
        before = draft.nodes.get(node_id)
        if before is None:
            before = Node(node_id, NodeSpec(name, role=Role.MANAGER), created_ns=now_ns, updated_ns=now_ns)
        address = address or before.address or own_address()
        node = evolve(
            before,
            description=description,
            state=NodeState.READY,
            since_ns=before.since_ns if before.state is NodeState.READY and before.since_ns else now_ns,
            message="",
            address=address,
            manager=Managing(leader=True, reachable=True, address=f"{address}:2377"),
        )
        if node != before or node_id not in draft.nodes:
            draft.nodes[node_id] = node


class Running:
    """Threads of a manager and of a node, which follow a store."""

    def __init__(self, parts: Parts, store: Store, node_id: str, files: Files, starting: int) -> None:
        self._parts, self._store, self._node_id = parts, store, node_id
        self._manager = Manager(store, parts.clock, parts.log, self._seen, lambda: clear_leftovers(parts, store))
        self._agent = Agent(parts, node_id, files, self._manager.report, starting)
        self._balancing = Balancing(parts, store, node_id)

    def _seen(self, world: World) -> None:
        self._agent.see(world)
        self._balancing.see(world)

    def start(self) -> None:
        """Begin."""
        present(self._parts, self._store, self._node_id)
        world = self._store.world()
        self._agent.start(world)
        self._balancing.start(world)
        self._manager.start()

    def stop(self) -> None:
        """End; containers stay."""
        self._manager.stop()
        self._agent.stop()
        self._balancing.stop()

    def wake(self) -> None:
        """Look at what has changed."""
        self._manager.wake()
