"""Nodes in and out."""

from typing import Any

from moby.contracts.orchestrator import Availability, Node, NodeDescription, NodeSpec, Role
from moby.errors import Invalid
from moby_frontend.docker.swarm.policies import shown_machine
from moby_frontend.docker.swarm.strict import lowered, read_all
from moby_frontend.docker.times import rfc3339
from moby_frontend.docker.translate.forms import TEXT, TEXT_MAP, Field

__all__ = ["read_availability", "read_node", "show_node"]

_PLUGINS = {"log": "Log", "network": "Network", "volume": "Volume"}
_FIELDS = (Field("Name", "name", TEXT), Field("Labels", "labels", TEXT_MAP))


def read_availability(value: Any) -> Availability:
    """Return whether a node is to get tasks; Invalid in docker's words."""
    text = TEXT.read(value or "active", "Availability")
    try:
        return Availability(text)
    except ValueError:
        raise Invalid(f'invalid Availability: "{text}"') from None


def read_node(body: Any) -> NodeSpec:
    """Return what a NodeSpec says of a node."""
    found, lower = read_all(_FIELDS, body, "NodeSpec", ("Role", "Availability")), lowered(body, "NodeSpec")
    text = TEXT.read(lower.get("role") or "", "Role")
    try:
        role = Role(text)
    except ValueError:
        raise Invalid(f'invalid Role: "{text}"') from None
    if not lower.get("availability"):
        raise Invalid('invalid Availability: ""')
    return NodeSpec(**found, role=role, availability=read_availability(lower.get("availability")))


def show_node(node: Node) -> dict[str, Any]:
    """Return a node."""
    spec = {"Name": node.spec.name} if node.spec.name else {}
    shown: dict[str, Any] = {
        "ID": node.id,
        "Version": {"Index": node.version},
        "CreatedAt": rfc3339(node.created_ns),
        "UpdatedAt": rfc3339(node.updated_ns),
        "Spec": spec
        | {
            "Labels": dict(node.spec.labels),
            "Role": node.spec.role.value,
            "Availability": node.spec.availability.value,
        },
        "Description": _show_description(node.description),
        "Status": {
            "State": node.state.value,
            **({"Message": node.message} if node.message else {}),
            "Addr": node.address,
        },
    }
    if node.manager is not None:
        shown["ManagerStatus"] = {
            **({"Leader": True} if node.manager.leader else {}),
            "Reachability": "reachable" if node.manager.reachable else "unreachable",
            "Addr": node.manager.address,
        }
    return shown


def _show_description(description: NodeDescription) -> dict[str, Any]:
    generic = [
        {"DiscreteResourceSpec": {"Kind": kind, "Value": value}} for kind, value in sorted(description.generic.items())
    ]
    plugins = [{"Type": _PLUGINS.get(kind, kind), "Name": name} for kind, name in sorted(description.plugins or ())]
    return {
        "Hostname": description.hostname,
        "Platform": {
            "Architecture": shown_machine(description.platform.architecture),
            "OS": description.platform.os,
        },
        "Resources": {
            "NanoCPUs": description.nano_cpus,
            "MemoryBytes": description.memory_bytes,
            **({"GenericResources": generic} if generic else {}),
        },
        "Engine": {
            "EngineVersion": description.engine_version,
            **({"Labels": dict(description.labels)} if description.labels else {}),
            **({"Plugins": plugins} if plugins else {}),
        },
        "TLSInfo": {},
    }
