"""What this engine is in a swarm: who may be asked, and what is said to those who ask the wrong one."""

from typing import Any

from moby.contracts.orchestrator import Cluster, ClusterState, Orchestrator, Role
from moby.errors import MobyError, Unavailable, Unsupported
from moby_frontend.docker.failures import message
from moby_frontend.docker.parts import Parts
from moby_frontend.docker.swarm.cluster import show_cluster

__all__ = ["LOCKED", "NO_MANAGER", "NO_PART", "cluster", "info", "manager", "membership", "role"]

NO_MANAGER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again."
)
WORKER = (
    "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this "
    "command on a manager node or promote the current node to a manager."
)
LOCKED = (
    'Swarm is encrypted and needs to be unlocked before it can be used. Please use "docker swarm unlock" to unlock it.'
)
NO_PART = "This node is not part of a swarm"
_NO_ORCHESTRATOR = "this engine has no orchestrator, so it can't be part of a swarm"


def cluster(parts: Parts) -> Cluster:
    """Return what this machine's membership is changed by; Unavailable where the engine has no such thing."""
    if parts.orchestrator is None:
        raise Unavailable(_NO_ORCHESTRATOR, hint="assemble an engine that has an orchestrator")
    try:
        return parts.orchestrator.cluster()
    except Unsupported:
        raise Unavailable("this engine's orchestrator keeps one machine alone, so it can't be part of a swarm",
                          hint="assemble an engine with the orchestrator `swarm`") from None  # fmt: skip


def membership(parts: Parts) -> ClusterState | None:
    """Return what is known of the swarm that this machine is part of; None where it is of none, or can't be."""
    if parts.orchestrator is None:
        return None
    try:
        return parts.orchestrator.cluster().state()
    except Unsupported:
        return None


def manager(parts: Parts) -> Orchestrator:
    """Return the orchestrator of a swarm's manager; Unavailable in docker's words where this is none."""
    state = membership(parts)
    if state is None or parts.orchestrator is None:
        raise Unavailable(NO_MANAGER)
    if state.locked:
        raise Unavailable(LOCKED)
    if not state.manager:
        raise Unavailable(WORKER)
    return parts.orchestrator


def role(parts: Parts) -> str:
    """Return what `ping` says: `inactive`, `locked`, `error`, `active/worker` or `active/manager`."""
    try:
        state = membership(parts)
    except MobyError:
        return "error"
    if state is None:
        return "inactive"
    if state.locked:
        return "locked"
    return "active/manager" if state.manager else "active/worker"


def info(parts: Parts) -> dict[str, Any]:
    """Return the Swarm of `info`."""
    shown: dict[str, Any] = {
        "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": False, "Error": "",
        "RemoteManagers": None,
    }  # fmt: skip
    try:
        state = membership(parts)
    except MobyError as error:
        return shown | {"LocalNodeState": "error", "Error": message(error)}
    if state is None:
        return shown
    shown |= {"NodeID": state.node_id, "NodeAddr": state.address.rpartition(":")[0] or state.address}
    if state.locked:
        return shown | {"LocalNodeState": "locked", "Error": LOCKED}
    shown["LocalNodeState"] = "active"
    if not state.manager or parts.orchestrator is None:
        return shown | {"RemoteManagers": [{"NodeID": "", "Addr": each} for each in state.managers] or None}
    return shown | _of_a_manager(parts, parts.orchestrator, state)


def _of_a_manager(parts: Parts, orchestrator: Orchestrator, state: ClusterState) -> dict[str, Any]:
    try:
        nodes = orchestrator.nodes()
    except MobyError as error:
        parts.log.warning("the orchestrator doesn't say which nodes there are", error=str(error))
        nodes = ()
    managers = [each for each in nodes if each.manager is not None]
    shown = [{"NodeID": each.id, "Addr": each.manager.address} for each in managers if each.manager]
    return {
        "ControlAvailable": True,
        "RemoteManagers": shown or [{"NodeID": "", "Addr": each} for each in state.managers] or None,
        "Nodes": len(nodes),
        "Managers": sum(each.spec.role is Role.MANAGER for each in nodes),
        "Cluster": show_cluster(state),
    }
