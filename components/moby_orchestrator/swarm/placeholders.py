"""Docker's placeholders in what a service's tasks are made of, as `{{.Task.Slot}}` (docker-service-create(1))."""

import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from moby.contracts.orchestrator import Node, Task
from moby.errors import Invalid

__all__ = ["Context", "expand"]

_PLACEHOLDER = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.DOTALL)
Context = Mapping[str, Any]


def context_of(task: Task, node: Node | None) -> Context:
    """Return what placeholders of a task mean."""
    slot = str(task.slot) if task.slot else task.node_id
    description = node.description if node else None
    return {
        "Service": {"ID": task.service_id, "Name": task.spec.name, "Labels": task.spec.labels},
        "Node": {
            "ID": task.node_id,
            "Hostname": description.hostname if description else "",
            "Platform": {
                "OS": description.platform.os if description else "",
                "Architecture": description.platform.architecture if description else "",
            },
        },
        "Task": {"ID": task.id, "Name": f"{task.spec.name}.{slot}.{task.id}", "Slot": slot},
    }


def expand(text: str, context: Context, functions: Mapping[str, Callable[[str], str]] | None = None) -> str:
    """Return a text with its placeholders filled in; Invalid names one that nobody knows.

    `functions` are those with one argument, as `{{secret "name"}}`.
    """
    if "{{" not in text:
        return text
    return _PLACEHOLDER.sub(lambda found: _value(found.group(1), context, functions or {}), text)


def _value(words: str, context: Context, functions: Mapping[str, Callable[[str], str]]) -> str:
    try:
        first, *rest = shlex.split(words)
        if first == "index" and len(rest) == 2 and rest[0].startswith("."):
            return str(_looked_up(rest[0], context).get(rest[1], ""))
        if first.startswith(".") and not rest:
            found = _looked_up(first, context)
            if not isinstance(found, Mapping):
                return str(found)
        if first in functions and len(rest) == 1:
            return functions[first](rest[0])
    except (ValueError, KeyError, AttributeError):
        pass
    raise Invalid(f"expanding template {{{{{words}}}}} failed", hint="see docker-service-create(1), placeholders")


def _looked_up(path: str, context: Context) -> Any:
    found: Any = context
    for each in path[1:].split("."):
        found = found[each]
    return found
