"""What users ask of services."""

from collections.abc import Mapping

from moby.contracts.ambient import Clock
from moby.contracts.image_registry import Credentials
from moby.contracts.networks import Networks
from moby.contracts.orchestrator import Mode, Service, ServiceSpec, Task, UpdateState
from moby.errors import Conflict, Invalid, Unsupported
from moby.values import evolve
from moby_orchestrator.reconciling import changes
from moby_orchestrator.reconciling.template import fingerprint
from moby_orchestrator.swarm import finding, specs
from moby_orchestrator.swarm.sealing import fresh_id
from moby_orchestrator.swarm.store import Draft, Store

__all__ = ["Services"]

_PAUSED = (UpdateState.PAUSED, UpdateState.ROLLBACK_PAUSED)


class Services:
    """Services of a store; see the contract."""

    def __init__(self, store: Store, networks: Networks, clock: Clock) -> None:
        self._store, self._networks, self._clock = store, networks, clock

    def create(self, spec: ServiceSpec, credentials: Credentials | None) -> Service:
        """Begin to keep a service."""
        specs.check(spec)
        specs.check_networks(spec, self._networks)
        id = fresh_id()  # noqa: A001
        with self._store.change() as draft:
            # One that is going may still be there beside the one that has its name.
            if any(each.spec.name == spec.name and not each.removing for each in draft.services.values()):
                raise Conflict(f"name conflicts with an existing object: service {spec.name} already exists")
            self._put(draft, changes.created(id, spec, self._clock.now_ns()), credentials)
        return self._there(id)

    def update(self, name: str, spec: ServiceSpec, version: int | None, credentials: Credentials | None) -> Service:
        """Change a service."""
        specs.check(spec)
        specs.check_networks(spec, self._networks)
        with self._store.change() as draft:
            service = finding.service(name, draft.services)
            finding.check_version(version, service.version)
            if spec.name != service.spec.name:
                raise Unsupported("renaming services is not supported", hint="create another one")
            if spec.mode is not service.spec.mode:
                raise Unsupported("service mode change is not allowed", hint="remove it, and create it anew")
            self._put(draft, changes.updated(service, spec, self._clock.now_ns()), credentials)
        return self._there(service.id)

    def _put(self, draft: Draft, service: Service, credentials: Credentials | None) -> None:
        specs.check_references(service.spec, draft)
        ports = specs.published(service.spec, service.id, draft.services)
        draft.services[service.id] = evolve(service, ports=ports)
        if credentials is not None:
            draft.credentials[service.id] = credentials
        _follow(draft.services)

    def scale(self, name: str, replicas: int, version: int | None) -> Service:
        """Have so many tasks."""
        with self._store.change() as draft:
            service = finding.service(name, draft.services)
            finding.check_version(version, service.version)
            if service.spec.mode is not Mode.REPLICATED:
                raise Invalid(
                    "scale can only be used with replicated mode", hint=f"{name} is {service.spec.mode.value}"
                )
            spec = evolve(service.spec, replicas=replicas)
            specs.check(spec)
            if replicas != service.spec.replicas:
                self._put(draft, changes.updated(service, spec, self._clock.now_ns()), None)
        return self._there(service.id)

    def roll_back(self, name: str, version: int | None) -> Service:
        """Make a service be as before its last update."""
        with self._store.change() as draft:
            service = finding.service(name, draft.services)
            finding.check_version(version, service.version)
            back = changes.rolled_back(service, "manually requested rollback", self._clock.now_ns())
            # What it is now is what a second one goes back to, as with docker.
            back = evolve(back, previous=service.spec, previous_template=service.template)
            self._put(draft, back, None)
        return self._there(service.id)

    def remove(self, name: str) -> None:
        """End a service and its tasks."""
        with self._store.change() as draft:
            service = finding.service(name, draft.services)
            draft.services[service.id] = evolve(service, removing=True, updated_ns=self._clock.now_ns())

    def _there(self, id: str) -> Service:
        return self._store.world().services[id]

    def get(self, name: str) -> Service:
        """Return a service."""
        return finding.service(name, self._store.world().services)

    def list(self, application: str) -> tuple[Service, ...]:
        """Return all services, or an application's."""
        there = (each for each in self._store.world().services.values() if not each.removing)
        wanted = (each for each in there if not application or each.spec.application == application)
        return tuple(sorted(wanted, key=lambda each: each.spec.name))

    def task(self, name: str) -> Task:
        """Return a task."""
        return finding.task(name, self._store.world().tasks)

    def tasks(self, service: str, node: str, own: str) -> tuple[Task, ...]:
        """Return tasks."""
        world = self._store.world()
        service_id = finding.service(service, world.services).id if service else ""
        node_id = finding.node(node, world.nodes, own).id if node else ""
        wanted = (
            each
            for each in world.tasks.values()
            if service_id in ("", each.service_id) and node_id in ("", each.node_id)
        )
        return tuple(
            sorted(wanted, key=lambda each: (each.spec.name, each.service_id, each.slot, each.node_id, -each.attempt))
        )


def _follow(services: dict[str, Service]) -> None:
    """Have tasks be replaced of services that are to follow a change of those that they depend on."""
    follow = [each for each in services.values() if any(other.restart for other in each.spec.dependencies)]
    for _ in follow:
        templates = _templates(services)
        for each in follow:
            service = services[each.id]
            template = fingerprint(service.spec, templates)
            if template != service.template:
                paused = service.update is not None and service.update.state in _PAUSED
                update = service.update if paused else None
                services[each.id] = evolve(service, template=template, update=update)


def _templates(services: Mapping[str, Service]) -> Mapping[str, str]:
    return {each.spec.name: each.template for each in services.values() if not each.removing}
