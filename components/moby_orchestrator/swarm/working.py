"""What a node does for its tasks: makes containers of them, ends these, and says how they are."""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from moby.contracts.containers import Container, ContainerConfig, Status
from moby.contracts.orchestrator import Task, TaskState
from moby.contracts.supervisor import HealthStatus
from moby.errors import Conflict, MobyError, NotFound
from moby_orchestrator.reconciling.health import health_of
from moby_orchestrator.reconciling.tasks import FINAL, WANTED
from moby_orchestrator.swarm.containering import config_of, container_name
from moby_orchestrator.swarm.files import Files
from moby_orchestrator.swarm.manager import Report
from moby_orchestrator.swarm.parts import Parts
from moby_orchestrator.swarm.pulling import Pulling
from moby_orchestrator.swarm.world import World

__all__ = ["ALIVE", "Work"]

ALIVE = frozenset({Status.RUNNING, Status.PAUSED, Status.RESTARTING})
"""How a container is that uses its machine."""


class Work:
    """Containers of this node's tasks. Calls for different tasks go on side by side; those for one follow each other.

    `observe` may be called beside the others.
    """

    def __init__(self, parts: Parts, files: Files, report: Callable[[str, Report], None]) -> None:
        self._parts, self._files, self._report = parts, files, report
        self._pulling = Pulling(parts.images)
        self._lock = threading.Lock()
        self.world = World()
        self.containers: dict[str, str] = {}
        """By task."""
        self._told: dict[str, TaskState] = {}
        """What was said of tasks last, which the world may not have yet."""
        self._unwell: set[str] = set()
        """Those whose containers are ended since they aren't well."""

    def state(self, task: Task) -> TaskState:
        """Return how far a task is."""
        return self._told.get(task.id, task.status.state)

    def _tell(self, task_id: str, state: TaskState, **more: Any) -> None:
        with self._lock:
            task = self.world.tasks.get(task_id)
            before = self._told.get(task_id, task.status.state if task else TaskState.NEW)
            if before in FINAL:
                return
            self._told[task_id] = state
            self._report(task_id, {"state": state, **more})

    def begin(self, task_id: str) -> None:
        """Make a task's container, if there is none yet, and run it."""
        task = self.world.tasks.get(task_id)
        if task is None or task.desired not in WANTED:
            return
        try:
            container_id = self.containers.get(task_id) or self._made(task)
        except (MobyError, OSError) as error:
            self._files.drop(task_id)
            self._tell(task_id, TaskState.REJECTED, error=_text(error), message="preparing")
            return
        try:
            container = self._parts.containers.get(container_id)
        except NotFound:
            self.missed(task_id)
            return
        if container.state.status is Status.CREATED and not container.state.started:
            self._tell(task_id, TaskState.STARTING, message="starting", container_id=container_id)
            try:
                self._parts.containers.start(container_id)
            except (MobyError, OSError) as error:
                self._tell(task_id, TaskState.FAILED, error=f"starting container failed: {_text(error)}", exit_code=128)
                return
        if self.observe(task_id, container_id):
            self.unwell(task_id)

    def _made(self, task: Task) -> str:
        self._tell(task.id, TaskState.PREPARING, message="preparing")
        world = self.world
        node = world.nodes.get(task.node_id)
        config = config_of(task, node, self._files.put(task, node, world))
        try:
            found = self._created(config, container_name(task))
        except NotFound:  # the image, mostly; who makes many tasks of one shall not ask for it each time
            self._pulling.ensure(task.spec.container, world.credentials.get(task.service_id))
            found = self._created(config, container_name(task))
        self.containers[task.id] = found
        return found

    def _created(self, config: ContainerConfig, name: str) -> str:
        try:
            return self._parts.containers.create(config, name).id
        except Conflict:  # made by a process that was killed before it knew
            found = self._parts.containers.get(name)
            if found.config.task != config.task:
                raise
            return found.id

    def end(self, task_id: str) -> None:
        """End a task's container, in the time that it has for that."""
        container_id = self.containers.get(task_id)
        if container_id is None:
            self._tell(task_id, TaskState.SHUTDOWN, message="shutdown")
            return
        with suppress(NotFound):
            self._parts.containers.stop(container_id)
        self.observe(task_id, container_id, ending=True)

    def remove(self, task_id: str) -> None:
        """Remove what there is of a task that nobody knows any more."""
        container_id = self.containers.get(task_id)
        if container_id is not None:
            try:
                self._parts.containers.stop(container_id)
                self._parts.containers.remove(container_id, force=True, volumes=True)
            except NotFound:
                pass
        self._files.drop(task_id)
        self.containers.pop(task_id, None)
        self._told.pop(task_id, None)
        self._unwell.discard(task_id)

    def observe(self, task_id: str, container_id: str, *, ending: bool = False) -> bool:
        """Say how a task's container is; return whether it is to be ended: it isn't well, or was to have ended."""
        task = self.world.tasks.get(task_id)
        wanted = task is not None and task.desired in WANTED and not ending
        try:
            container = self._parts.containers.get(container_id)
        except NotFound:
            self._gone(task_id, wanted, "its container was removed")
            return False
        state = container.state
        if state.status in ALIVE:
            return self._alive(task_id, container)
        if state.status is Status.CREATED and not state.started:
            if not wanted:
                self._tell(task_id, TaskState.SHUTDOWN, message="shutdown", container_id=container_id)
            return False
        self._over(task_id, container, wanted)
        return False

    def _gone(self, task_id: str, wanted: bool, why: str) -> None:
        if wanted:
            self._tell(task_id, TaskState.FAILED, message="failed", error=why)
        else:
            self._tell(task_id, TaskState.SHUTDOWN, message="shutdown")

    def missed(self, task_id: str) -> None:
        """Say that a task that ran has no container any more."""
        task = self.world.tasks.get(task_id)
        self._gone(task_id, task is not None and task.desired in WANTED, "its container is gone")

    def _alive(self, task_id: str, container: Container) -> bool:
        if self._told.get(task_id) in FINAL:
            return True
        health = health_of(container)
        self._tell(
            task_id,
            TaskState.RUNNING,
            message="started",
            health=health,
            container_id=container.id,
            pid=container.state.pid,
            ports=container.ports,
            endpoints=container.endpoints,
        )
        return health is HealthStatus.UNHEALTHY

    def unwell(self, task_id: str) -> None:
        """End a task's container that isn't well, or that somebody started again, and say so once it has ended."""
        container_id = self.containers.get(task_id)
        if container_id is None:
            return
        self._unwell.add(task_id)
        with suppress(NotFound):
            self._parts.containers.stop(container_id)
        self.observe(task_id, container_id)

    def _over(self, task_id: str, container: Container, wanted: bool) -> None:
        self._files.drop(task_id)  # which nobody is to have who starts it by hand
        code = container.state.exit_code
        if not wanted:
            state, error = TaskState.SHUTDOWN, ""
        elif task_id in self._unwell:
            state, error = TaskState.FAILED, "task: unhealthy container"
        elif code == 0:
            state, error = TaskState.COMPLETE, ""
        else:
            said = "unknown" if code is None else f"non-zero exit ({code})"
            why = f": {container.state.error}" if container.state.error else ""
            state, error = TaskState.FAILED, f"task: {said}{why}"
        self._tell(
            task_id, state, message="finished" if wanted else "shutdown", error=error, exit_code=code, pid=0, ports=(),
            container_id=container.id,
        )  # fmt: skip


def _text(error: Exception) -> str:
    return error.message if isinstance(error, MobyError) else str(error)
