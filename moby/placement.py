"""In which process each instance of a plan lives.

- A part chosen with `served: true`, or whose component outlives the engine or is a program in another language, has a
  process of its own.
- What only parts of one process need lives in that one with them: a served part's process has all that it dominates.
- What parts of several processes need has one process of its own too, and each of them a client; it outlives the
  engine where one of those does. A part that holds nothing (`served="copied"`) is made in each of them instead.
- All else lives in the engine.
"""

from moby.component import COPIED, OUTLIVES, PROGRAM
from moby.plan import ENGINE, Instance, Plan
from moby.values import evolve

__all__ = ["outliving", "placed", "processes"]


def placed(plan: Plan) -> Plan:
    """Return the plan with the processes of each instance."""
    where: dict[str, tuple[str, ...]] = {}
    users: dict[str, set[str]] = {each.key: set() for each in plan.instances}
    for instance in reversed(plan.instances):
        where[instance.key] = _place(instance, users[instance.key])
        for binding in instance.bindings.values():
            for target in binding.targets:
                users.setdefault(target, set()).update(where[instance.key])
    return evolve(plan, instances=tuple(evolve(each, processes=where[each.key]) for each in plan.instances))


def _place(instance: Instance, users: set[str]) -> tuple[str, ...]:
    if instance.served or instance.facts.served in (OUTLIVES, PROGRAM):
        return (instance.key,)
    if instance.facts.served == COPIED and users:
        return tuple(sorted(users))
    if len(users) > 1:
        return (instance.key,)
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
