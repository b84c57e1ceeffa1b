"""Services whose tasks run to their end."""

from collections.abc import Mapping

from moby.contracts.orchestrator import Mode, Service, Task, TaskState
from moby_orchestrator.reconciling.dependencies import waits_for
from moby_orchestrator.reconciling.restarts import delay_ns
from moby_orchestrator.reconciling.steps import Steps
from moby_orchestrator.reconciling.tasks import new
from moby_orchestrator.reconciling.view import Key, Slot, View

__all__ = ["is_result", "run_to_end"]


def is_result(service: Service, task: Task) -> bool:
    """Return whether a task is a job's result: one of the present template that ended well."""
    return task.template == service.template and task.status.state is TaskState.COMPLETE


def run_to_end(view: View, service: Service, slots: Mapping[Key, Slot], steps: Steps) -> None:
    """Decide what is to be done so that each slot has a task that ended well, so many at a time.

    A job that was changed is another job: what is left of the earlier one ends at once.
    """
    room = service.spec.replicas if service.spec.mode is Mode.REPLICATED_JOB else len(slots)
    open_slots = []
    for key, slot in slots.items():
        fresh = [task for task in slot.live if task.template == service.template]
        for task in slot.live:
            if task not in fresh[:1]:
                steps.end(task, "its service has changed")
        room -= bool(fresh)
        busy = slot.live or slot.leaving
        if not busy and not any(is_result(service, task) for task in slot.ended):
            open_slots.append((key, slot))
    waits = waits_for(view, service) if open_slots else ""
    for key, slot in open_slots:
        delay = delay_ns(service, slot.ended, steps.now_ns)
        if room <= 0 or delay is None:
            continue
        if waits and not slot.last:
            steps.waiting[service.id] = waits
        elif delay:
            steps.wake_in(delay)
        else:
            number, node_id = (0, str(key)) if service.spec.mode is Mode.GLOBAL_JOB else (int(key), "")
            steps.starts.append(new(service, number, slot.last + 1, steps.now_ns, node_id))
            room -= 1
