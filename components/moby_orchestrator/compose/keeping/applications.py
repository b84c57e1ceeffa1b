"""Applications: services with what they share, made, changed and removed together."""

from collections.abc import Mapping

from moby.contracts.containers import Status
from moby.contracts.orchestrator import Application, Applied, Change, Outcome, RestartCondition, ServiceSpec
from moby.errors import Conflict
from moby_orchestrator.compose import names
from moby_orchestrator.compose.keeping import checking
from moby_orchestrator.compose.keeping.following import TYPE
from moby_orchestrator.compose.keeping.loop import Loop
from moby_orchestrator.compose.keeping.parts import Parts
from moby_orchestrator.compose.keeping.services import Services
from moby_orchestrator.compose.keeping.sharing import Sharing
from moby_orchestrator.compose.keeping.shelf import Shelf
from moby_orchestrator.compose.keeping.values import Kept
from moby_orchestrator.reconciling.dependencies import order

__all__ = ["Applications"]


class Applications:
    """See the contract."""

    def __init__(self, parts: Parts, shelf: Shelf, sharing: Sharing, loop: Loop, services: Services) -> None:
        self._parts, self._shelf, self._sharing, self._loop, self._services = parts, shelf, sharing, loop, services

    def apply(self, application: Application, *, prune: bool = False) -> Applied:
        """Make an application be as described."""
        checking.application(application)
        with self._loop.lock:
            known = {each.spec.name: each for each in self._services.all().values()}
            self._refuse(application, known)
            self._shelf.stay(application.name)
            changes = self._sharing.make(application)
            before = {each.name: self._services.files_of(each) for each in application.services}
            for kind, files in (("secrets", application.secrets), ("configs", application.configs)):
                self._shelf.store(application.name, kind, {each.name: each.data for each in files})
            for spec in order(application.services):
                changes.append(self._apply(spec, known.get(spec.name), before[spec.name]))
                known = {each.spec.name: each for each in self._services.all().values()}
            wanted = {spec.name for spec in application.services}
            orphans = sorted(name for name, each in known.items() if each.spec.application == application.name)
            orphans = [name for name in orphans if name not in wanted]
            if prune and orphans:
                self._services.remove_all([known[name] for name in orphans])
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

    def _apply(self, spec: ServiceSpec, old: Kept | None, before: str) -> Change:
        if old is None:
            self._services.keep_new(spec)
            return Change(TYPE, spec.name, Outcome.CREATED)
        image_id = self._services.image_id(spec)
        # What earlier engines kept says nothing of files.
        data = old.data + ((old.files or before) != self._services.files_of(spec))
        same = not old.adopted and old.spec == spec and old.template == self._services.template_of(spec)
        complete = self._complete(old)
        same = (same and data == old.data) or self._as_composed(spec, old)
        if same and old.image_id in ("", image_id or old.image_id) and complete:
            return Change(TYPE, spec.name, Outcome.UNCHANGED)
        self._services.keep_changed(old, spec, data=data)
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

    def names(self) -> tuple[str, ...]:
        """Return the names of all applications."""
        return tuple(sorted({each.spec.application for each in self._services.all().values() if each.spec.application}))

    def remove(self, name: str, *, volumes: bool = False) -> tuple[Change, ...]:
        """Remove all that is an application's."""
        if not name:
            return ()
        with self._loop.lock:
            mine = [each for each in self._services.all().values() if each.spec.application == name]
            by_name = {each.spec.name: each for each in mine}
            ordered = [by_name[each.name] for each in reversed(order([each.spec for each in mine]))]
            changes = [Change(TYPE, each.spec.name, Outcome.REMOVED) for each in ordered]
            self._services.remove_all(ordered)
            changes += self._sharing.own(name, volumes=volumes)
            self._shelf.discard(name)
            if changes:
                self._shelf.leave(name, volumes=volumes)
                self._loop.settle()
        self._loop.wake()
        return tuple(changes)
