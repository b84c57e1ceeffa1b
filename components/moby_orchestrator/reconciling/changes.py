"""What becomes of a state: by a plan that is carried out, and by what users ask."""

from collections.abc import Iterable

from moby.contracts.orchestrator import (
    Problem,
    Service,
    ServiceSpec,
    Task,
    TaskState,
    TaskStatus,
    UpdateState,
    UpdateStatus,
)
from moby.errors import Conflict
from moby.values import evolve
from moby_orchestrator.reconciling.actions import (
    Action,
    Assign,
    Drop,
    End,
    Forget,
    Lose,
    Progress,
    Refuse,
    RollBack,
    Start,
)
from moby_orchestrator.reconciling.template import fingerprint
from moby_orchestrator.reconciling.view import State

__all__ = ["carry_out", "created", "explained", "rolled_back", "updated"]


def created(service_id: str, spec: ServiceSpec, now_ns: int) -> Service:
    """Return a service as it begins."""
    return Service(service_id, spec, fingerprint(spec), created_ns=now_ns, updated_ns=now_ns)


def updated(service: Service, spec: ServiceSpec, now_ns: int) -> Service:
    """Return a service of another spec; an update that is under way ends, and one begins where tasks are to change.

    One that was paused is taken up again. What became of the last one is forgotten, as with docker, whose command would
    take it for what became of this one.
    """
    template = fingerprint(spec)
    goes_on = service.update is not None and service.update.state in (
        UpdateState.UPDATING,
        UpdateState.ROLLBACK_STARTED,
    )
    return evolve(
        service,
        spec=spec,
        template=template,
        previous=service.spec,
        previous_template=service.template,
        update=service.update if goes_on and template == service.template else None,
        updated_ns=now_ns,
    )


def rolled_back(service: Service, message: str, now_ns: int) -> Service:
    """Return a service as before its last update; Conflict where there was none."""
    if service.previous is None:
        raise Conflict(f"service {service.id} does not have a previous spec")
    return evolve(
        service,
        spec=service.previous,
        template=service.previous_template,
        previous=None,
        previous_template="",
        update=UpdateStatus(UpdateState.ROLLBACK_STARTED, now_ns, 0, message),
        updated_ns=now_ns,
    )


def explained(problems: Iterable[Problem]) -> str:
    """Return why a task has no node, in docker's words."""
    told = [f"{each.reason.value} on {each.nodes} node{'s' * (each.nodes != 1)}" for each in problems]
    return f"no suitable node ({'; '.join(told)})" if told else "no suitable node"


def carry_out(state: State, actions: Iterable[Action], now_ns: int) -> State:
    """Return what a state is once actions are written down; that tasks have started or ended their nodes say."""
    services, tasks = dict(state.services), dict(state.tasks)
    for action in actions:
        match action:
            case Start(task):
                tasks[task.id] = _told(task, task.problems)
            case Forget(task_id):
                tasks.pop(task_id, None)
            case Drop(service_id):
                services.pop(service_id, None)
            case Progress(service_id, update):
                services[service_id] = evolve(services[service_id], update=update)
            case RollBack(service_id, message):
                services[service_id] = rolled_back(services[service_id], message, now_ns)
            case Assign() | Refuse() | End() | Lose():
                tasks[action.task_id] = _changed(tasks[action.task_id], action, now_ns)
    return State(services, tasks, state.nodes)


def _changed(task: Task, action: Assign | Refuse | End | Lose, now_ns: int) -> Task:
    match action:
        case Assign(_, node_id):
            return evolve(task, node_id=node_id, problems=(), status=TaskStatus(TaskState.ASSIGNED, now_ns))
        case Refuse(_, problems):
            return _told(task, problems)
        case End(_, desired, why):
            if task.status.state in (TaskState.NEW, TaskState.PENDING):  # which no node knows of
                status = TaskStatus(TaskState.SHUTDOWN, now_ns, message=why)
            else:
                status = evolve(task.status, message=why)
            return evolve(task, desired=desired, status=status)
        case Lose():
            status = evolve(task.status, state=TaskState.ORPHANED, time_ns=now_ns, message="its node is gone")
            return evolve(task, status=status)


def _told(task: Task, problems: tuple[Problem, ...]) -> Task:
    if task.status.state is not TaskState.PENDING:
        return task
    return evolve(task, problems=problems, status=evolve(task.status, error=explained(problems)))
