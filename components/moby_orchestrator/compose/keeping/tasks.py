"""Tasks, which are containers, as they are; and what these have written."""

from collections.abc import Callable, Mapping

from moby.contracts.log_driver import LogQuery
from moby.contracts.orchestrator import Node, Task
from moby.contracts.types import Fd
from moby.errors import Invalid, NotFound
from moby.values import evolve
from moby_orchestrator.compose.keeping import reading
from moby_orchestrator.compose.keeping.loop import Loop
from moby_orchestrator.compose.keeping.parts import Parts
from moby_orchestrator.compose.keeping.services import Services
from moby_orchestrator.compose.keeping.telling import tasks_of

__all__ = ["Tasks"]


class Tasks:
    """See the contract; `node` says where all of them are."""

    def __init__(self, parts: Parts, loop: Loop, services: Services, node: Callable[[], Node]) -> None:
        self._parts, self._loop, self._services, self._node = parts, loop, services, node

    def get(self, name: str) -> Task:
        """Return a task, by its id or as `SERVICE.SLOT`."""
        everything = self.list()
        for each in everything:
            if name in (each.id, f"{each.spec.name}.{each.slot}"):
                return each
        found = [each for each in everything if name and each.id.startswith(name)]
        if len(found) > 1:
            raise Invalid(f"task {name} is ambiguous: {', '.join(each.id for each in found)}")
        if not found:
            raise NotFound(f"task {name} not found")
        return found[0]

    def list(self, service: str = "") -> tuple[Task, ...]:
        """Return tasks, by service and slot."""
        only = self._services.find(service).id if service else ""
        with self._loop.lock:
            grouped, there = self._loop.look()
            view, failed = self._loop.view(grouped), dict(self._loop.failed)
        kept = sorted(grouped.kept.values(), key=lambda each: each.spec.name)
        return tuple(
            task for each in kept if only in ("", each.id) for task in tasks_of(each, view, there, failed, self._node())
        )

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
            return self.list(self._services.find(name).id)
        except NotFound:
            return (self.get(name),)
