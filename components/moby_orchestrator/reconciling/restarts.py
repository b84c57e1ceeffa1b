"""Whether and when a task that ended by itself is followed by another."""

from collections.abc import Sequence

from moby.contracts.orchestrator import RestartCondition, Service, Task, TaskState
from moby_orchestrator.reconciling.tasks import JOBS, WANTED, elapsed_ns

__all__ = ["delay_ns", "kept"]


def delay_ns(service: Service, ended: Sequence[Task], now_ns: int) -> int | None:
    """Return how long to wait for the next task of a slot, 0 for not at all; None where none is to follow.

    `ended` are the slot's ended ones, the newest first; those made of another template, or ended as they were told,
    say nothing about the next.
    """
    last = ended[0] if ended else None
    if last is None or not _by_itself(last, service) or last.status.state is TaskState.ORPHANED:
        return 0
    policy = service.spec.restart
    if policy.condition is RestartCondition.NONE or _done(last, service):
        return None
    if policy.max_attempts and _attempts(service, ended, last) > policy.max_attempts:
        return None
    return max(0, policy.delay_ns - elapsed_ns(last.status.time_ns, now_ns))


def kept(service: Service, history: int) -> int:
    """Return how many ended tasks of a slot must be known, lest more follow than may."""
    return max(history, service.spec.restart.max_attempts + 1, 1)


def _by_itself(task: Task, service: Service) -> bool:
    return task.desired in WANTED and task.template == service.template


def _done(last: Task, service: Service) -> bool:
    """Return whether a task ended well, of a sort that is then done."""
    well = last.status.state is TaskState.COMPLETE
    return well and (service.spec.mode in JOBS or service.spec.restart.condition is RestartCondition.ON_FAILURE)


def _attempts(service: Service, ended: Sequence[Task], last: Task) -> int:
    """Return how many began in the window that ends with the last one's end: the first, and those that followed it."""
    window = service.spec.restart.window_ns
    since = last.status.time_ns - window if window else 0
    return sum(1 for task in ended if _by_itself(task, service) and task.created_ns >= since)
