"""Applications: services with what they share."""

import re
from collections.abc import Iterator

from moby.contracts.orchestrator import (
    Application,
    Applied,
    Change,
    ConfigSpec,
    NetworkSpec,
    Outcome,
    SecretSpec,
    ServiceSpec,
    VolumeSpec,
)
from moby.errors import Conflict, Denied, Invalid, NotFound, Problem
from moby.values import evolve
from moby_orchestrator.reconciling.dependencies import order
from moby_orchestrator.reconciling.tasks import FINAL
from moby_orchestrator.swarm import specs
from moby_orchestrator.swarm.keeping import Configs, Secrets
from moby_orchestrator.swarm.parts import Parts
from moby_orchestrator.swarm.services import Services
from moby_orchestrator.swarm.store import Store
from moby_orchestrator.swarm.world import Leftover

__all__ = ["LABEL", "Applications", "clear_leftovers"]

LABEL = "com.docker.stack.namespace"
"""By which things are an application's; as docker's."""
_NAME = re.compile(r"[a-zA-Z0-9]+(?:[a-zA-Z0-9_.-]*[a-zA-Z0-9])?")


class Applications:
    """Applications of a store, with networks and volumes of this machine; see the contract."""

    def __init__(self, parts: Parts, store: Store, services: Services, secrets: Secrets, configs: Configs) -> None:
        self._parts, self._networks, self._volumes = parts, parts.networks, parts.volumes
        self._store, self._services, self._secrets, self._configs = store, services, secrets, configs

    def names(self) -> tuple[str, ...]:
        """Return the names of all applications."""
        world = self._store.world()
        named = {each.spec.application for each in world.services.values() if not each.removing}
        for labels in (
            *(each.secret.labels for each in world.secrets.values()),
            *(each.spec.labels for each in world.configs.values()),
        ):
            named.add(labels.get(LABEL, ""))
        return tuple(sorted(named - {""}))

    def apply(self, application: Application, *, prune: bool) -> Applied:
        """Make an application be as described."""
        wanted = self._checked(application)
        changes = [
            *(self._network(application.name, each) for each in application.networks),
            *(self._volume(application.name, each) for each in application.volumes),
            *(self._secret(application.name, each) for each in application.secrets),
            *(self._config(application.name, each) for each in application.configs),
            *(self._service(each) for each in wanted),
        ]
        described = {each.name for each in wanted}
        orphans = [each.spec.name for each in self._services.list(application.name) if each.spec.name not in described]
        if prune:
            for name in orphans:
                self._services.remove(name)
                changes.append(Change("service", name, Outcome.REMOVED))
            orphans = []
        return Applied(tuple(each for each in changes if each is not None), tuple(orphans))

    def _checked(self, application: Application) -> tuple[ServiceSpec, ...]:
        """Return its services in the order in which they begin; Invalid has every problem."""
        if not _NAME.fullmatch(application.name):
            hint = "it is of letters, digits, `_`, `-` and `.` between them"
            raise Invalid(f"invalid name of an application: {application.name!r}", hint=hint)
        problems: list[Problem] = []
        for spec in application.services:
            try:
                specs.check(spec)
            except Invalid as error:
                problems += [Problem(f"service {spec.name}: {each.message}") for each in error.problems]
            if spec.application not in ("", application.name):
                problems.append(Problem(f"service {spec.name} is the application {spec.application}'s"))
        names = [each.name for each in application.services]
        problems += [
            Problem(f"service {each} is described twice") for each in sorted({*names}) if names.count(each) > 1
        ]
        if problems:
            raise Invalid(problems[0].message, problems=tuple(problems))
        return order(evolve(each, application=application.name) for each in application.services)

    def _refuse_foreign(self, what: str, name: str, mine: bool) -> None:
        if not mine:
            raise Conflict(f"{what} {name} is there already, and isn't this application's")

    def _network(self, application: str, spec: NetworkSpec) -> Change | None:
        name = spec.network.name
        try:
            found = self._networks.get(name)
        except NotFound:
            if spec.external:
                raise NotFound(f"network {name} declared as external, but could not be found") from None
            labels = {**spec.network.labels, LABEL: application}
            closed = not spec.network.attachable
            self._networks.create(
                evolve(spec.network, driver=self._driver(spec), labels=labels, services_only=closed)
            )  # fmt: skip
            return Change("network", name, Outcome.CREATED)
        if spec.external:
            return None
        self._refuse_foreign("network", name, found.labels.get(LABEL) == application)
        with self._store.change() as draft:
            draft.leftovers.pop(f"network-{name}", None)
        return Change("network", name, Outcome.UNCHANGED)

    def _driver(self, spec: NetworkSpec) -> str:
        there = self._networks.drivers()
        return spec.network.driver or next((each for each in ("overlay", "bridge") if each in there), there[0])

    def _volume(self, application: str, spec: VolumeSpec) -> Change | None:
        try:
            found = self._volumes.get(spec.name)
        except NotFound:
            if spec.external:
                raise NotFound(f"volume {spec.name} declared as external, but could not be found") from None
            labels = {**spec.labels, LABEL: application}
            self._volumes.create(spec.name, spec.driver, spec.options, labels)
            return Change("volume", spec.name, Outcome.CREATED)
        if spec.external:
            return None
        self._refuse_foreign("volume", spec.name, found.labels.get(LABEL) == application)
        with self._store.change() as draft:
            draft.leftovers.pop(f"volume-{spec.name}", None)
        return Change("volume", spec.name, Outcome.UNCHANGED)

    def _secret(self, application: str, spec: SecretSpec) -> Change | None:
        labels = {**spec.labels, LABEL: application}
        kept = next((each for each in self._store.world().secrets.values() if each.secret.name == spec.name), None)
        if kept is None:
            if spec.external:
                raise NotFound(f"secret {spec.name} declared as external, but could not be found")
            self._secrets.create(evolve(spec, labels=labels))
            return Change("secret", spec.name, Outcome.CREATED)
        if spec.external:
            return None
        self._refuse_foreign("secret", spec.name, kept.secret.labels.get(LABEL) == application)
        if kept.data != spec.data:
            raise Conflict(f"secret {spec.name} has changed, which can't be", hint="give it another name")
        if kept.secret.labels != labels:
            self._secrets.label(spec.name, labels, None)
            return Change("secret", spec.name, Outcome.UPDATED)
        return Change("secret", spec.name, Outcome.UNCHANGED)

    def _config(self, application: str, spec: ConfigSpec) -> Change | None:
        labels = {**spec.labels, LABEL: application}
        kept = next((each for each in self._store.world().configs.values() if each.spec.name == spec.name), None)
        if kept is None:
            if spec.external:
                raise NotFound(f"config {spec.name} declared as external, but could not be found")
            self._configs.create(evolve(spec, labels=labels))
            return Change("config", spec.name, Outcome.CREATED)
        if spec.external:
            return None
        self._refuse_foreign("config", spec.name, kept.spec.labels.get(LABEL) == application)
        if kept.spec.data != spec.data:
            raise Conflict(f"config {spec.name} has changed, which can't be", hint="give it another name")
        if kept.spec.labels != labels:
            self._configs.label(spec.name, labels, None)
            return Change("config", spec.name, Outcome.UPDATED)
        return Change("config", spec.name, Outcome.UNCHANGED)

    def _service(self, spec: ServiceSpec) -> Change:
        there = next((each for each in self._services.list("") if each.spec.name == spec.name), None)
        if there is None:
            self._services.create(spec, None)
            return Change("service", spec.name, Outcome.CREATED)
        self._refuse_foreign("service", spec.name, there.spec.application == spec.application)
        if there.spec == spec:
            return Change("service", spec.name, Outcome.UNCHANGED)
        self._services.update(spec.name, spec, None, None)
        return Change("service", spec.name, Outcome.UPDATED)

    def remove(self, name: str, *, volumes: bool) -> tuple[Change, ...]:
        """Remove all that is an application's; networks and volumes go once its tasks have ended."""
        changes = [*self._removed_services(name)]
        world = self._store.world()
        for secret in [each.secret for each in world.secrets.values() if each.secret.labels.get(LABEL) == name]:
            self._secrets.remove(secret.id)
            changes.append(Change("secret", secret.name, Outcome.REMOVED))
        for config in [each for each in world.configs.values() if each.spec.labels.get(LABEL) == name]:
            self._configs.remove(config.id)
            changes.append(Change("config", config.spec.name, Outcome.REMOVED))
        going = {each.name for each in world.leftovers.values()}
        networks = [
            each.name for each in self._networks.list() if each.labels.get(LABEL) == name and each.name not in going
        ]
        there = [each.name for each in self._volumes.list() if each.labels.get(LABEL) == name] if volumes else []
        leftovers = [*(Leftover("network", each) for each in networks), *(Leftover("volume", each) for each in there)]
        with self._store.change() as draft:
            draft.leftovers.update({f"{each.type}-{each.name}": each for each in leftovers})
        clear_leftovers(self._parts, self._store)
        return (*changes, *(Change(each.type, each.name, Outcome.REMOVED) for each in leftovers))

    def _removed_services(self, name: str) -> Iterator[Change]:
        mine = {each.spec.name: each for each in self._services.list(name)}
        for spec in reversed(order(each.spec for each in mine.values())):
            self._services.remove(mine[spec.name].id)
            yield Change("service", spec.name, Outcome.REMOVED)


def clear_leftovers(parts: Parts, store: Store) -> bool:
    """Remove what nobody uses any more of what was to go; return whether something is still used."""
    world = store.world()
    leftovers = world.leftovers
    if not leftovers:
        return False
    # Of a task that hasn't ended a container may be made just now, which would make a volume anew.
    needed = {each for task in world.tasks.values() if task.status.state not in FINAL for each in _needs(task.spec)}
    on = {endpoint.network for each in parts.containers.list() for endpoint in each.endpoints}
    gone = []
    for key, each in leftovers.items():
        if (each.type, each.name) in needed:
            continue
        try:
            if each.type == "volume":
                parts.volumes.remove(each.name)
            elif each.name not in on:
                parts.networks.remove(each.name)
            else:
                continue
        except NotFound:
            pass
        except (Conflict, Denied):
            continue
        gone.append(key)
    if gone:
        with store.change() as draft:
            for key in gone:
                draft.leftovers.pop(key, None)
    return len(gone) < len(leftovers)


def _needs(spec: ServiceSpec) -> Iterator[tuple[str, str]]:
    yield from (("network", name) for name in spec.networks)
    yield from (("volume", each.source) for each in spec.container.mounts if each.type == "volume")
