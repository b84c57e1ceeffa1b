"""What changes about a container: its name, its limits, and what an image of it is."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from moby.contracts.containers import ContainerConfig, ContainerUpdate, Resources, Status
from moby.contracts.images import ImageConfig
from moby.errors import Conflict, HostUnfit, Invalid
from moby.oci.reference import familiar, parse
from moby.values import evolve
from moby_containers.engine.checks import check_resources, check_restart
from moby_containers.engine.codec import encode
from moby_containers.engine.entries import Entry, Phase
from moby_containers.engine.life import Life
from moby_containers.engine.limits import limits_of
from moby_containers.engine.networking import Networking
from moby_containers.engine.parts import Parts
from moby_containers.engine.warnings import warnings_of

__all__ = ["Changing"]

_NAMES = vars(Resources()).keys()


def _conflict(config: ContainerConfig, change: ContainerUpdate) -> str:
    """Return what of a change doesn't go with what there is, in docker's words; nothing where all does."""
    old, asked = config.resources, change.resources
    if asked.get("nano_cpus") and (old.cpu_period_us or old.cpu_quota_us):
        which = "Period" if old.cpu_period_us else "Quota"
        return f"Conflicting options: Nano CPUs cannot be updated as CPU {which} has already been set"
    for name, which in (("cpu_period_us", "Period"), ("cpu_quota_us", "Quota")):
        if asked.get(name) and old.nano_cpus:
            return f"Conflicting options: CPU {which} cannot be updated as NanoCPUs has already been set"
    memory = asked.get("memory_bytes", 0)
    if memory and not asked.get("memory_swap_bytes") and 0 < old.memory_swap_bytes < memory:
        return (
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
        )
    if config.auto_remove and change.restart is not None and change.restart.name not in ("", "no"):
        return "Restart policy cannot be updated because AutoRemove is enabled for the container"
    return ""


class Changing:
    """Renames, updates and commits."""

    def __init__(self, parts: Parts, life: Life, networking: Networking) -> None:
        self._parts = parts
        self._life = life
        self._networking = networking

    def rename(self, entry: Entry, name: str) -> None:
        """Give it another name."""
        bare = name.removeprefix("/")
        if not bare:
            raise Invalid("Neither old nor new names may be empty")
        with entry.lock:
            old = entry.container.name
            if bare == old:
                raise Invalid("Renaming a container with the same name as its current name")
            if entry.removing or entry.status is Status.DEAD:
                raise Conflict(f"container {entry.id} is being removed")
            self._parts.shelf.rename(entry, bare)
            self._networking.renamed(entry)
            self._parts.tell(entry.container, "rename", oldName=f"/{old}")

    def update(self, entry: Entry, change: ContainerUpdate) -> tuple[str, ...]:
        """Change limits and the restart policy."""
        unknown = sorted(set(change.resources) - _NAMES)
        if unknown:
            raise Invalid(f"there is no limit {unknown[0]!r}")
        with entry.lock:
            if entry.removing or entry.status is Status.DEAD:
                raise Conflict("container is marked for removal and cannot be updated")
            config = entry.container.config
            check_resources(Resources(**change.resources), alone=False)
            restart = change.restart or config.restart
            check_restart(restart, auto_remove=False)
            if why := _conflict(config, change):
                raise Conflict(f"Cannot update container {entry.id}: {why}")
            whole = evolve(config.resources, **change.resources)
            check_resources(whole)
            resources, warnings = warnings_of(whole, self._parts.support)
            if change.resources and entry.phase in (Phase.CREATED, Phase.STARTED):
                self._parts.supervisor.update(entry.id, limits_of(resources))
            entry.reconfigure(resources=resources, restart=restart)
            if change.restart is not None:
                entry.no_restart = False if entry.alive else entry.no_restart
            self._parts.shelf.save(entry)
            self._parts.tell(entry.container, "update")
        return warnings

    def commit(
        self,
        entry: Entry,
        reference: str,
        *,
        message: str,
        author: str,
        changes: Sequence[str],
        pause: bool,
        config: Mapping[str, Any] | None,
    ) -> str:
        """Make an image of it."""
        name = parse(reference) if reference else None
        held = entry.container.config
        if entry.removing or entry.status is Status.DEAD:
            raise Conflict(f"You cannot commit container {entry.id} which is being removed")
        froze = False
        if pause and entry.status is Status.RUNNING:
            try:
                self._life.pause(entry)
                froze = True
            except Conflict:  # it is paused already, or has just ended
                pass
            except HostUnfit as error:
                self._parts.log.warning("a container is committed while it runs", container=entry.id, error=str(error))
        try:
            image = self._parts.images.commit(
                entry.id,
                name,
                config=image_config(held, config or {}),
                changes=changes,
                author=author,
                message=message,
                created_by=" ".join((entry.container.path, *entry.container.arguments)),
            )
        finally:
            if froze:
                with suppress(Conflict):
                    self._life.unpause(entry)
        self._parts.tell(
            entry.container, "commit", comment=message, imageID=image.id, imageRef=familiar(name) if name else ""
        )
        return str(image.id)


def image_config(config: ContainerConfig, over: Mapping[str, Any]) -> ImageConfig:
    """Return how an image of a container wants to be run: as that was, under what `over` says of ImageConfig."""
    health = config.health
    times = {
        "Interval": health.interval_ns,
        "Timeout": health.timeout_ns,
        "StartPeriod": health.start_period_ns,
        "StartInterval": health.start_interval_ns,
        "Retries": health.retries,
    } if health else {}  # fmt: skip
    found = ImageConfig(
        entrypoint=config.entrypoint or (),
        command=config.command or (),
        environment=config.environment,
        user=config.user,
        working_directory=config.working_directory,
        stop_signal=config.stop_signal,
        labels=config.labels,
        exposed_ports=tuple(sorted(config.exposed_ports)),
        volumes=tuple(sorted(config.volumes)),
        healthcheck={"Test": encode(health.test), **{k: v for k, v in times.items() if v}} if health else {},
        shell=config.shell,
    )
    return _under(found, over)


def _under(config: ImageConfig, over: Mapping[str, Any]) -> ImageConfig:
    """Return a config under what is said over it, as docker merges the two: names are united, and empty says nothing.

    But an entry point that is said to be none is none; one that is said takes the older command away.
    """
    said = {name: value for name, value in over.items() if value}
    for name in ("labels", "healthcheck"):
        if name in said:
            said[name] = {**getattr(config, name), **said[name]}
    for name in ("exposed_ports", "volumes"):
        if name in said:
            said[name] = tuple(sorted({*getattr(config, name), *said[name]}))
    if "environment" in said:
        named = {each.partition("=")[0] for each in said["environment"]}
        older = (each for each in config.environment if each.partition("=")[0] not in named)
        said["environment"] = (*said["environment"], *older)
    if "entrypoint" in said:
        said.setdefault("command", ())
    elif "entrypoint" in over:
        said["entrypoint"] = ()
    return evolve(config, **said)
