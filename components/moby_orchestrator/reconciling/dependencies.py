"""In which order services begin and end."""

from collections.abc import Iterable, Mapping

from moby.contracts.orchestrator import Condition, Mode, Service, ServiceSpec, TaskState
from moby.errors import Invalid
from moby_orchestrator.reconciling.view import Slot, View

__all__ = ["hinders_removal", "order", "waits_for"]

_FELL_SHORT = {
    Condition.STARTED: "to be started",
    Condition.HEALTHY: "to be healthy",
    Condition.COMPLETED: "to complete successfully",
}


def order(specs: Iterable[ServiceSpec]) -> tuple[ServiceSpec, ...]:
    """Return services with those that others wait for before these, else sorted by name; Invalid for a cycle."""
    by_name = {spec.name: spec for spec in sorted(specs, key=lambda spec: spec.name)}
    found: dict[str, ServiceSpec] = {}
    for name in by_name:
        # Depth first without recursion: a chain may be longer than the interpreter's stack.
        path, below = [name], [_names(by_name, name, found)]
        while path:
            if (following := next((each for each in below[-1]), None)) is None:
                done = path.pop()
                below.pop()
                found[done] = by_name[done]
                continue
            below[-1].remove(following)
            if following in path:
                cycle = " -> ".join([*path[path.index(following) :], following])
                raise Invalid(f"services wait for each other: {cycle}")
            if following not in found:
                path.append(following)
                below.append(_names(by_name, following, found))
    return tuple(found.values())


def _names(by_name: Mapping[str, ServiceSpec], name: str, found: Mapping[str, ServiceSpec]) -> list[str]:
    if name in found:
        return []
    return sorted(each.service for each in by_name[name].dependencies if each.service in by_name)


def waits_for(view: View, service: Service) -> str:
    """Return what a service's first tasks wait for; empty for nothing."""
    for dependency in service.spec.dependencies:
        other = view.names.get(dependency.service)
        if other is None:
            if dependency.required:
                return f"{dependency.service} to be created"
        elif not _holds(view, other, dependency.condition):
            return f"{dependency.service} {_FELL_SHORT[dependency.condition]}"
    return ""


def _holds(view: View, service: Service, condition: Condition) -> bool:
    meets = {Condition.STARTED: _started, Condition.HEALTHY: Slot.working, Condition.COMPLETED: _completed}[condition]
    slots = view.slots[service.id]
    if service.spec.mode in (Mode.GLOBAL, Mode.GLOBAL_JOB):
        return all(key in slots and meets(slots[key]) for key in view.eligible(service))
    wanted = service.spec.replicas
    if service.spec.mode is Mode.REPLICATED_JOB:
        wanted = service.spec.completions or wanted
    return sum(map(meets, slots.values())) >= wanted


def _started(slot: Slot) -> bool:
    return any(task.status.started_ns for task in slot.everything())


def _completed(slot: Slot) -> bool:
    return not slot.live and bool(slot.ended) and slot.ended[0].status.state is TaskState.COMPLETE


def hinders_removal(view: View, service: Service) -> bool:
    """Return whether a service that goes as well, and depends on this one, still has tasks."""
    return any(
        slot.live or slot.leaving
        for other in view.leaving_after.get(service.spec.name, ())
        for slot in view.slots[other.id].values()
    )
