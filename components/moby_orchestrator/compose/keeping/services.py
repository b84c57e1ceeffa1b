"""Services as they are to be: kept, changed, told of."""

import hashlib
from collections.abc import Iterable, Mapping

from moby.contracts.events import Event
from moby.contracts.image_registry import Credentials
from moby.contracts.orchestrator import Service, ServiceSpec
from moby.errors import Conflict, NotFound, Unsupported
from moby.values import evolve
from moby_orchestrator.compose import names
from moby_orchestrator.compose.keeping import checking
from moby_orchestrator.compose.keeping.following import TYPE
from moby_orchestrator.compose.keeping.loop import Loop
from moby_orchestrator.compose.keeping.parts import Parts
from moby_orchestrator.compose.keeping.shelf import Shelf
from moby_orchestrator.compose.keeping.values import Kept, Removal, key_of
from moby_orchestrator.reconciling.tasks import identify
from moby_orchestrator.reconciling.template import fingerprint

__all__ = ["Services"]


class Services:
    """What is wanted of each, over the shelf; the loop has it be so. See the contract."""

    def __init__(self, parts: Parts, shelf: Shelf, loop: Loop) -> None:
        self._parts, self._shelf, self._loop = parts, shelf, loop

    def create(self, spec: ServiceSpec, *, credentials: Credentials | None = None) -> Service:
        """Begin to keep a service."""
        checking.service(spec)
        with self._loop.lock:
            there = self.all()
            if spec.name in {each.spec.name for each in there.values()}:
                raise Conflict(f"service {spec.name} already exists", hint="choose another name, or update it")
            checking.networks(spec, (), self._parts.networks.get)
            checking.references_of(spec, self._data(spec, "secrets"), self._data(spec, "configs"))
            checking.ports(spec, there.values())
            kept = self.keep_new(spec, credentials)
        self._loop.wake()
        return self.shown(kept)

    def _data(self, spec: ServiceSpec, kind: str) -> list[str]:
        given = spec.secrets if kind == "secrets" else spec.configs
        return [each.source for each in given if self._shelf.digest(spec.application, kind, each.source)]

    def keep_new(self, spec: ServiceSpec, credentials: Credentials | None = None) -> Kept:
        """Keep one more, and tell of it."""
        now = self._parts.clock.now_ns()
        kept = Kept(
            identify(spec.name, spec.application, now),
            spec,
            self.template_of(spec),
            self.image_id(spec),
            1,
            now,
            now,
            spec.replicas,
            files=self.files_of(spec),
        )
        if credentials is not None:
            self._loop.credentials[kept.id] = credentials
        self._shelf.keep(kept)
        self.tell("create", kept)
        return kept

    def keep_changed(self, old: Kept, spec: ServiceSpec, template: str = "", *, data: int | None = None) -> Kept:
        """Keep one as it is to be from now on, and tell of it; `data` is another number where its files' changed."""
        grouped, _ = self._loop.look()
        there = len({each.number for each in grouped.seen.get(old.id, ()) if each.id not in self._loop.going()})
        now = self._parts.clock.now_ns()
        kept = Kept(
            old.id, spec, template or self.template_of(spec), self.image_id(spec), old.version + 1,
            old.created_ns, now, max(0, spec.replicas - there), files=self.files_of(spec),
            data=old.data if data is None else data,
        )  # fmt: skip
        for slot in [each for each in self._loop.failed if each[0] == old.id]:
            del self._loop.failed[slot]
        self._shelf.keep(kept)
        self.tell("update", kept)
        return kept

    def update(
        self, name: str, spec: ServiceSpec, version: int | None = None, *, credentials: Credentials | None = None
    ) -> Service:
        """Change a service; the last change holds, whatever version it says."""
        with self._loop.lock:
            old = self.find(name)
            if spec.name != old.spec.name or spec.application != old.spec.application:
                raise Unsupported(f"service {old.spec.name} can't be renamed", hint="create another one")
            if spec.mode is not old.spec.mode:
                raise Unsupported(f"service {old.spec.name} can't have another mode", hint="create another one")
            checking.service(spec)
            checking.networks(spec, (), self._parts.networks.get)
            checking.references_of(spec, self._data(spec, "secrets"), self._data(spec, "configs"))
            checking.ports(spec, (each for each in self.all().values() if each.id != old.id))
            if credentials is not None:
                self._loop.credentials[old.id] = credentials
            kept = self.keep_changed(old, spec)
        self._loop.wake()
        return self.shown(kept)

    def scale(self, name: str, replicas: int, version: int | None = None) -> Service:
        """Have so many tasks; those there are stay as they are, also docker compose's."""
        with self._loop.lock:
            old = self.find(name)
            spec = evolve(old.spec, replicas=replicas)
            checking.service(spec)
            kept = self.keep_changed(old, spec, old.template)
        self._loop.wake()
        return self.shown(kept)

    def remove(self, name: str) -> None:
        """End a service and its tasks."""
        with self._loop.lock:
            self.remove_all([self.find(name)])
        self._loop.wake()

    def remove_all(self, services: Iterable[Kept]) -> None:
        """Begin to remove them, each after those that depend on it."""
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
            self.tell("remove", each)

    def tell(self, action: str, kept: Kept) -> None:
        """Publish what became of one."""
        attributes = {"name": kept.spec.name, "application": kept.spec.application}
        self._parts.events.publish(Event(TYPE, action, kept.id, attributes))

    def all(self) -> Mapping[str, Kept]:
        """Return all that are kept, by id."""
        return self._loop.look()[0].kept

    def find(self, name: str) -> Kept:
        """Return one, by its name, its id or the beginning of that."""
        there = self.all()
        exact = [each for each in there.values() if name in (each.spec.name, each.id)]
        found = exact or [each for each in there.values() if name and each.id.startswith(name)]
        return checking.unique(NotFound, f"service {name} not found", found)

    def image_id(self, spec: ServiceSpec) -> str:
        """Return the id of its image; empty where that isn't here yet."""
        try:
            return str(self._parts.images.get(spec.container.image).id)
        except NotFound:
            return ""  # it is pulled later

    def template_of(self, spec: ServiceSpec) -> str:
        """Return the hash by which containers are as described: that of the file where a reader says it."""
        if given := spec.container.labels.get(names.HASH):
            return given
        others = {each.spec.name: each.template for each in self._shelf.services.values()}
        found, files = fingerprint(spec, others), self.files_of(spec)
        return hashlib.sha256(f"{found} {files}".encode()).hexdigest() if files else found

    def files_of(self, spec: ServiceSpec) -> str:
        """Return what tells the data of a service's secrets and configs from others; empty where it has none."""
        kinds = (("secrets", spec.secrets), ("configs", spec.configs))
        return " ".join(
            self._shelf.digest(spec.application, kind, each.source) for kind, files in kinds for each in files
        )

    def shown(self, kept: Kept) -> Service:
        """Return one as the contract has it."""
        return Service(
            id=kept.id,
            spec=kept.spec,
            template=kept.made_of,
            version=kept.version,
            created_ns=kept.created_ns,
            updated_ns=kept.updated_ns,
            ports=kept.spec.ports,
        )
