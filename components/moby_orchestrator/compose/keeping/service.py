"""The contract over this engine's own parts."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NoReturn, Self

from moby.contracts.containers import Status
from moby.contracts.events import Event, Subscription
from moby.contracts.image_registry import Credentials
from moby.contracts.log_driver import LogQuery
from moby.contracts.metadata import Metadata
from moby.contracts.orchestrator import (
    Application,
    Applied,
    Change,
    Cluster,
    Config,
    ConfigSpec,
    Node,
    NodeSpec,
    Outcome,
    RestartCondition,
    Secret,
    SecretSpec,
    Service,
    ServiceSpec,
    Task,
)
from moby.contracts.types import Fd
from moby.errors import Conflict, Invalid, NotFound, Unsupported
from moby.values import evolve
from moby_orchestrator.compose import names
from moby_orchestrator.compose.keeping import checking, reading
from moby_orchestrator.compose.keeping.following import TYPE, Following, concerns
from moby_orchestrator.compose.keeping.loop import Loop
from moby_orchestrator.compose.keeping.machine import this_node
from moby_orchestrator.compose.keeping.parts import Parts
from moby_orchestrator.compose.keeping.sharing import Sharing
from moby_orchestrator.compose.keeping.shelf import Shelf
from moby_orchestrator.compose.keeping.telling import tasks_of
from moby_orchestrator.compose.keeping.values import Kept, Removal, key_of
from moby_orchestrator.reconciling.dependencies import order
from moby_orchestrator.reconciling.tasks import identify
from moby_orchestrator.reconciling.template import fingerprint

__all__ = ["Compose"]


class Compose:
    """See the contract. What it answered for is in the metadata, what there is in labels of containers."""

    def __init__(self, parts: Parts, metadata: Metadata, folder: Path) -> None:
        self._parts = parts
        self._shelf = Shelf(metadata, folder / "data")
        self._sharing = Sharing(parts)
        self._loop = Loop(parts, self._shelf, self._sharing, self._node)

    def __enter__(self) -> Self:
        self._shelf.load()
        self._this = this_node(self._shelf.node_id(), self._parts.clock.now_ns())
        self._loop.start()
        self._loop.wake()
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.stop()

    def _node(self) -> Node:
        return self._this

    # Applications

    def apply(self, application: Application, *, prune: bool = False) -> Applied:
        """Make an application be as described."""
        checking.application(application)
        with self._loop.lock:
            known = {each.spec.name: each for each in self._all().values()}
            self._refuse(application, known)
            self._shelf.stay(application.name)
            changes = self._sharing.make(application)
            for kind, files in (("secrets", application.secrets), ("configs", application.configs)):
                self._shelf.store(application.name, kind, {each.name: each.data for each in files})
            for spec in order(application.services):
                changes.append(self._apply(spec, known.get(spec.name)))
                known = {each.spec.name: each for each in self._all().values()}
            wanted = {spec.name for spec in application.services}
            orphans = sorted(name for name, each in known.items() if each.spec.application == application.name)
            orphans = [name for name in orphans if name not in wanted]
            if prune and orphans:
                self._remove([known[name] for name in orphans])
                changes += [Change(TYPE, name, Outcome.REMOVED) for name in orphans]
        self._loop.wake()
        return Applied(tuple(changes), () if prune else tuple(orphans))

    def _refuse(self, application: Application, known: Mapping[str, Kept]) -> None:
        """Refuse names of others', and what an application needs that isn't there."""
        for spec in application.services:
            other = known.get(spec.name)
            if other is not None and other.spec.application != application.name:
                whose = f"the application {other.spec.application}" if other.spec.application else "none"
                raise Conflict(f"the name {spec.name} is a service's of {whose}", hint="choose another name")
            checking.networks(spec, {each.network.name for each in application.networks}, self._parts.networks.get)
            checking.references_of(
                spec, {each.name for each in application.secrets}, {each.name for each in application.configs}
            )
            checking.ports(spec, (each for each in known.values() if each.spec.name != spec.name))
        self._sharing.refuse(application)

    def _apply(self, spec: ServiceSpec, old: Kept | None) -> Change:
        if old is None:
            self._keep_new(spec)
            return Change(TYPE, spec.name, Outcome.CREATED)
        image_id = self._image_id(spec)
        same = not old.adopted and old.spec == spec and old.template == self._template(spec)
        complete = self._complete(old)
        if (same or self._as_composed(spec, old)) and old.image_id in ("", image_id or old.image_id) and complete:
            return Change(TYPE, spec.name, Outcome.UNCHANGED)
        self._keep_changed(old, spec)
        return Change(TYPE, spec.name, Outcome.UPDATED)

    def _as_composed(self, spec: ServiceSpec, old: Kept) -> bool:
        """Whether a service that docker compose began is as described: by the hash of the same file."""
        given = spec.container.labels.get(names.HASH)
        return old.adopted and given == old.template and spec.replicas == old.spec.replicas

    def _complete(self, service: Kept) -> bool:
        """Whether nothing of it was removed or ended that should run; what has ended is started again."""
        grouped, _ = self._loop.look()
        there = grouped.seen.get(service.id, ())
        condition = service.spec.restart.condition
        for each in there:
            ended = each.status is Status.EXITED or (each.status is Status.CREATED and bool(each.error))
            wants = condition is RestartCondition.ANY or (
                condition is RestartCondition.ON_FAILURE and each.exit_code != 0
            )
            if ended and (wants or bool(each.error)):
                self._loop.again.add(each.id)
        slots = {slot for slot in self._loop.failed if slot[0] == service.id}
        for slot in slots:
            del self._loop.failed[slot]
        return len(there) >= service.spec.replicas or bool(service.missing)

    def applications(self) -> tuple[str, ...]:
        """Return the names of all applications."""
        return tuple(sorted({each.spec.application for each in self._all().values() if each.spec.application}))

    def remove_application(self, name: str, *, volumes: bool = False) -> tuple[Change, ...]:
        """Remove all that is an application's."""
        if not name:
            return ()
        with self._loop.lock:
            mine = [each for each in self._all().values() if each.spec.application == name]
            by_name = {each.spec.name: each for each in mine}
            ordered = [by_name[each.name] for each in reversed(order([each.spec for each in mine]))]
            changes = [Change(TYPE, each.spec.name, Outcome.REMOVED) for each in ordered]
            self._remove(ordered)
            changes += self._sharing.own(name, volumes=volumes)
            self._shelf.discard(name)
            if changes:
                self._shelf.leave(name, volumes=volumes)
                self._loop.settle()
        self._loop.wake()
        return tuple(changes)

    # Services

    def create(self, spec: ServiceSpec, *, credentials: Credentials | None = None) -> Service:
        """Begin to keep a service."""
        checking.service(spec)
        with self._loop.lock:
            there = self._all()
            if spec.name in {each.spec.name for each in there.values()}:
                raise Conflict(f"service {spec.name} already exists", hint="choose another name, or update it")
            checking.networks(spec, (), self._parts.networks.get)
            checking.references_of(spec, self._data(spec, "secrets"), self._data(spec, "configs"))
            checking.ports(spec, there.values())
            kept = self._keep_new(spec, credentials)
        self._loop.wake()
        return self._shown(kept)

    def _data(self, spec: ServiceSpec, kind: str) -> list[str]:
        given = spec.secrets if kind == "secrets" else spec.configs
        return [each.source for each in given if self._shelf.digest(spec.application, kind, each.source)]

    def _keep_new(self, spec: ServiceSpec, credentials: Credentials | None = None) -> Kept:
        now = self._parts.clock.now_ns()
        kept = Kept(
            identify(spec.name, spec.application, now),
            spec,
            self._template(spec),
            self._image_id(spec),
            1,
            now,
            now,
            spec.replicas,
        )
        if credentials is not None:
            self._loop.credentials[kept.id] = credentials
        self._shelf.keep(kept)
        self._tell("create", kept)
        return kept

    def _keep_changed(self, old: Kept, spec: ServiceSpec, template: str = "") -> Kept:
        grouped, _ = self._loop.look()
        there = len({each.number for each in grouped.seen.get(old.id, ()) if each.id not in self._loop.going()})
        now = self._parts.clock.now_ns()
        kept = Kept(
            old.id, spec, template or self._template(spec), self._image_id(spec), old.version + 1,
            old.created_ns, now, max(0, spec.replicas - there),
        )  # fmt: skip
        for slot in [each for each in self._loop.failed if each[0] == old.id]:
            del self._loop.failed[slot]
        self._shelf.keep(kept)
        self._tell("update", kept)
        return kept

    def update(
        self, name: str, spec: ServiceSpec, version: int | None = None, *, credentials: Credentials | None = None
    ) -> Service:
        """Change a service; the last change holds, whatever version it says."""
        with self._loop.lock:
            old = self._find(name)
            if spec.name != old.spec.name or spec.application != old.spec.application:
                raise Unsupported(f"service {old.spec.name} can't be renamed", hint="create another one")
            if spec.mode is not old.spec.mode:
                raise Unsupported(f"service {old.spec.name} can't have another mode", hint="create another one")
            checking.service(spec)
            checking.networks(spec, (), self._parts.networks.get)
            checking.references_of(spec, self._data(spec, "secrets"), self._data(spec, "configs"))
            checking.ports(spec, (each for each in self._all().values() if each.id != old.id))
            if credentials is not None:
                self._loop.credentials[old.id] = credentials
            kept = self._keep_changed(old, spec)
        self._loop.wake()
        return self._shown(kept)

    def scale(self, name: str, replicas: int, version: int | None = None) -> Service:
        """Have so many tasks; those there are stay as they are, also docker compose's."""
        with self._loop.lock:
            old = self._find(name)
            spec = evolve(old.spec, replicas=replicas)
            checking.service(spec)
            kept = self._keep_changed(old, spec, old.template)
        self._loop.wake()
        return self._shown(kept)

    def roll_back(self, name: str, version: int | None = None) -> NoReturn:
        """Refuse: nothing is rolled out step by step."""
        self._find(name)
        raise Unsupported("rolling back isn't done here", hint="apply what was there before")

    def remove(self, name: str) -> None:
        """End a service and its tasks."""
        with self._loop.lock:
            self._remove([self._find(name)])
        self._loop.wake()

    def _remove(self, services: Iterable[Kept]) -> None:
        """Begin to remove services, each after those that depend on it."""
        found: list[Removal] = []
        going = list(services)
        for each in going:
            after = [
                other.id for other in going if any(one.service == each.spec.name for one in other.spec.dependencies)
            ]
            application = each.spec.application
            found.append(Removal(each.id, application, key_of(application, each.spec.name), tuple(after)))
            self._loop.credentials.pop(each.id, None)
        self._shelf.remove(*found)
        for each in going:
            self._tell("remove", each)

    def service(self, name: str) -> Service:
        """Return a service."""
        return self._shown(self._find(name))

    def services(self, application: str = "") -> tuple[Service, ...]:
        """Return all services, or an application's."""
        found = sorted(self._all().values(), key=lambda each: each.spec.name)
        return tuple(self._shown(each) for each in found if application in ("", each.spec.application))

    # Tasks and nodes

    def task(self, name: str) -> Task:
        """Return a task, by its id or as `SERVICE.SLOT`."""
        everything = self.tasks()
        for each in everything:
            if name in (each.id, f"{each.spec.name}.{each.slot}"):
                return each
        found = [each for each in everything if name and each.id.startswith(name)]
        if len(found) > 1:
            raise Invalid(f"task {name} is ambiguous: {', '.join(each.id for each in found)}")
        if not found:
            raise NotFound(f"task {name} not found")
        return found[0]

    def tasks(self, service: str = "", node: str = "") -> tuple[Task, ...]:
        """Return tasks, by service and slot."""
        only = self._find(service).id if service else ""
        if node:
            self.node(node)
        with self._loop.lock:
            grouped, there = self._loop.look()
            view, failed = self._loop.view(grouped), dict(self._loop.failed)
        kept = sorted(grouped.kept.values(), key=lambda each: each.spec.name)
        return tuple(
            task for each in kept if only in ("", each.id) for task in tasks_of(each, view, there, failed, self._this)
        )

    def node(self, name: str) -> Node:
        """Return this machine."""
        node = self._this
        if name in ("self", node.id, node.description.hostname) or (name and node.id.startswith(name)):
            return node
        raise NotFound(f"node {name} not found")

    def nodes(self) -> tuple[Node, ...]:
        """Return this machine."""
        return (self._this,)

    def update_node(self, name: str, spec: NodeSpec, version: int | None = None) -> NoReturn:
        """Refuse: there is one machine, as it is."""
        raise Unsupported("nodes aren't changed here: there is one machine", hint="use an orchestrator of many")

    def remove_node(self, name: str, *, force: bool = False) -> NoReturn:
        """Refuse."""
        raise Unsupported("nodes aren't removed here: there is one machine", hint="use an orchestrator of many")

    # What is told

    def watch(self, since_ns: int = 0) -> Subscription:
        """Follow what changes."""
        return Following(self._parts.events.subscribe(since_ns, concerns))

    def _tell(self, action: str, kept: Kept) -> None:
        attributes = {"name": kept.spec.name, "application": kept.spec.application}
        self._parts.events.publish(Event(TYPE, action, kept.id, attributes))

    def logs(self, name: str, query: LogQuery) -> Fd:
        """Return a descriptor to read the output of a service's tasks, or of a task; of those there are by now."""
        found = self._tasks_for_logs(name)
        containers = [each for each in found if each.status.container_id]
        if len(containers) == 1 and not query.details:
            return self._parts.containers.logs(containers[0].status.container_id, query)
        sources = []
        for each in containers:
            fd = self._parts.containers.logs(each.status.container_id, evolve(query, details=False))
            sources.append((fd, self._details(each) if query.details else {}))
        terminal = any(each.spec.container.terminal for each in containers)
        return reading.merged(sources, framed=query.framed and not terminal, timestamps=query.timestamps)

    def _details(self, task: Task) -> Mapping[str, str]:
        prefix = "com.docker.swarm"
        return {
            f"{prefix}.node.id": task.node_id,
            f"{prefix}.service.id": task.service_id,
            f"{prefix}.task.id": task.id,
        }

    def _tasks_for_logs(self, name: str) -> tuple[Task, ...]:
        try:
            return self.tasks(self._find(name).id)
        except NotFound:
            return (self.task(name),)

    # Secrets, configs, clusters

    def create_secret(self, spec: SecretSpec) -> Secret:
        """Refuse: secrets are an application's."""
        return _none("secrets")

    def secret(self, name: str) -> Secret:
        """Refuse."""
        return _none("secrets")

    def secrets(self) -> tuple[Secret, ...]:
        """Refuse."""
        return _none("secrets")

    def label_secret(
        self, name: str, labels: Mapping[str, str], version: int | None = None, *, data: bytes = b""
    ) -> Secret:
        """Refuse."""
        return _none("secrets")

    def remove_secret(self, name: str) -> None:
        """Refuse."""
        _none("secrets")

    def create_config(self, spec: ConfigSpec) -> Config:
        """Refuse: configs are an application's."""
        return _none("configs")

    def config(self, name: str) -> Config:
        """Refuse."""
        return _none("configs")

    def configs(self) -> tuple[Config, ...]:
        """Refuse."""
        return _none("configs")

    def label_config(
        self, name: str, labels: Mapping[str, str], version: int | None = None, *, data: bytes = b""
    ) -> Config:
        """Refuse."""
        return _none("configs")

    def remove_config(self, name: str) -> None:
        """Refuse."""
        _none("configs")

    def cluster(self) -> Cluster:
        """Refuse: there are no clusters."""
        raise Unsupported("there are no clusters here", hint="use an orchestrator of many machines")

    # What is known

    def _all(self) -> Mapping[str, Kept]:
        return self._loop.look()[0].kept

    def _find(self, name: str) -> Kept:
        there = self._all()
        exact = [each for each in there.values() if name in (each.spec.name, each.id)]
        found = exact or [each for each in there.values() if name and each.id.startswith(name)]
        return checking.unique(NotFound, f"service {name} not found", found)

    def _image_id(self, spec: ServiceSpec) -> str:
        try:
            return str(self._parts.images.get(spec.container.image).id)
        except NotFound:
            return ""  # it is pulled later

    def _template(self, spec: ServiceSpec) -> str:
        """Return the hash by which containers are as described: that of the file where a reader says it."""
        if given := spec.container.labels.get(names.HASH):
            return given
        others = {each.spec.name: each.template for each in self._shelf.services.values()}
        parts = [fingerprint(spec, others)]
        for kind, files in (("secrets", spec.secrets), ("configs", spec.configs)):
            parts += [self._shelf.digest(spec.application, kind, each.source) for each in files]
        return parts[0] if len(parts) == 1 else hashlib.sha256(" ".join(parts).encode()).hexdigest()

    def _shown(self, kept: Kept) -> Service:
        return Service(
            id=kept.id,
            spec=kept.spec,
            template=kept.template,
            version=kept.version,
            created_ns=kept.created_ns,
            updated_ns=kept.updated_ns,
            ports=kept.spec.ports,
        )


def _none(what: str) -> NoReturn:
    raise Unsupported(f"{what} have no life of their own here: they are an application's", hint="put them into it")
