"""What the pieces of the service share: the other parts of the engine, and how its folders lie."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import define, field

from moby.contracts.ambient import Clock, Log, Place
from moby.contracts.containers import Container
from moby.contracts.events import Event, Events
from moby.contracts.images import Images
from moby.contracts.networks import Networks
from moby.contracts.supervisor import Supervisor
from moby.contracts.volumes import Volumes
from moby.host.cgroup_support import Support, support
from moby.oci.times import fixed as rfc3339
from moby_containers.engine.shelf import Shelf

__all__ = ["Parts", "rfc3339"]


@define(eq=False)
class Parts:
    """The rest of the engine, as this service sees it."""

    images: Images
    supervisor: Supervisor
    volumes: Volumes
    networks: Networks
    events: Events
    place: Place
    clock: Clock
    log: Log
    shelf: Shelf
    support: Support = field(factory=support)
    logged: bool = True
    """Whether the supervisor writes logs."""
    default_log: str = ""
    _features: dict[str, frozenset[str]] = field(factory=dict)

    def ask_logs(self) -> None:
        """Learn what logs there are."""
        drivers = self.supervisor.log_drivers()
        self.logged, self.default_log = bool(drivers), next(iter(drivers), "")

    def features(self, runtime: str) -> frozenset[str]:
        """Return what a runtime offers; asked once."""
        found = self._features.get(runtime)
        if found is None:
            found = self._features[runtime] = self.supervisor.features(runtime)
        return found

    def folder(self, container_id: str) -> Path:
        """Return where a container's lasting files are."""
        return self.place.state / container_id

    def bundle(self, container_id: str) -> Path:
        """Return where its bundle is, in this boot's folder."""
        return self.place.run / container_id

    def rootfs(self, container_id: str) -> Path:
        """Return where its root is mounted."""
        return self.place.run / container_id / "rootfs"

    def tell(
        self,
        container: Container,
        action: str,
        attributes: dict[str, str] | None = None,
        *,
        time_ns: int = 0,
        **more: Any,
    ) -> None:
        """Publish an event of a container, with docker's attributes: its labels, its image, its name, and others."""
        values = {**container.config.labels, "image": container.config.image, "name": container.name}
        extra = {name: str(value) for name, value in {**more, **(attributes or {})}.items()}
        self.events.publish(Event("container", action, container.id, {**values, **extra}, time_ns))

    def remove_folders(self, container_id: str) -> None:
        """Remove what is on disk of a container besides its root, which must not be mounted any more."""
        with suppress(OSError):
            self.rootfs(container_id).rmdir()
        import shutil  # which a start needn't wait for

        for each in (self.bundle(container_id), self.folder(container_id)):
            if (self.rootfs(container_id)).is_dir() and each == self.bundle(container_id):
                continue  # its root is still there, and is nothing to walk into
            shutil.rmtree(each, ignore_errors=True)
