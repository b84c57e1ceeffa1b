"""The events that docker reports for each health check by a program inside: those of an exec."""

import secrets

from moby.contracts.supervisor import TaskEvent
from moby_containers.engine.entries import Entry
from moby_containers.engine.execs import said
from moby_containers.engine.merge import SHELL, effective_health
from moby_containers.engine.parts import Parts

__all__ = ["tell_probe"]


def tell_probe(parts: Parts, entry: Entry, event: TaskEvent) -> None:
    """Publish the events of one probe, from the start of its program to the end."""
    health = effective_health(entry.container.config.health)
    if health is None or event.exit is None:
        return
    kind, *words = health.test
    command = said((*SHELL, *words) if kind == "CMD-SHELL" else tuple(words))
    exec_id = secrets.token_hex(32)
    for action in (f"exec_create: {command}", f"exec_start: {command}"):
        parts.tell(entry.container, action, time_ns=event.time_ns, execID=exec_id)
    code = "unknown" if event.exit.code is None else str(event.exit.code)
    parts.tell(entry.container, "exec_die", time_ns=event.exit.time_ns, execID=exec_id, exitCode=code)
