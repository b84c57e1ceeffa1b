"""What is to be done next, of what was asked for and what there is: pure, so that each plan is made anew."""

from collections.abc import Iterable, Iterator, Mapping

from attrs import define, field, frozen

from moby.contracts.containers import Status
from moby.contracts.orchestrator import Condition
from moby.contracts.supervisor import HealthStatus
from moby_orchestrator.compose.keeping.values import Kept, Removal, Seen, key_of

__all__ = ["Action", "Create", "Done", "Forget", "Rename", "Retire", "Start", "View", "plan", "waits_for"]


@frozen
class Create:
    """Make a service's container of a number, in place of one that is removed then, or of none."""

    service: str
    number: int
    replaces: str = ""


@frozen
class Start:
    """Start a container."""

    container: str


@frozen
class Retire:
    """Stop and remove a container."""

    container: str


@frozen
class Rename:
    """Give a container the name that it should have, since the one that had it is gone."""

    container: str
    name: str


@frozen
class Forget:
    """Keep a service no more: all its containers were removed by somebody else."""

    service: str


@frozen
class Done:
    """A removed service has no container any more."""

    service: str


Action = Create | Start | Retire | Rename | Forget | Done


@define
class View:
    """What a plan is made of."""

    kept: Mapping[str, Kept]
    """By id."""
    removals: Mapping[str, Removal]
    seen: Mapping[str, tuple[Seen, ...]]
    """By id of their services, also of removed ones; by number."""
    busy: frozenset[tuple[str, int] | str] = frozenset()
    """Services and numbers of which a container is being made, and containers to which something is done."""
    going: frozenset[str] = frozenset()
    """Containers of the busy ones that are being removed."""
    failed: frozenset[tuple[str, int]] = frozenset()
    """Those that couldn't be made: not tried again by itself."""
    unplaceable: frozenset[str] = frozenset()
    """Services that this machine can't have."""
    again: frozenset[str] = frozenset()
    """Containers that are to be started though they have run."""
    names: Mapping[str, Kept] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.names = {each.spec.name: each for each in self.kept.values()}

    def of(self, service: str) -> tuple[Seen, ...]:
        """Return a service's containers."""
        return self.seen.get(service, ())


def plan(view: View) -> tuple[Action, ...]:
    """Return what can be done now, all of it at once; nothing that is being done already."""
    taken = {each.name for containers in view.seen.values() for each in containers}
    found: list[Action] = []
    for service in view.kept.values():
        found += _service(view, service, taken)
    found += _removed(view)
    return tuple(found)


def _removed(view: View) -> Iterator[Action]:
    for removal in view.removals.values():
        there = view.of(removal.id)
        if any(each in view.removals for each in removal.after):
            continue
        yield from (Retire(each.id) for each in there if each.id not in view.busy)
        if not there and not any(each[0] == removal.id for each in view.busy if isinstance(each, tuple)):
            yield Done(removal.id)


def up_to_date(service: Kept, container: Seen) -> bool:
    """Return whether a container is as its service is."""
    return container.made_of == service.made_of and container.image_id in ("", service.image_id or container.image_id)


def _service(view: View, service: Kept, taken: set[str]) -> Iterator[Action]:
    if service.adopted:
        return  # it is docker compose's, which may be in the middle of changing it
    there = tuple(each for each in view.of(service.id) if each.id not in view.going)
    if service.id in view.unplaceable:
        yield from (Retire(each.id) for each in there if each.id not in view.busy)
        return
    making = {each[1] for each in view.busy if isinstance(each, tuple) and each[0] == service.id}
    if not there and not making and not service.missing and service.spec.replicas:
        yield Forget(service.id)
        return
    chosen, others = _chosen(service, there)
    for each in others:
        if each.id not in view.busy and each.number not in making:
            yield Retire(each.id)
    for each in chosen:
        if each.id in view.busy or each.number in making:
            continue
        if not up_to_date(service, each):
            if (service.id, each.number) not in view.failed:
                yield Create(service.id, each.number, each.id)
            continue
        name = wanted_name(service, each.number)
        if each.owner and name != each.name and name not in taken:
            yield Rename(each.id, name)
        elif _to_start(view, service, each):
            yield Start(each.id)
    yield from _missing(view, service, chosen, making, taken)


def _chosen(service: Kept, there: Iterable[Seen]) -> tuple[list[Seen], list[Seen]]:
    """Return containers that stay, one a number and no more than wanted, and all others."""
    best: dict[int, Seen] = {}
    others = []
    # Of two of a number the new one stays: the old one was to be removed by whoever died meanwhile.
    for each in sorted(there, key=lambda each: (not up_to_date(service, each), -each.created_ns, each.id)):
        if each.number in best:
            others.append(each)
        else:
            best[each.number] = each
    ordered = [best[number] for number in sorted(best)]
    return ordered[: service.spec.replicas], others + ordered[service.spec.replicas :]


def _to_start(view: View, service: Kept, container: Seen) -> bool:
    if container.running or container.status in (Status.RESTARTING, Status.REMOVING, Status.DEAD):
        return False
    fresh = container.status is Status.CREATED and not container.started_ns and not container.error
    return (fresh or container.id in view.again) and not waits_for(view, service)


def _missing(view: View, service: Kept, chosen: list[Seen], making: set[int], taken: set[str]) -> Iterator[Create]:
    used = {each.number for each in chosen} | making
    lost = [each[1] for each in view.failed if each[0] == service.id and each[1] not in used]
    count = min(service.missing - len(making), service.spec.replicas - len(used) - len(lost))
    number = 0
    while count > 0:
        number += 1
        if number in used or number in lost:
            continue
        count -= 1
        if wanted_name(service, number) not in taken:  # else one that is being removed has it still
            yield Create(service.id, number)


def wanted_name(service: Kept, number: int) -> str:
    """Return the name of a service's container of a number, as docker compose has it."""
    application = service.spec.application
    key = key_of(application, service.spec.name)
    return f"{application}-{key}-{number}" if application else f"{key}-{number}"


_WORDS = {
    Condition.STARTED: "to be started",
    Condition.HEALTHY: "to be healthy",
    Condition.COMPLETED: "to complete successfully",
}


def waits_for(view: View, service: Kept) -> str:
    """Return what a service's containers wait for before they are started; empty for nothing."""
    for dependency in service.spec.dependencies:
        other = view.names.get(dependency.service)
        if other is None:
            if dependency.required:
                return f"{dependency.service} to be created"
        elif not _holds(other, view.of(other.id), dependency.condition):
            return f"{dependency.service} {_WORDS[dependency.condition]}"
    return ""


def _holds(service: Kept, there: tuple[Seen, ...], condition: Condition) -> bool:
    def meets(each: Seen) -> bool:
        if not up_to_date(service, each):
            return False
        if condition is Condition.COMPLETED:
            return each.status is Status.EXITED and each.exit_code == 0
        if condition is Condition.HEALTHY:
            return each.running and each.health in (HealthStatus.NONE, HealthStatus.HEALTHY)
        return bool(each.started_ns)

    return sum(map(meets, there)) >= service.spec.replicas
