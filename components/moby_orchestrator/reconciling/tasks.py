"""What can be said of a task by itself."""

import hashlib

from moby.contracts.orchestrator import Mode, RestartCondition, Service, Task, TaskState, TaskStatus
from moby.contracts.supervisor import HealthStatus

__all__ = ["FINAL", "JOBS", "SKEW_NS", "WANTED", "broke", "elapsed_ns", "failed", "identify", "new", "works"]

FINAL = frozenset({TaskState.COMPLETE, TaskState.SHUTDOWN, TaskState.FAILED, TaskState.REJECTED, TaskState.ORPHANED})
"""States of tasks that use nothing any more."""
WANTED = frozenset({TaskState.RUNNING, TaskState.COMPLETE})
"""What is desired of a task that is to run: for ever, or to its end."""
JOBS = frozenset({Mode.REPLICATED_JOB, Mode.GLOBAL_JOB})
SKEW_NS = 10_000_000_000
"""By how much the clocks of nodes may differ."""
_WELL = frozenset({HealthStatus.NONE, HealthStatus.HEALTHY})
_FAILED = frozenset({TaskState.FAILED, TaskState.REJECTED})


def works(task: Task) -> bool:
    """Return whether a task does what it is for: it runs, and is well where somebody looks."""
    return task.status.state is TaskState.RUNNING and task.status.health in _WELL


def failed(task: Task) -> bool:
    """Return whether a task ended, other than well and other than as it was told to."""
    return task.status.state in _FAILED


def broke(task: Task, monitor_ns: int) -> bool:
    """Return whether a task speaks against what it was made of: it isn't well, or ended soon after its start."""
    status = task.status
    if status.state is TaskState.RUNNING:
        return status.health is HealthStatus.UNHEALTHY
    ended = status.state in _FAILED or (
        status.state is TaskState.COMPLETE and task.spec.restart.condition is RestartCondition.ANY
    )
    return ended and (status.started_ns == 0 or status.time_ns - status.started_ns <= monitor_ns)


def elapsed_ns(since_ns: int, now_ns: int) -> int:
    """Return how long something is ago; what clocks that differ let be in the future is now.

    What is further in the future was written before a clock was set back: that is long ago, lest anybody wait for it.
    """
    if since_ns <= now_ns:
        return now_ns - since_ns
    return 0 if since_ns - now_ns <= SKEW_NS else now_ns


def identify(*parts: object) -> str:
    """Return an id as docker's of 25 letters and digits, the same for the same parts."""
    number = int.from_bytes(hashlib.sha256("\0".join(map(str, parts)).encode()).digest()[:16], "big")
    digits = ""
    for _ in range(25):
        number, digit = divmod(number, 36)
        digits += "0123456789abcdefghijklmnopqrstuvwxyz"[digit]
    return digits


def new(service: Service, slot: int, attempt: int, now_ns: int, node_id: str = "") -> Task:
    """Return a task as it begins."""
    return Task(
        id=identify(service.id, slot, node_id, attempt, now_ns),
        service_id=service.id,
        spec=service.spec,
        template=service.template,
        slot=slot,
        attempt=attempt,
        node_id=node_id,
        desired=TaskState.COMPLETE if service.spec.mode in JOBS else TaskState.RUNNING,
        status=TaskStatus(TaskState.NEW, now_ns),
        created_ns=now_ns,
    )
