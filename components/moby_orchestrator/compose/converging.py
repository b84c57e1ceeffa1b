"""Makes a project's containers be what its files say: makes what is missing, and anew what has changed."""

import io
import tarfile
import threading
import time
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from moby.errors import Conflict, MobyError, NotFound
from moby_orchestrator.compose import names, shared
from moby_orchestrator.compose.calling import Engine
from moby_orchestrator.compose.files.fields import Record
from moby_orchestrator.compose.files.project import Project, config_hash, image_of
from moby_orchestrator.compose.observed import Container, containers
from moby_orchestrator.compose.ordering import in_order, together
from moby_orchestrator.compose.progress import Progress
from moby_orchestrator.compose.specs import container, injected, refuse_unknown

__all__ = ["Convergence", "Wishes", "start", "stop_and_remove", "wait_for"]

_TICK_S = 0.1


@frozen
class Wishes:
    """How containers are made anew."""

    recreate: str = "diverged"
    """`diverged`, `force` or `never`."""
    recreate_dependencies: str = "diverged"
    renew: bool = False
    """Whether anonymous volumes are left behind."""
    timeout: int | None = None
    scale: Mapping[str, int] = field(factory=dict)
    named: tuple[str, ...] = ()
    """Services that were asked for; others are there since these depend on them."""
    remove_orphans: bool = False
    build: bool = True


class Convergence:
    """One `up` or `create`."""

    def __init__(self, engine: Engine, project: Project, progress: Progress, wishes: Wishes) -> None:
        self._engine, self._project, self._progress, self._wishes = engine, project, progress, wishes
        self._there: dict[str, list[Container]] = {}
        self._images: dict[str, str] = {}
        self._recreated: set[str] = set()
        self._lock = threading.Lock()

    def create(self) -> None:
        """Make all that is missing or has changed, and start nothing."""
        refuse_unknown(self._project)
        self._images = shared.image_ids(self._engine, self._project)
        shared.make_networks(self._engine, self._project, self._progress)
        shared.make_volumes(self._engine, self._project, self._progress)
        found = containers(self._engine, self._project.name, oneoff=True)
        self._orphans(found)
        for each in found:
            if not each.oneoff:
                self._there.setdefault(each.service, []).append(each)
        in_order(self._project, self._service)

    def _orphans(self, found: list[Container]) -> None:
        known = {*self._project.services, *self._project.disabled}
        orphans = [each for each in found if each.service not in known]
        if self._wishes.remove_orphans:
            together(orphans, lambda each: stop_and_remove(self._engine, each, self._progress, self._wishes.timeout))
        elif orphans:
            text = ", ".join(each.name for each in orphans)
            self._progress.warn(f"Found orphan containers ({text}) for this project: --remove-orphans removes them")

    def _service(self, name: str) -> None:
        service = self._resolved(self._project.services[name])
        policy = self._wishes.recreate
        if self._wishes.named and name not in self._wishes.named:
            policy = self._wishes.recreate_dependencies
        there = self._there.get(name, [])
        changed = {each.id: self._changed(name, service, each, policy) for each in there}
        # What is out of date goes first where there are too many, then the last ones.
        there.sort(key=lambda each: (not changed[each.id], each.number))
        wanted = scale_of(name, service, self._wishes.scale)
        tasks: list[Any] = [("down", each) for each in there[wanted:]]
        tasks += [("recreate", each) for each in there[:wanted] if changed[each.id]]
        after = max((each.number for each in there), default=0) + 1
        tasks += [("create", after + index) for index in range(wanted - len(there))]
        for each in there[:wanted]:
            if not changed[each.id] and each.state == "running":
                self._progress.tell(each.thing, "Running")
        together(tasks, lambda task: self._do(name, service, *task))
        if any(kind == "recreate" for kind, _ in tasks):
            self._recreated.add(name)
        if tasks:
            with self._lock:
                found = containers(self._engine, self._project.name)
                self._there[name] = [each for each in found if each.service == name]

    def _do(self, name: str, service: Record, kind: str, what: Any) -> None:
        if kind == "down":
            stop_and_remove(self._engine, what, self._progress, self._wishes.timeout)
        elif kind == "recreate":
            self._recreate(name, service, what)
        else:
            title = names.container_name(self._project.name, name, service, what)
            self._progress.tell(f"Container {title}", "Creating")
            self._make(name, service, what, title)
            self._progress.tell(f"Container {title}", "Created")

    def _changed(self, name: str, service: Record, there: Container, policy: str) -> bool:
        if policy == "never":
            return False
        image = self._images.get(image_of(self._project.name, name, service), "")
        return (
            policy == "force"
            or any(each in self._recreated and how.get("restart") for each, how in _on(service).items())
            or there.labels.get(names.HASH) != config_hash(service)
            or there.labels.get(names.IMAGE) != image
        )

    def _resolved(self, service: Record) -> Record:
        """Return the service with containers' ids where it names other services."""
        found = service
        for key in ("network_mode", "ipc", "pid"):
            value = str(service.get(key) or "")
            if value.startswith("service:"):
                found = found.having(**{key: f"container:{self._first(value[8:]).id}"})
        if "volumes_from" in service:
            found = found.having(volumes_from=[self._volumes_from(each) for each in service["volumes_from"]])
        return found

    def _volumes_from(self, given: str) -> str:
        if given.startswith("container:"):
            return given.split(":")[1]
        return self._first(given.split(":", maxsplit=1)[0]).id

    def _first(self, service: str) -> Container:
        there = self._there.get(service)
        if not there:
            raise NotFound(f"nothing can be shared with service {service}: it has no container")
        return there[0]

    def _links(self, service: Record) -> tuple[str, ...]:
        found = []
        for link in service.get("links") or ():
            other, _, alias = link.partition(":")
            for each in self._there.get(other, ()):
                whole = f"{self._project.name}-{other}-{each.number}"
                found += [f"{each.name}:{word}" for word in (alias or other, f"{other}-{each.number}", whole)]
        external = (each if ":" in each else f"{each}:{each}" for each in service.get("external_links") or ())
        return (*found, *external)

    def _recreate(self, name: str, service: Record, old: Container) -> None:
        self._progress.tell(old.thing, "Recreate")
        title = names.container_name(self._project.name, name, service, old.number)
        new = self._make(name, service, old.number, f"{old.id[:12]}_{title}", old)
        self._engine.post("containers", old.id, "stop", t=_text(self._wishes.timeout))
        self._engine.delete("containers", old.id)
        self._engine.post("containers", new, "rename", name=title)
        self._progress.tell(old.thing, "Recreated")

    def _make(self, name: str, service: Record, number: int, title: str, old: Container | None = None) -> str:
        """Make a container, and return its id."""
        image = image_of(self._project.name, name, service)
        labels = names.container_labels(self._project, name, service, number, self._images.get(image, ""))
        inherited = self._inherited(image, service, old) if old is not None and not self._wishes.renew else {}
        if old is not None:
            labels[names.REPLACE] = old.id
        body = container(self._project, name, service, number, labels, inherited, self._links(service))
        query = {"name": title, "platform": service.get("platform", "")}
        made: str = self._engine.post("containers", "create", body=body, **query)["Id"]
        inject(self._engine, self._project, service, made)
        return made

    def _inherited(self, image: str, service: Record, old: Container) -> dict[str, Any]:
        """Return the anonymous volumes of the old container that the new one has too, by target."""
        config = self._engine.get("images", image, "json").get("Config") or {}
        anonymous = {each["target"] for each in service.get("volumes") or () if not each.get("source")}
        anonymous |= set(config.get("Volumes") or ())
        mounts = self._engine.get("containers", old.id, "json")["Mounts"]
        return {
            each["Destination"]: each
            for each in mounts
            if each["Destination"] in anonymous and each["Type"] == "volume"
        }


def _on(service: Record) -> Mapping[str, Record]:
    return service.get("depends_on") or {}


def _text(timeout: int | None) -> str:
    return "" if timeout is None else str(timeout)


def scale_of(name: str, service: Record, scale: Mapping[str, int]) -> int:
    """Return how many containers a service has; Conflict where they would all have one name."""
    replicas = (service.get("deploy") or {}).get("replicas")
    said = scale.get(name, service.get("scale") if service.get("scale") is not None else replicas)
    count = 1 if said is None else int(said)
    if count > 1 and service.get("container_name"):
        raise Conflict(
            f"{count} containers of {name} can't all be called {service['container_name']}",
            hint="remove container_name",
        )
    return count


def inject(engine: Engine, project: Project, service: Record, id: str) -> None:
    """Copy secrets and configs of variables and texts into a container that hasn't started."""
    for target, data, given in injected(project, service):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            info = tarfile.TarInfo(target.lstrip("/"))
            info.size, info.mode, info.mtime = len(data), given.get("mode", 0o444), int(time.time())
            info.uid, info.gid = int(given.get("uid") or 0), int(given.get("gid") or 0)
            archive.addfile(info, io.BytesIO(data))
        engine.put_archive(id, buffer.getvalue())


def start(engine: Engine, project: Project, progress: Progress, *, dependencies: bool = True) -> None:
    """Start all containers of the project's services, each once what it waits for is so."""
    there = containers(engine, project.name)

    def service(name: str) -> None:
        for other, how in _on(project.services[name]).items() if dependencies else ():
            waited = [each for each in there if each.service == other]
            if (
                other in project.services
                and scale_of(other, project.services[other], {})
                and how["condition"] != STARTED
            ):
                wait_for(engine, other, how, waited, progress)
        for each in there:
            if each.service == name and each.state != "running":
                progress.tell(each.thing, "Starting")
                engine.post("containers", each.id, "start")
                progress.tell(each.thing, "Started")

    in_order(project, service)


STARTED = "service_started"
HEALTHY = "service_healthy"
COMPLETED = "service_completed_successfully"


def wait_for(engine: Engine, name: str, how: Mapping[str, Any], waited: list[Container], progress: Progress) -> None:
    """Wait until a dependency is as it must be; an optional one that fails is only told."""
    try:
        if not waited:
            raise NotFound(f"dependency {name} has no container")
        for each in waited:
            progress.tell(each.thing, "Waiting")
        while not all(_is_so(engine, each, how["condition"], name) for each in waited):
            time.sleep(_TICK_S)
        for each in waited:
            progress.tell(each.thing, "Exited" if how["condition"] == COMPLETED else "Healthy")
    except MobyError as error:
        if how.get("required", True):
            raise
        progress.warn(f"optional dependency {name}: {error.message}")


def _is_so(engine: Engine, each: Container, condition: str, name: str) -> bool:
    found = engine.get("containers", each.id, "json")
    state = found["State"]
    if condition == COMPLETED:
        if state["Status"] == "exited" and state["ExitCode"] != 0:
            raise Conflict(f'service "{name}" didn\'t complete successfully: exit {state["ExitCode"]}')
        return bool(state["Status"] == "exited")
    if state["Status"] == "exited":
        raise Conflict(f"dependency failed to start: container {each.name} exited ({state['ExitCode']})")
    health = state.get("Health")
    if health is None or health["Status"] == "none":
        if condition == "running_or_healthy":
            return bool(state["Status"] == "running")
        hint = f"give {name} a healthcheck, or wait for service_started"
        raise Conflict(f"dependency failed to start: container {each.name} has no healthcheck configured", hint=hint)
    if state["Status"] == "restarting":
        return False  # it begins anew, though it is told to be unhealthy until then
    if health["Status"] == "unhealthy":
        raise Conflict(f"dependency failed to start: container {each.name} is unhealthy")
    return bool(health["Status"] == "healthy")


def stop_and_remove(
    engine: Engine, each: Container, progress: Progress, timeout: int | None = None, *, volumes: bool = False
) -> None:
    """End a container and remove it; one that is gone is done with."""
    try:
        if each.state in ("running", "restarting", "paused"):
            progress.tell(each.thing, "Stopping")
            engine.post("containers", each.id, "stop", t=_text(timeout))
            progress.tell(each.thing, "Stopped")
        progress.tell(each.thing, "Removing")
        engine.delete("containers", each.id, force=True, v=volumes)
    except NotFound:
        pass
    progress.tell(each.thing, "Removed")
