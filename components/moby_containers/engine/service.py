"""The service: each call finds its container and hands it to the piece that does it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Self

from moby.contracts.ambient import Clock, Log, Place
from moby.contracts.containers import (
    Condition,
    Container,
    ContainerConfig,
    ContainerUpdate,
    Created,
    Exec,
    ExecConfig,
    FileStat,
    Sizes,
    Status,
    Waiter,
)
from moby.contracts.events import Events
from moby.contracts.images import Images
from moby.contracts.log_driver import LogQuery
from moby.contracts.metadata import Metadata
from moby.contracts.networks import EndpointConfig, Networks
from moby.contracts.runtime import Stats
from moby.contracts.supervisor import EventKind, Streams, Supervisor, TaskEvent
from moby.contracts.types import Exit, Window
from moby.contracts.volumes import Volumes
from moby.errors import Conflict, NotFound, Unsupported
from moby_containers.engine.archives import Archives
from moby_containers.engine.carrier import Carrier
from moby_containers.engine.changing import Changing
from moby_containers.engine.creating import Creating
from moby_containers.engine.ending import Ending
from moby_containers.engine.execs import Execs
from moby_containers.engine.follower import Exits, Journal
from moby_containers.engine.later import Later
from moby_containers.engine.life import Life
from moby_containers.engine.networking import Networking
from moby_containers.engine.parts import Parts
from moby_containers.engine.probes import tell_probe
from moby_containers.engine.processes import table
from moby_containers.engine.recovery import Recovery, restart
from moby_containers.engine.shelf import Shelf
from moby_containers.engine.shutdown import stop_all
from moby_containers.engine.starting import Starting, log_config
from moby_containers.engine.waiters import begin_to_wait

__all__ = ["Service"]


class Service:
    """Containers as docker has them; see the contract."""

    def __init__(
        self,
        *,
        images: Images,
        supervisor: Supervisor,
        volumes: Volumes,
        networks: Networks,
        events: Events,
        metadata: Metadata,
        place: Place,
        clock: Clock,
        log: Log,
    ) -> None:
        self._metadata = metadata
        self._log = log
        self._begun_ns = clock.now_ns()
        self._shelf = Shelf(metadata)
        self._parts = Parts(images, supervisor, volumes, networks, events, place, clock, log, self._shelf)
        self._later = Later(log, lambda: clock.monotonic_ns() / 1e9)
        self._networking = Networking(self._parts)
        self._starting = Starting(self._parts, self._networking)
        self._ending = Ending(self._parts, self._starting, self._later)
        self._creating = Creating(self._parts)
        self._archives = Archives(self._parts)
        self._follower: Journal | Exits = Journal(supervisor, self.handle, log)
        self._life = Life(self._parts, self._starting, self._ending, self._follower, self._networking)
        self._changing = Changing(self._parts, self._life, self._networking)
        self._execs = Execs(self._parts, metadata, self._later, self._follower)
        self._ending.clear_execs = self._execs.clear
        self._carrier = Carrier(supervisor)

    def __enter__(self) -> Self:
        self._parts.ask_logs()
        self._shelf.load()
        try:
            self._parts.supervisor.journal(self._shelf.position)
        except Unsupported:
            self._follower = Exits(self._parts.supervisor, self.handle, self._log)
            self._life.follow(self._follower)
            self._execs.follow(self._follower)
        recovery = Recovery(self._parts, self._starting, self._ending, self._execs, self._networking)
        recovery.find()
        self._follower.catch_up(self._shelf.position)
        recovery.settle(self._follower)
        self._follower.open()
        return self

    def go_on(self) -> None:
        """Keep the restart policies of all containers, those too that ended before; else it's those started here."""
        self._ending.keeps_all = True
        restart(self._shelf.entries(), self._life, self._later)

    def __exit__(self, *_: object) -> None:
        self._later.close()  # first, as who removes a container waits for its end
        self._follower.close()
        self._ending.clearing.close()
        self._carrier.close()

    def wind_down(self, timeout_s: float | None) -> None:
        """Stop all that run, at once; the next engine that lasts starts them again by their policies."""
        self.reclaim()
        stop_all(self._shelf.entries(), self._life, self._parts, timeout_s)
        self._ending.clearing.wait()

    def reclaim(self) -> None:
        """Have nothing that ends now be started again, as its policy may ask of the next engine."""
        self._ending.keeps_all = False
        for entry in self._shelf.entries():
            with entry.lock:
                entry.no_restart = True
                entry.turn += 1

    def handle(self, event: TaskEvent) -> None:
        """Take what the supervisor tells."""
        entry = self._shelf.by_id(event.task_id)
        if entry is None:
            session = self._shelf.find_session(event.task_id)
            if session is not None and event.kind is EventKind.EXIT:
                self._execs.ended(session, event.exit or Exit(None, event.time_ns))
        elif event.kind is EventKind.EXIT:
            self._ending.ended(entry, event.exit or Exit(None, event.time_ns), position=event.number)
        elif event.kind is EventKind.OOM:
            self._ending.oom(entry, position=event.number)
        elif event.health is not None:
            self._ending.health(entry, event.health, position=event.number)
        elif event.kind is EventKind.HEALTH and event.time_ns >= self._begun_ns and entry.alive:
            # It changes nothing, so that how far the journal was read isn't written down; what was before is past.
            tell_probe(self._parts, entry, event)

    # Life

    def create(self, config: ContainerConfig, name: str = "") -> Created:
        """Make a container."""
        return self._creating.create(config, name)

    def get(self, name: str) -> Container:
        """Return a container, with the last results of its health check."""
        entry = self._shelf.get(name)
        if entry.alive and entry.state.health is not None:
            with entry.lock:
                if entry.alive:
                    self._ending.refresh_health(entry)
        return entry.container

    def list(self) -> tuple[Container, ...]:
        """Return all containers, the newest first."""
        return tuple(entry.container for entry in reversed(self._shelf.entries()))

    def start(self, name: str, *, window: Window | None = None) -> bool:
        """Run it."""
        return self._life.start(self._shelf.get(name), window)

    def stop(self, name: str, *, timeout_s: int | None = None, signal: str = "") -> bool:
        """End it."""
        return self._life.stop(self._shelf.get(name), timeout_s, signal)

    def restart(self, name: str, *, timeout_s: int | None = None, signal: str = "") -> None:
        """Stop and start it."""
        self._life.restart(self._shelf.get(name), timeout_s, signal)

    def kill(self, name: str, signal: str = "KILL") -> None:
        """Send a signal."""
        self._life.kill(self._shelf.get(name), signal)

    def pause(self, name: str) -> None:
        """Freeze it."""
        self._life.pause(self._shelf.get(name))

    def unpause(self, name: str) -> None:
        """Thaw it."""
        self._life.unpause(self._shelf.get(name))

    def rename(self, name: str, new: str) -> None:
        """Give it another name."""
        self._changing.rename(self._shelf.get(name), new)

    def update(self, name: str, change: ContainerUpdate) -> tuple[str, ...]:
        """Change limits and the restart policy."""
        return self._changing.update(self._shelf.get(name), change)

    def connect(self, name: str, network: str, config: EndpointConfig) -> None:
        """Put it on one more network."""
        self._networking.connect(self._shelf.get(name), network, config)

    def disconnect(self, name: str, network: str, *, force: bool = False) -> None:
        """Take it off a network."""
        self._networking.disconnect(self._shelf.get(name), network, force=force)

    def remove(self, name: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove it."""
        self._ending.remove(self._shelf.get(name), force=force, volumes=volumes)

    def prune(self, wanted: Callable[[Container], bool]) -> tuple[tuple[str, ...], int]:
        """Remove all that don't run and are wanted."""
        gone, freed = [], 0
        for entry in reversed(self._shelf.entries()):
            if entry.status not in (Status.CREATED, Status.EXITED, Status.DEAD) or not wanted(entry.container):
                continue
            try:
                size = self._parts.images.sizes(entry.id).changed_bytes
                self._ending.remove(entry, force=False, volumes=False)
            except (Conflict, NotFound):
                continue  # somebody was quicker
            gone.append(entry.id)
            freed += size
        return tuple(gone), freed

    def wait(self, name: str, condition: Condition = Condition.NOT_RUNNING) -> Waiter:
        """Wait for it."""
        entry = self._shelf.get(name)
        return begin_to_wait(entry, condition, gone=lambda: self._shelf.by_id(entry.id) is None)

    # Streams

    def attach(self, name: str, certain: Callable[[], object] | None = None) -> Streams:
        """Return its streams."""
        return self._life.attach(self._shelf.get(name), certain)

    def carrier(self) -> int:
        """Return a number of who carries streams now."""
        return self._carrier.number()

    def attach_again(self, id: str) -> Streams | None:
        """Return the streams of a container or an exec whose streams were cut."""
        entry = self._shelf.by_id(id)
        return self._execs.attach_again(id) if entry is None else self._life.attach_again(entry)

    def logs(self, name: str, query: LogQuery) -> int:
        """Return a descriptor to read its log from."""
        container = self._shelf.get(name).container
        if not self._parts.logged:
            raise Unsupported("configured logging driver does not support reading")
        return self._parts.supervisor.logs(log_config(self._parts, container), query)

    def resize(self, name: str, window: Window) -> None:
        """Tell its terminal the size."""
        entry = self._shelf.get(name)
        if not entry.alive:
            raise Conflict(f"container {entry.id} is not running")
        self._parts.supervisor.resize(entry.id, window)
        self._parts.tell(entry.container, "resize", height=window.rows, width=window.columns)

    # Looking

    def sizes(self, name: str) -> Sizes:
        """Return what it takes on disk."""
        found = self._parts.images.sizes(self._shelf.get(name).id)
        return Sizes(found.changed_bytes, found.root_bytes)

    def top(self, name: str, arguments: str = "") -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
        """Return ps(1) of its processes."""
        entry = self._shelf.get(name)
        if entry.status is Status.RESTARTING:
            raise Conflict(f"container {entry.id} is restarting, wait until the container is running")
        if not entry.alive:
            raise Conflict(f"container {entry.id} is not running")
        found = table(self._parts.supervisor.pids(entry.id), arguments)
        self._parts.tell(entry.container, "top")
        return found

    def stats(self, name: str) -> Stats | None:
        """Return what it uses."""
        entry = self._shelf.get(name)
        if not entry.alive:
            return None
        try:
            return self._parts.supervisor.stats(entry.id)
        except (NotFound, Conflict):
            return None

    def changes(self, name: str) -> tuple[tuple[int, str], ...]:
        """Return what is other than in its image."""
        return tuple((int(each.kind), each.path) for each in self._parts.images.changes(self._shelf.get(name).id))

    def export(self, name: str) -> Iterator[bytes]:
        """Yield its root as a tar archive."""
        entry = self._shelf.get(name)
        found = self._parts.images.export(entry.id)
        self._parts.tell(entry.container, "export")
        return found

    def stat_path(self, name: str, path: str) -> FileStat:
        """Return what is at a path."""
        return self._archives.stat(self._shelf.get(name), path)

    def read_path(self, name: str, path: str) -> Iterator[bytes]:
        """Yield what is at a path as a tar archive."""
        return self._archives.read(self._shelf.get(name), path)

    def write_path(
        self, name: str, path: str, archive: BinaryIO, *, keep_types: bool = False, keep_owners: bool = False
    ) -> None:
        """Unpack a tar archive into a folder."""
        entry = self._shelf.get(name)
        self._archives.write(entry, path, archive, keep_types=keep_types, keep_owners=keep_owners)

    def commit(
        self,
        name: str,
        reference: str = "",
        *,
        message: str = "",
        author: str = "",
        changes: Sequence[str] = (),
        pause: bool = True,
        config: Mapping[str, Any] | None = None,
    ) -> str:
        """Make an image of it."""
        return self._changing.commit(
            self._shelf.get(name), reference, message=message, author=author, changes=changes, pause=pause,
            config=config,
        )  # fmt: skip

    def used_images(self) -> Iterable[tuple[str, str]]:
        """Yield id of each container and of its image, once none that is gone holds one."""
        self._ending.clearing.wait()
        return [(entry.id, entry.container.image_id) for entry in self._shelf.entries()]

    # Execs

    def exec_create(self, name: str, config: ExecConfig) -> str:
        """Prepare a further program."""
        return self._execs.create(self._shelf.get(name), config)

    def exec_start(self, exec_id: str, *, detach: bool = False, window: Window | None = None) -> Streams | None:
        """Run it."""
        return self._execs.start(exec_id, detach=detach, window=window)

    def exec_resize(self, exec_id: str, window: Window) -> None:
        """Tell its terminal the size."""
        self._execs.resize(exec_id, window)

    def exec_get(self, exec_id: str) -> Exec:
        """Return an exec session."""
        return self._execs.get(exec_id)

    def exec_exit_fd(self, exec_id: str) -> int:
        """Return a descriptor that becomes readable at its end."""
        return self._execs.exit_fd(exec_id)
