"""What users' words mean: a name, an id, or a unique prefix of an id."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from moby.contracts.orchestrator import Node, Service, Task
from moby.errors import Conflict, Invalid, NotFound
from moby_orchestrator.swarm.world import Config, Kept

__all__ = ["check_version", "config", "node", "secret", "service", "task"]

V = TypeVar("V")


def _found(kind: str, name: str, table: Mapping[str, V], called: Callable[[V], str]) -> V:
    if name in table:
        return table[name]
    named = [each for each in table.values() if called(each) == name]
    if len(named) == 1:
        return named[0]
    if len(named) > 1:
        raise Invalid(f"{kind} {name} is ambiguous ({len(named)} matches found)", hint="name it by its id")
    begins = [value for key, value in table.items() if name and key.startswith(name)]
    if len(begins) > 1:
        raise Invalid(f"{kind} {name} is ambiguous ({len(begins)} matches found)", hint="give more of its id")
    if not begins:
        raise NotFound(f"{kind} {name} not found")
    return begins[0]


def service(name: str, services: Mapping[str, Service]) -> Service:
    """Return a service, none that is being removed."""
    there = {id: each for id, each in services.items() if not each.removing}  # noqa: A001
    return _found("service", name, there, lambda each: each.spec.name)


def task(name: str, tasks: Mapping[str, Task]) -> Task:
    """Return a task, of those called `SERVICE.SLOT` the newest."""
    called = [each for each in tasks.values() if name == f"{each.spec.name}.{each.slot or each.node_id}"]
    if called:
        return max(called, key=lambda each: each.attempt)
    return _found("task", name, tasks, lambda each: f"{each.spec.name}.{each.slot or each.node_id}.{each.id}")


def node(name: str, nodes: Mapping[str, Node], own: str) -> Node:
    """Return a node, also by its hostname; `self` is this machine."""
    return _found("node", own if name == "self" else name, nodes, lambda each: each.description.hostname)


def secret(name: str, secrets: Mapping[str, Kept]) -> Kept:
    """Return a secret."""
    return _found("secret", name, secrets, lambda each: each.secret.name)


def config(name: str, configs: Mapping[str, Config]) -> Config:
    """Return a config."""
    return _found("config", name, configs, lambda each: each.spec.name)


def check_version(version: int | None, present: int) -> None:
    """Refuse a change of what isn't as it was any more."""
    if version is not None and version != present:
        raise Conflict("update out of sequence", hint="look at it again, and change it as it is now")
