"""What is to be done for one service."""

from collections import Counter

from moby.contracts.orchestrator import Mode, Service, TaskState
from moby_orchestrator.reconciling.actions import Drop, Forget
from moby_orchestrator.reconciling.dependencies import hinders_removal
from moby_orchestrator.reconciling.jobs import is_result, run_to_end
from moby_orchestrator.reconciling.restarts import kept
from moby_orchestrator.reconciling.steps import Steps
from moby_orchestrator.reconciling.tasks import JOBS
from moby_orchestrator.reconciling.updates import keep_running
from moby_orchestrator.reconciling.view import Key, Slot, View

__all__ = ["decide"]


def decide(view: View, service: Service, steps: Steps, history: int) -> None:
    """Add what is to be done for a service; of each slot so many ended tasks stay known."""
    known = view.slots[service.id]
    if service.removing:
        if not hinders_removal(view, service):
            for slot in known.values():
                _clear(slot, steps, "its service is removed")
            if not any(slot.live or slot.leaving for slot in known.values()):
                steps.actions.append(Drop(service.id))
        return
    wanted = _wanted(view, service)
    for key, slot in known.items():
        if key in wanted:
            _trim(service, slot, steps, history)
        else:
            _clear(slot, steps, "its service has fewer tasks")
    (run_to_end if service.spec.mode in JOBS else keep_running)(view, service, wanted, steps)


def _wanted(view: View, service: Service) -> dict[Key, Slot]:
    """Return the slots that a service is to have, empty ones too."""
    known, spec = view.slots[service.id], service.spec
    if spec.mode in (Mode.GLOBAL, Mode.GLOBAL_JOB):
        return {name: known.get(name) or Slot() for name in view.eligible(service)}
    if spec.mode is Mode.REPLICATED_JOB:
        return {key: known.get(key) or Slot() for key in range(1, (spec.completions or spec.replicas) + 1)}
    if len(known) > spec.replicas:
        return {key: known[key] for key in sorted(_best(known)[: spec.replicas], key=str)}
    found: dict[Key, Slot] = dict(known)
    number = 0
    while len(found) < spec.replicas:
        number += 1
        found.setdefault(number, Slot())
    return found


def _best(known: dict[Key, Slot]) -> list[Key]:
    """Return slots in the order in which they are kept: that work, that live, evenly over nodes, the lowest first."""
    on_node: Counter[str] = Counter()
    ranks = {}
    for key in sorted(known, key=lambda key: (not known[key].working(), key)):
        slot = known[key]
        node_id = slot.live[0].node_id if slot.live else ""
        ranks[key] = (not slot.working(), not slot.live, on_node[node_id], key)
        on_node[node_id] += 1
    return sorted(ranks, key=ranks.__getitem__)


def _clear(slot: Slot, steps: Steps, why: str) -> None:
    """End what a slot has, and forget what has ended."""
    for task in (*slot.live, *slot.leaving):
        steps.end(task, why, TaskState.REMOVE)
    steps.actions.extend(Forget(task.id) for task in slot.ended)


def _trim(service: Service, slot: Slot, steps: Steps, history: int) -> None:
    """Forget the oldest of the tasks that have ended; never a job's results."""
    keep = kept(service, history)
    for number, task in enumerate(slot.ended):
        old = number >= keep and not (service.spec.mode in JOBS and is_result(service, task))
        if old or task.desired is TaskState.REMOVE:
            steps.actions.append(Forget(task.id))
