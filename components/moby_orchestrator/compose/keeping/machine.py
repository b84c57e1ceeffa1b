"""This machine, as a node: the only one."""

import os
from pathlib import Path

from moby.contracts.orchestrator import Manager, Node, NodeDescription, NodeSpec, Problem, Role, ServiceSpec
from moby.contracts.types import Platform
from moby_orchestrator.reconciling.rooms import demand_of, problems, rooms

__all__ = ["problems_of", "this_node"]


def this_node(id: str, created_ns: int) -> Node:
    """Return this machine."""
    return Node(
        id=id,
        spec=NodeSpec(role=Role.MANAGER),
        description=NodeDescription(
            hostname=os.uname().nodename,
            platform=Platform.host(),
            nano_cpus=len(os.sched_getaffinity(0)) * 10**9,
            memory_bytes=_memory_bytes(),
        ),
        since_ns=created_ns,
        manager=Manager(leader=True, reachable=True, address=""),
        created_ns=created_ns,
        updated_ns=created_ns,
    )


def _memory_bytes() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def problems_of(spec: ServiceSpec, node: Node) -> tuple[Problem, ...]:
    """Return why this machine can have none of a service's tasks; nothing where it can."""
    return problems(demand_of(spec), rooms([node], ()).values(), {}, 0)
