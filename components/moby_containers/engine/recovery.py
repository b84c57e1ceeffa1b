"""How an engine finds its containers again: by what is on disk, what the supervisor has, and what lies about."""

import os
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

from moby.contracts.containers import Status
from moby.contracts.supervisor import TaskState
from moby.contracts.types import Exit, TaskStatus
from moby.errors import MobyError, NotFound
from moby.host import mounts as kernel
from moby_containers.engine.ending import Ending, counting, wants_restart
from moby_containers.engine.entries import Entry, Phase
from moby_containers.engine.execs import Execs
from moby_containers.engine.later import Later
from moby_containers.engine.life import Life, Watch
from moby_containers.engine.networking import Networking
from moby_containers.engine.parts import Parts, rfc3339
from moby_containers.engine.starting import Starting
from moby_containers.engine.states import Act, after

__all__ = ["Recovery", "restart"]


class Recovery:
    """What is done once, when an engine starts."""

    def __init__(self, parts: Parts, starting: Starting, ending: Ending, execs: Execs, networking: Networking) -> None:
        self._parts = parts
        self._networking = networking
        self._starting = starting
        self._ending = ending
        self._execs = execs
        self._tasks: dict[str, TaskState] = {}
        self._was_alive: set[str] = set()

    def find(self) -> None:
        """Learn which tasks there are, so that what the journal tells finds its container."""
        self._tasks = {each.id: each for each in self._parts.supervisor.list()}
        for entry in self._parts.shelf.entries():
            task = self._tasks.get(entry.id)
            entry.show(rootfs=self._parts.rootfs(entry.id))  # which earlier releases have written of running ones alone
            if entry.alive:
                self._was_alive.add(entry.id)
            if task is not None:
                entry.mounted, entry.doubtful = True, False
                entry.pid = task.pid
                entry.phase = {
                    TaskStatus.RUNNING: Phase.STARTED,
                    TaskStatus.PAUSED: Phase.STARTED,
                    TaskStatus.STOPPED: Phase.ENDED,
                }.get(task.status, Phase.CREATED)
            elif entry.alive or self._parts.bundle(entry.id).exists():
                entry.mounted = True
        runs = (TaskStatus.RUNNING, TaskStatus.PAUSED)
        tasks = self._tasks
        self._networking.recover(
            [each for each in self._parts.shelf.entries() if each.id in tasks and tasks[each.id].status in runs]
        )
        alive = {each.id: each.pid for each in self._tasks.values() if each.status is not TaskStatus.STOPPED}
        self._execs.recover(alive)

    def settle(self, watch: Watch) -> None:
        """Make what is shown true, and remove what nobody knows."""
        known = {entry.id for entry in self._parts.shelf.entries()}
        known |= self._ending.clearing.going()  # of which the journal told that they ended, and were to go then
        for entry in self._parts.shelf.entries():
            try:
                self._settle(entry, watch)
            except (MobyError, OSError) as error:
                self._parts.log.error("a container can't be found again", container=entry.id, error=str(error))
        for each in self._strangers(known):
            self._clear_stranger(each)

    def _settle(self, entry: Entry, watch: Watch) -> None:
        if entry.removing:  # the journal told that it ended, and it was to go then
            return
        task = self._tasks.get(entry.id)
        runs = task is not None and task.status in (TaskStatus.RUNNING, TaskStatus.PAUSED)
        if entry.status is Status.REMOVING:
            entry.set_state(status=Status.DEAD)
            self._ending.remove(entry, force=True, volumes=entry.keeping.with_volumes)
        elif entry.alive and not runs:
            unknown = Exit(None, self._parts.clock.now_ns())
            self._ending.ended(entry, (task.exit if task else None) or unknown)
        elif runs and task is not None:
            if not entry.alive:
                self._adopt(entry, task)
            paused = task.status is TaskStatus.PAUSED
            if paused != (entry.status is Status.PAUSED):
                entry.set_state(status=after(entry.status, Act.PAUSE if paused else Act.UNPAUSE))
                self._ending.refresh_health(entry)
                self._parts.shelf.save(entry)
            watch.watch(entry.id)
        elif entry.id not in self._was_alive:
            self._starting.clear(entry)
            if entry.container.config.auto_remove and entry.status in (Status.EXITED, Status.DEAD):
                self._ending.remove_later(entry)

    def _adopt(self, entry: Entry, task: TaskState) -> None:
        """Take up one whose start went through, though nobody was told."""
        started = task.started_ns or self._parts.clock.now_ns()
        entry.set_state(
            status=after(entry.status, Act.START), pid=task.pid, exit_code=0, error="", started=rfc3339(started)
        )
        self._ending.refresh_health(entry)
        entry.keep(started_ns=started, manually_stopped=False)
        sandbox = entry.container.sandbox or f"/proc/{task.pid}/ns/net"
        entry.show(sandbox=sandbox)
        self._parts.shelf.save(entry)
        self._parts.tell(entry.container, "start")

    def _strangers(self, known: set[str]) -> set[str]:
        """Return the ids of containers of which there are folders alone: a death has ended their making or removal."""
        found: set[str] = set()
        for folder in (self._parts.place.state, self._parts.place.run):
            with suppress(FileNotFoundError):
                found.update(os.listdir(folder))  # noqa: PTH208
        return found - known

    def _clear_stranger(self, container_id: str) -> None:
        parts = self._parts
        folder = parts.bundle(container_id)
        try:
            with suppress(NotFound):
                parts.supervisor.delete(container_id, force=True)
        except (MobyError, OSError) as error:
            parts.log.warning("what is left of a container can't be ended", container=container_id, error=str(error))
            return
        for each in (folder / "rootfs", folder / "shm", *_subpaths(folder)):
            for _ in range(8):
                with suppress(OSError):
                    kernel.unmount(str(each), detach=True)
                    continue
                break
        try:
            parts.networks.leave(container_id)
            for volume in parts.volumes.list():
                if container_id in volume.users:
                    parts.volumes.unmount(volume.name, container_id)
                    parts.volumes.release(volume.name, container_id)
                    if volume.anonymous and volume.users == (container_id,):
                        parts.volumes.remove(volume.name)
            parts.images.release(container_id)
        except NotFound:
            pass
        except (MobyError, OSError) as error:
            parts.log.warning("what is left of a container can't be removed", container=container_id, error=str(error))
            return
        parts.remove_folders(container_id)


def restart(entries: Iterable[Entry], life: Life, later: Later) -> None:
    """Start those whose policy says so, of what ended or waited for its restart as nobody was there to start it."""
    for entry in entries:
        if entry.status is Status.RESTARTING and not entry.backoff_s:  # else whoever noted its end sees to it
            later.soon(partial(life.restart_by_policy, entry, entry.turn))
        elif entry.status is Status.EXITED and _counted(entry) is not None:
            later.soon(partial(life.start_again, entry, _counted))


def _counted(entry: Entry) -> tuple[int, ...] | None:
    """Return the ends that count at its next one; None where its policy wants no other start."""
    policy, keeping = entry.container.config.restart, entry.keeping
    counted = counting(policy, keeping.restarts_ns, keeping.finished_ns)
    if not entry.state.started or not wants_restart(
        entry.container, counted=len(counted), manually=keeping.manually_stopped
    ):
        return None
    return (*counted, keeping.finished_ns) if policy.attempts else ()


def _subpaths(folder: Path) -> list[Path]:
    with suppress(OSError):
        return [folder / each for each in os.listdir(folder) if each.startswith("subpath-")]  # noqa: PTH208
    return []
