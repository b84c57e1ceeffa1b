"""What there is: containers of services, whoever made them, and the services that follow from them."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from attrs import frozen

from moby.contracts.containers import Container, RestartPolicy, Status
from moby.contracts.orchestrator import (
    Condition,
    Dependency,
    Restart,
    RestartCondition,
    ServiceSpec,
    TaskState,
    TaskStatus,
)
from moby.values import evolve
from moby_orchestrator.compose import names
from moby_orchestrator.compose.keeping.values import DATA, OWN, Kept, Removal, Seen, key_of, whole_name
from moby_orchestrator.reconciling.health import health_of
from moby_orchestrator.reconciling.tasks import identify

__all__ = ["Grouped", "derived_id", "group", "moment_ns", "see", "status_of"]

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def moment_ns(text: str) -> int:
    """Return an RFC 3339 time in nanoseconds since the epoch; 0 for none."""
    if not text:
        return 0
    whole, _, fraction = text.rstrip("Z").partition(".")
    digits = fraction.partition("+")[0]
    seconds = (datetime.fromisoformat(f"{whole}+00:00") - _EPOCH).total_seconds()
    return int(seconds) * 10**9 + int(digits.ljust(9, "0")[:9] or 0)


def see(container: Container) -> Seen | None:
    """Return what a container is of a service; None for one of no service, and for `run`'s."""
    labels, state = container.config.labels, container.state
    if names.SERVICE not in labels or labels.get(names.ONEOFF) == "True":
        return None
    if names.PROJECT not in labels and OWN not in labels:
        return None
    number = labels.get(names.NUMBER, "")
    return Seen(
        id=container.id,
        name=container.name,
        application=labels.get(names.PROJECT, ""),
        key=labels[names.SERVICE],
        number=int(number) if number.isdecimal() else 0,
        owner=labels.get(OWN, ""),
        template=labels.get(names.HASH, ""),
        image_id=labels.get(names.IMAGE, ""),
        created_ns=moment_ns(container.created),
        status=state.status,
        started_ns=moment_ns(state.started),
        exit_code=state.exit_code,
        health=health_of(container),
        error=state.error,
        labels=labels,
    )


@frozen
class Grouped:
    """Containers by the services that they are of."""

    kept: Mapping[str, Kept]
    """What was kept and still is, and what docker compose began, by id."""
    seen: Mapping[str, tuple[Seen, ...]]
    lost: frozenset[str] = frozenset()
    """Ids of what was kept until docker compose took it over."""


def derived_id(application: str, key: str) -> str:
    """Return the id of a service that docker compose began."""
    return identify("compose", application, key)


def group(
    kept: Mapping[str, Kept], removals: Mapping[str, Removal], containers: Iterable[tuple[Seen, Container]]
) -> Grouped:
    """Say which container is of which service."""
    by_key = {(each.spec.application, key_of(each.spec.application, each.spec.name)): each for each in kept.values()}
    found: dict[str, list[Seen]] = {}
    others: dict[tuple[str, str], list[tuple[Seen, Container]]] = {}
    lost = set()
    for seen, container in containers:
        key = (seen.application, seen.key)
        service = by_key.get(key)
        if seen.owner in removals or (seen.owner in kept and seen.owner not in lost):
            found.setdefault(seen.owner, []).append(seen)
        elif derived_id(*key) in removals:
            found.setdefault(derived_id(*key), []).append(seen)
        elif service is not None and seen.created_ns <= service.updated_ns:
            found.setdefault(service.id, []).append(seen)
        else:
            others.setdefault(key, []).append((seen, container))
            if service is not None:
                lost.add(service.id)
    rest = {name: each for name, each in kept.items() if name not in lost}
    for key, there in others.items():
        service = _derived(key, there)
        rest[service.id] = service
        mine = [each for each, _ in there]
        mine += found.pop(by_key[key].id, []) if key in by_key else []
        found[service.id] = mine
    ordered = {name: tuple(sorted(each, key=_by_number)) for name, each in found.items()}
    return Grouped(rest, ordered, frozenset(lost))


def _by_number(seen: Seen) -> tuple[int, int]:
    return seen.number, seen.created_ns


def _derived(key: tuple[str, str], there: list[tuple[Seen, Container]]) -> Kept:
    """Return the service of containers that docker compose made, as the last one of them is."""
    last, container = max(there, key=lambda each: each[0].created_ns)
    config = container.config
    own = {
        name: text
        for name, text in config.labels.items()
        if not name.startswith(names.PREFIX) and name not in (DATA, OWN)
    }
    spec = ServiceSpec(
        name=whole_name(*key),
        container=evolve(config, labels=own, restart=RestartPolicy(), network="", endpoints={}, ports=()),
        application=key[0],
        replicas=len({each.number for each, _ in there}),
        restart=_restart(config.restart),
        networks={each.network: each.config for each in container.endpoints},
        dependencies=tuple(_dependencies(key[0], config.labels.get(f"{names.PREFIX}depends_on", ""))),
    )
    return Kept(
        id=derived_id(*key),
        spec=spec,
        template=last.template,
        image_id=last.image_id,
        created_ns=min(each.created_ns for each, _ in there),
        updated_ns=last.created_ns,
        adopted=True,
    )


def _restart(policy: RestartPolicy) -> Restart:
    conditions = {"no": RestartCondition.NONE, "": RestartCondition.NONE, "on-failure": RestartCondition.ON_FAILURE}
    condition = conditions.get(policy.name, RestartCondition.ANY)
    return Restart(condition, policy.delay_ns, policy.maximum_retries or policy.attempts, policy.window_ns)


def _dependencies(application: str, text: str) -> Iterable[Dependency]:
    for each in filter(None, text.split(",")):
        name, condition, restart = (*each.split(":"), "", "")[:3]
        known = condition if condition in set(Condition) else Condition.STARTED
        yield Dependency(whole_name(application, name), Condition(known), restart=restart == "true")


_STATES = {
    Status.RUNNING: TaskState.RUNNING,
    Status.PAUSED: TaskState.RUNNING,
    Status.RESTARTING: TaskState.STARTING,
    Status.CREATED: TaskState.READY,
    Status.REMOVING: TaskState.SHUTDOWN,
    Status.DEAD: TaskState.FAILED,
}


def status_of(container: Container) -> TaskStatus:
    """Return how a task is, of how its container is."""
    state = container.state
    found = _STATES.get(state.status, TaskState.COMPLETE if state.exit_code == 0 else TaskState.FAILED)
    if state.status is Status.CREATED and state.error:
        found = TaskState.FAILED
    ended = found in (TaskState.COMPLETE, TaskState.FAILED)
    moment = state.finished if ended else state.started
    return TaskStatus(
        state=found,
        time_ns=moment_ns(moment or container.created),
        started_ns=moment_ns(state.started),
        health=health_of(container),
        message=state.status,
        error=state.error,
        container_id=container.id,
        pid=state.pid,
        exit_code=state.exit_code if ended and state.started else None,
        ports=container.ports,
    )
