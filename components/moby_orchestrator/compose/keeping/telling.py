"""Services' tasks, of what there is and of what is still to be made."""

from collections.abc import Iterator, Mapping

from moby.contracts.containers import Container
from moby.contracts.orchestrator import Node, Problem, Task, TaskState, TaskStatus
from moby_orchestrator.compose.keeping.machine import problems_of
from moby_orchestrator.compose.keeping.planning import View, up_to_date, waits_for
from moby_orchestrator.compose.keeping.seeing import status_of
from moby_orchestrator.compose.keeping.values import Kept, Seen
from moby_orchestrator.reconciling.tasks import identify

__all__ = ["tasks_of"]


def tasks_of(
    service: Kept, view: View, there: Mapping[str, Container], failed: Mapping[tuple[str, int], str], node: Node
) -> Iterator[Task]:
    """Yield a service's tasks by slot: its containers, and those that it lacks, with the reason."""
    problems = () if service.adopted else problems_of(service.spec, node)
    seen = view.of(service.id)
    for each in seen:
        if each.id in there:
            yield _of_container(service, view, each, there[each.id], node)
    used = {each.number for each in seen}
    lost = {slot[1]: text for slot, text in failed.items() if slot[0] == service.id and slot[1] not in used}
    for number, text in sorted(lost.items()):
        status = TaskStatus(TaskState.REJECTED, service.updated_ns, message="preparing", error=text)
        yield _without(service, number, node, status)
    if service.adopted:
        return
    count = service.missing if not problems else service.spec.replicas
    free = (number for number in range(1, service.spec.replicas + 1) if number not in used | lost.keys())
    for number, _ in zip(free, range(count - len(lost)), strict=False):
        state = TaskState.PENDING if problems else TaskState.PREPARING
        message = "no suitable node" if problems else "preparing"
        yield _without(service, number, node, TaskStatus(state, service.updated_ns, message=message), problems)


def _of_container(service: Kept, view: View, seen: Seen, container: Container, node: Node) -> Task:
    status = status_of(container)
    waited = waits_for(view, service) if status.state is TaskState.READY else ""
    if waited:
        status = TaskStatus(TaskState.PENDING, status.time_ns, message=f"waits for {waited}", container_id=container.id)
    stays = service.adopted or (up_to_date(service, seen) and seen.number <= max(service.spec.replicas, 1))
    return Task(
        id=container.id,
        service_id=service.id,
        spec=service.spec,
        template=seen.made_of,
        slot=seen.number,
        attempt=container.restart_count + 1,
        node_id=node.id,
        desired=TaskState.RUNNING if stays else TaskState.SHUTDOWN,
        status=status,
        created_ns=seen.created_ns,
        endpoints=container.endpoints,
    )


def _without(service: Kept, number: int, node: Node, status: TaskStatus, problems: tuple[Problem, ...] = ()) -> Task:
    return Task(
        id=identify(service.id, number, service.version),
        service_id=service.id,
        spec=service.spec,
        template=service.made_of,
        slot=number,
        node_id="" if problems else node.id,
        status=status,
        created_ns=service.updated_ns,
        problems=problems,
    )
