"""The tasks of a swarm's services."""

from collections.abc import Callable

from moby.contracts.orchestrator import Orchestrator, Task, TaskState
from moby_frontend.docker.call import Call, Reply, reply_json
from moby_frontend.docker.filters import Filters
from moby_frontend.docker.handlers.logs import log_query
from moby_frontend.docker.handlers.services import shown_logs
from moby_frontend.docker.parts import Parts
from moby_frontend.docker.swarm.asking import begins, checked
from moby_frontend.docker.swarm.membership import manager
from moby_frontend.docker.swarm.names import Known
from moby_frontend.docker.swarm.tasks import show_task, show_tasks, shown_slot

__all__ = ["inspect", "listed", "logs"]

_UP_TO_DATE = "_up-to-date"
"""Not documented; docker's command follows an update by it."""
_KNOWN = frozenset({"desired-state", "id", "label", "name", "node", "runtime", "service", _UP_TO_DATE})


def listed(parts: Parts, call: Call) -> Reply:
    """List tasks."""
    orchestrator, filters = manager(parts), Filters(call.query.text("filters"), _KNOWN)
    checked(filters, "desired-state", [each.value for each in TaskState])
    fits, names = _wanted(orchestrator, filters), Known(parts.networks, orchestrator)
    return reply_json(show_tasks((each for each in _asked(orchestrator, filters) if fits(each)), names))


def _asked(orchestrator: Orchestrator, filters: Filters) -> tuple[Task, ...]:
    """Return the tasks of the services that are named, or all; NotFound for a service or a node that isn't there."""
    for each in filters.get("node"):
        orchestrator.node(each)
    services = dict.fromkeys(orchestrator.service(each).id for each in filters.get("service"))
    if "service" not in filters:
        return orchestrator.tasks()
    return tuple(task for each in services for task in orchestrator.tasks(service=each))


def _wanted(orchestrator: Orchestrator, filters: Filters) -> Callable[[Task], bool]:
    """Return whether a task is to be shown."""
    nodes = {orchestrator.node(each).id for each in filters.get("node")}
    services = {each.id: each for each in orchestrator.services()}
    newest = filters.flag(_UP_TO_DATE, default=False)

    def fits(task: Task) -> bool:
        service = services.get(task.service_id)
        return (
            (not nodes or task.node_id in nodes)
            and (not newest or (service is not None and task.template == service.template))
            and begins(filters, "id", task.id)
            and begins(filters, "name", f"{task.spec.name}.{shown_slot(task) or task.node_id}")
            and filters.exact("desired-state", task.desired.value)
            and filters.labels(task.spec.container.labels)
            and filters.exact("runtime", "container")
        )

    return fits


def inspect(parts: Parts, call: Call) -> Reply:
    """Show a task."""
    orchestrator = manager(parts)
    return reply_json(show_task(orchestrator.task(call.names["id"]), Known(parts.networks, orchestrator)))


def logs(parts: Parts, call: Call) -> Reply:
    """Show the output of a task."""
    orchestrator, query = manager(parts), log_query(call, status=500)
    found = orchestrator.task(call.names["id"])
    return shown_logs(orchestrator, call, found.id, query, found.spec.container.terminal)
