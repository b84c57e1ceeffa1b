"""A plan as text that other tools draw: JSON data, Graphviz's dot, Mermaid."""

from collections.abc import Mapping
from typing import Any

from moby.graph.layout import arrange
from moby.plan import Instance, Plan

__all__ = ["data", "dot", "mermaid"]


def data(plan: Plan, sizes_bytes: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Return nodes and edges as JSON carries them; `bytes` is what each brings to the distribution, or null."""
    users: dict[str, list[str]] = {instance.key: [] for instance in plan.instances}
    for instance in plan.instances:
        for target in {target for binding in instance.bindings.values() for target in binding.targets}:
            users[target].append(instance.key)
    nodes = [_node(each, sorted(users[each.key]), (sizes_bytes or {}).get(each.facts.id)) for each in plan.instances]
    edges = [
        {"from": arrow.source, "to": arrow.target, "parameters": list(arrow.parameters)}
        for arrow in arrange(plan).arrows
    ]
    return {"schema": 1, "name": plan.name, "nodes": nodes, "edges": edges}


def _node(instance: Instance, users: list[str], size: int | None) -> dict[str, Any]:
    facts = instance.facts
    options = [
        {
            "name": option.name,
            "value": instance.config.get(option.name),
            "default": option.default,
            "open": option.name in instance.open,
            "help": option.help,
        }
        for option in facts.options
    ]
    return {
        "key": instance.key,
        "component": facts.id,
        "version": facts.version,
        "distribution": facts.distribution,
        "summary": facts.summary,
        "why": instance.reason,
        "options": options,
        "needs": {parameter: list(binding.targets) for parameter, binding in sorted(instance.bindings.items())},
        "users": users,
        "provides": list(facts.provides),
        "host": [f"{need.what} {need.name}{need.version}" for need in facts.host],
        "bytes": size,
    }


def dot(plan: Plan) -> str:
    """Return the plan in Graphviz's language."""
    lines = [f"digraph {_quoted(plan.name)} {{", "  rankdir=TB;", "  node [shape=box, style=rounded];"]
    for instance in plan.instances:
        label = _quoted(f"{instance.kind}\n{instance.name} {instance.facts.version}")
        lines.append(f"  {_quoted(instance.key)} [label={label}];")
    lines += [
        f"  {_quoted(arrow.source)} -> {_quoted(arrow.target)} [label={_quoted(', '.join(arrow.parameters))}];"
        for arrow in arrange(plan).arrows
    ]
    return "\n".join([*lines, "}", ""])


def mermaid(plan: Plan) -> str:
    """Return the plan as a Mermaid flowchart."""
    number = {instance.key: f"n{index}" for index, instance in enumerate(plan.instances)}
    lines = ["flowchart TB"]
    for instance in plan.instances:
        label = f"{instance.kind}<br/><b>{instance.name}</b> {instance.facts.version}"
        lines.append(f'  {number[instance.key]}["{_entities(label)}"]')
    lines += [
        f'  {number[arrow.source]} -->|"{_entities(", ".join(arrow.parameters))}"| {number[arrow.target]}'
        for arrow in arrange(plan).arrows
    ]
    return "\n".join([*lines, ""])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _entities(text: str) -> str:
    return text.replace('"', "#quot;")
