"""In which process each instance of a plan lives.

- A part chosen with `served: true`, or whose component outlives the engine or is a program in another language, has a
  process of its own.
- What only parts of one process need lives in that one with them: a served part's process has all that it dominates.
- What parts of several processes need has one process of its own too, and each of them a client; it outlives the
  engine where one of those does. A part that holds nothing (`served="copied"`) is made in each of them instead.
- All else lives in the engine.
"""

from collections.abc import Mapping, Sequence

from moby.component import COPIED, OUTLIVES, PROGRAM
from moby.plan import ENGINE, Plan
from moby.values import evolve

__all__ = ["OWN", "UNSERVED", "homes", "outliving", "placed", "processes"]

OWN = "own"
"""What is said of a part that the assembly has served."""


UNSERVED: Mapping[str, str] = {
    "builder": "its sessions and its leases are of the process that its clients are in",
    "command": "it is of the process that a user called: its streams, its exit code",
    "events": "it asks each reader's own function, under a lock, about every event, and may wait for nobody",
    "frontend": "its sockets and its clients' requests are the engine's own",
    "images": "it takes leases of blobs and snapshots from others and hands them on, which are of one process",
    "packager": "it works where artifacts are built, which is no engine",
    "runtime": "containers are children of the supervisor that starts them by it",
    "tracer": "spans lie in each other by thread, and asking another process would cost more than what they measure",
}
"""Kinds whose parts live in the process of who uses them, and why; all others may have one of their own."""


def placed(plan: Plan) -> Plan:
    """Return the plan with the processes of each instance."""
    needs = {
        each.key: tuple(target for binding in each.bindings.values() for target in binding.targets)
        for each in plan.instances
    }
    says = {each.key: OWN if each.served else each.facts.served for each in plan.instances}
    where = homes(needs, says)
    return evolve(plan, instances=tuple(evolve(each, processes=where[each.key]) for each in plan.instances))


def homes(needs: Mapping[str, Sequence[str]], says: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return the processes of each part by key, from what it needs, in start order, and what is said of it.

    That is OWN where the assembly has it served, else what its component says.
    """
    where: dict[str, tuple[str, ...]] = {}
    users: dict[str, set[str]] = {key: set() for key in needs}
    for key in [*needs][::-1]:
        where[key] = _home(key, says[key], users[key])
        for target in needs[key]:
            users.setdefault(target, set()).update(where[key])
    return where


def _home(key: str, says: str, users: set[str]) -> tuple[str, ...]:
    if says in (OWN, OUTLIVES, PROGRAM):
        return (key,)
    if says == COPIED and users:
        return tuple(sorted(users))
    if len(users) > 1:
        return (key,)
    return (users.pop(),) if users else (ENGINE,)


def processes(plan: Plan) -> tuple[str, ...]:
    """Return the keys of the parts that have processes of their own, in the order in which they start."""
    return tuple(each.key for each in plan.instances if each.key in each.processes)


def outliving(plan: Plan) -> frozenset[str]:
    """Return the keys of those whose processes outlive the engine: they say so, or one who needs them does."""
    found: set[str] = set()
    for instance in reversed(plan.instances):
        own = instance.key in instance.processes
        if own and instance.facts.served == OUTLIVES:
            found.add(instance.key)
        if found & set(instance.processes):
            needed = {target for binding in instance.bindings.values() for target in binding.targets}
            found |= {each.key for each in plan.instances if each.key in needed and each.key in each.processes}
    return frozenset(found)
