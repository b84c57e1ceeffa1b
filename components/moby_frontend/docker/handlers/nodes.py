"""A swarm's nodes."""

from moby.contracts.orchestrator import Node, Role
from moby_frontend.docker.call import Call, Reply, empty, reply_json
from moby_frontend.docker.filters import Filters
from moby_frontend.docker.parts import Parts
from moby_frontend.docker.swarm.asking import begins, checked, version_of
from moby_frontend.docker.swarm.faults import told
from moby_frontend.docker.swarm.membership import manager
from moby_frontend.docker.swarm.nodes import read_node, show_node

__all__ = ["inspect", "listed", "remove", "update"]

_KNOWN = frozenset({"id", "label", "membership", "name", "node.label", "role"})
_MEMBERSHIPS = ("pending", "accepted")


def listed(parts: Parts, call: Call) -> Reply:
    """List nodes."""
    orchestrator, filters = manager(parts), Filters(call.query.text("filters"), _KNOWN)
    checked(filters, "role", [each.value for each in Role])
    checked(filters, "membership", _MEMBERSHIPS)
    return reply_json([show_node(each) for each in orchestrator.nodes() if _fits(filters, each)])


def _fits(filters: Filters, node: Node) -> bool:
    return (
        begins(filters, "id", node.id)
        and begins(filters, "name", node.description.hostname, *filter(None, (node.spec.name,)))
        and filters.labels(node.description.labels)
        and filters.labels(node.spec.labels, "node.label")
        and filters.exact("role", node.spec.role.value)
        and filters.exact("membership", "accepted")
    )


def inspect(parts: Parts, call: Call) -> Reply:
    """Show a node."""
    return reply_json(show_node(manager(parts).node(call.names["id"])))


def update(parts: Parts, call: Call) -> Reply:
    """Change what users say of a node."""
    orchestrator, version = manager(parts), version_of(call, "node")
    spec = read_node(call.json(required=True))
    found = orchestrator.node(call.names["id"])
    with told(outdated=lambda: orchestrator.node(found.id).version != version):
        orchestrator.update_node(found.id, spec, version)
    return empty(200)


def remove(parts: Parts, call: Call) -> Reply:
    """Forget a node."""
    orchestrator = manager(parts)
    found = orchestrator.node(call.names["id"])
    with told():
        orchestrator.remove_node(found.id, force=call.query.flag("force"))
    return empty(200)
