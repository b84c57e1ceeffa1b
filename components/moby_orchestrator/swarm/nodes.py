"""What users ask of nodes."""

from moby.contracts.ambient import Clock
from moby.contracts.orchestrator import Node, NodeSpec, NodeState, Role
from moby.errors import Conflict
from moby.values import evolve
from moby_orchestrator.swarm import finding
from moby_orchestrator.swarm.membership import Membership
from moby_orchestrator.swarm.store import Store

__all__ = ["Nodes"]


class Nodes:
    """Nodes of a store; see the contract."""

    def __init__(self, store: Store, membership: Membership, clock: Clock) -> None:
        self._store, self._membership, self._clock = store, membership, clock

    def get(self, name: str) -> Node:
        """Return a node."""
        return finding.node(name, self._store.world().nodes, self._membership.node_id)

    def list(self) -> tuple[Node, ...]:
        """Return all nodes."""
        return tuple(sorted(self._store.world().nodes.values(), key=lambda each: (each.description.hostname, each.id)))

    def update(self, name: str, spec: NodeSpec, version: int | None) -> Node:
        """Change what users say of a node."""
        with self._store.change() as draft:
            node = finding.node(name, draft.nodes, self._membership.node_id)
            finding.check_version(version, node.version)
            others = [each for each in draft.nodes.values() if each.id != node.id and each.spec.role is Role.MANAGER]
            if node.spec.role is Role.MANAGER and spec.role is Role.WORKER and not others:
                raise Conflict("attempting to demote the last manager of the swarm")
            draft.nodes[node.id] = evolve(node, spec=spec, updated_ns=self._clock.now_ns())
        return self._store.world().nodes[node.id]

    def remove(self, name: str, *, force: bool) -> None:
        """Forget a node."""
        with self._store.change() as draft:
            node = finding.node(name, draft.nodes, self._membership.node_id)
            if node.spec.role is Role.MANAGER:
                raise Conflict(
                    f"node {node.id} is a cluster manager and is a member of the raft cluster. It must be demoted to "
                    "worker before removal"
                )
            if node.state is not NodeState.DOWN and not force:
                raise Conflict(f"node {node.id} is not down and can't be removed")
            del draft.nodes[node.id]
