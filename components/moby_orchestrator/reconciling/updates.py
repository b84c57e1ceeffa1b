"""Services whose tasks run for ever: each slot has one of the present template, and changes roll through them."""

from collections.abc import Mapping

from moby.contracts.orchestrator import FailureAction, Mode, Order, Service, Task, UpdateState, UpdateStatus
from moby_orchestrator.reconciling.actions import Progress, RollBack
from moby_orchestrator.reconciling.dependencies import waits_for
from moby_orchestrator.reconciling.restarts import delay_ns
from moby_orchestrator.reconciling.steps import Steps
from moby_orchestrator.reconciling.tasks import broke, elapsed_ns, new, works
from moby_orchestrator.reconciling.view import Key, Slot, View

__all__ = ["keep_running"]

_UNDER_WAY = frozenset({UpdateState.UPDATING, UpdateState.ROLLBACK_STARTED})
_PAUSED = frozenset({UpdateState.PAUSED, UpdateState.ROLLBACK_PAUSED})
_BACK = frozenset({UpdateState.ROLLBACK_STARTED, UpdateState.ROLLBACK_PAUSED, UpdateState.ROLLBACK_COMPLETED})
_NEVER = -1


def keep_running(view: View, service: Service, slots: Mapping[Key, Slot], steps: Steps) -> None:
    """Decide what is to be done so that each slot has a task of the present template that works."""
    rollout = _Rollout(view, service, slots, steps)
    for key, slot in slots.items():
        rollout.look_at(key, slot)
    if rollout.stale and (service.update is None or service.update.state not in _UNDER_WAY | _PAUSED):
        rollout.begin()
    if rollout.under_way and not rollout.fails():
        rollout.go_on()


class _Rollout:
    """One look at a service's slots: which are busy, which are still to be replaced, and what that leads to."""

    def __init__(self, view: View, service: Service, slots: Mapping[Key, Slot], steps: Steps) -> None:
        self.view, self.service, self.slots, self.steps = view, service, slots, steps
        state = service.update.state if service.update else None
        self.back = state in _BACK
        self.under_way = state in _UNDER_WAY
        self.began_ns = service.update.started_ns if service.update and self.under_way else _NEVER
        self.policy = service.spec.rollback if self.back else service.spec.update
        self.busy: set[Key] = set()
        self.broken: dict[Key, Task] = {}
        self.stale: list[Key] = []
        self.unsure = False
        """Whether a new task isn't old enough yet to be trusted, or an old one is still there."""
        self.waits = waits_for(view, service) if service.spec.dependencies else ""

    def look_at(self, key: Key, slot: Slot) -> None:
        """Sort a slot in, and start what it lacks."""
        self._thin(slot)
        fresh = [task for task in slot.live if task.template == self.service.template]
        self.unsure = self.unsure or len(fresh) < len(slot.live)
        if self.under_way and (bad := self._broken(slot)):
            self.broken[key] = bad
        if fresh:
            self._settle(key, slot, next(filter(works, fresh), fresh[0]))
        elif slot.live and not self._tried(slot):
            self.stale.append(key)
        elif slot.leaving and not slot.live:
            self.busy.add(key)
        else:
            self._start(key, slot)

    def _thin(self, slot: Slot) -> None:
        """Keep one old task of a slot, where a change came before the last one's new task had taken the old one's."""
        old = [task for task in slot.live if task.template != self.service.template]
        stays = next(filter(works, old), old[0] if old else None)
        for task in old:
            if task is not stays:
                self.steps.end(task, "its service has changed again")
                slot.live.remove(task)
                slot.leaving.append(task)

    def _broken(self, slot: Slot) -> Task | None:
        monitor_ns = self.policy.monitor_ns
        return next((task for task in self._new_ones(slot) if broke(task, monitor_ns)), None)

    def _new_ones(self, slot: Slot) -> list[Task]:
        """Return the tasks that this update has made: after all others of the slot, whatever a clock said then.

        One that is taken up again after it was paused has made only what came since, unless the clock was set back.
        """
        if not self.under_way:
            return []
        template, back = self.service.template, self.began_ns > self.steps.now_ns
        before = max((task.attempt for task in slot.everything() if task.template != template), default=0)
        mine = (task for task in slot.everything() if task.template == template and task.attempt > before)
        return [task for task in mine if back or task.created_ns >= self.began_ns]

    def _tried(self, slot: Slot) -> bool:
        """Return whether a new task has been beside the old one, and has ended."""
        return any(task in slot.ended for task in self._new_ones(slot))

    def _settle(self, key: Key, slot: Slot, fresh: Task) -> None:
        """Leave a slot with its new task alone, once that works."""
        if not works(fresh):
            self.busy.add(key)
            return
        for task in slot.live:
            if task is not fresh:
                self.steps.end(task, "another one has taken its place")
        if fresh in self._new_ones(slot):
            self._wait_for(key, fresh)

    def _wait_for(self, key: Key, fresh: Task) -> None:
        works_ns = elapsed_ns(fresh.status.time_ns, self.steps.now_ns)
        if works_ns < self.policy.delay_ns:
            self.busy.add(key)
            self.steps.wake_in(self.policy.delay_ns - works_ns)
        runs_ns = elapsed_ns(fresh.status.started_ns, self.steps.now_ns)
        if runs_ns < self.policy.monitor_ns:
            self.unsure = True
            self.steps.wake_in(self.policy.monitor_ns - runs_ns)

    def _start(self, key: Key, slot: Slot) -> None:
        """Have a task follow those that ended, as far as the policy lets it."""
        if self.waits and not slot.last:
            self.steps.waiting[self.service.id] = self.waits
            self.busy.add(key)
            return
        delay = delay_ns(self.service, slot.ended, self.steps.now_ns)
        if delay is None:
            return
        self.busy.add(key)
        if delay:
            self.steps.wake_in(delay)
            return
        self._follow(key, slot)

    def _follow(self, key: Key, slot: Slot) -> None:
        number, node_id = (0, str(key)) if self.service.spec.mode is Mode.GLOBAL else (int(key), "")
        self.steps.starts.append(new(self.service, number, slot.last + 1, self.steps.now_ns, node_id))

    def begin(self) -> None:
        """Say that tasks are about to be replaced."""
        self.under_way, self.back, self.began_ns = True, False, self.steps.now_ns
        self.policy = self.service.spec.update
        self._say(UpdateState.UPDATING, "update in progress")

    def _say(self, state: UpdateState, message: str) -> None:
        ended = 0 if state in _UNDER_WAY else self.steps.now_ns
        self.steps.actions.append(Progress(self.service.id, UpdateStatus(state, self.began_ns, ended, message)))

    def fails(self) -> bool:
        """Do what is to be done if too many new tasks don't work, and return whether that is so."""
        if self.policy.failure_action is FailureAction.CONTINUE or not self.broken:
            return False
        if len(self.broken) <= self.policy.max_failure_ratio * len(self.slots):
            return False
        task = min(self.broken.values(), key=lambda task: (task.created_ns, task.id))
        cause = f"due to failure or early termination of task {task.id}"
        if self.back:
            self._say(UpdateState.ROLLBACK_PAUSED, f"rollback paused {cause}")
        elif self.policy.failure_action is FailureAction.ROLLBACK and self.service.previous is not None:
            self.steps.actions.append(RollBack(self.service.id, f"update rolled back {cause}"))
        else:
            self._say(UpdateState.PAUSED, f"update paused {cause}")
        return True

    def go_on(self) -> None:
        """Replace as many as may be at a time, those first that don't work; say when all is done.

        A slot that doesn't work is busy, passed over, or first in the row: so those that work are as many as promised.
        """
        busy = len(self.busy - self.broken.keys())
        room = (self.policy.parallelism or len(self.slots)) - busy
        self.stale.sort(key=lambda key: self.slots[key].working())
        for key in self.stale[: max(0, room)]:
            slot = self.slots[key]
            if self.policy.order is Order.START_FIRST and slot.working():
                self._follow(key, slot)
            else:
                for task in slot.live:
                    self.steps.end(task, "its service has changed")
        if not self.stale and not busy and not self.unsure:
            self._say(
                UpdateState.ROLLBACK_COMPLETED if self.back else UpdateState.COMPLETED,
                "rollback completed" if self.back else "update completed",
            )
