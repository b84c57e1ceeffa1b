"""Makes plans and has them written, as long as there is something to do, and then waits for a change or a time."""

import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from moby.contracts.ambient import Clock, Log
from moby.contracts.orchestrator import Task, TaskState
from moby.errors import MobyError, Unsupported
from moby.values import evolve
from moby_orchestrator.reconciling.actions import Plan
from moby_orchestrator.reconciling.changes import carry_out
from moby_orchestrator.reconciling.reconciler import plan
from moby_orchestrator.reconciling.tasks import FINAL
from moby_orchestrator.reconciling.view import State
from moby_orchestrator.swarm.store import Draft, Store
from moby_orchestrator.swarm.world import World

__all__ = ["Manager", "Report"]

Report = Mapping[str, Any]
"""What has changed of a task: fields of its status, and `endpoints`."""
TICK_S = 5.0
"""How often a manager looks whether another one has changed the store, where nothing happens here."""
_RETRY_S = 1.0
_GATHER_S = 0.02
"""How long what nodes say is gathered, to be written at once; and again as long as more comes of it."""
_MOST_GATHERS = 5
_TIDY_S = 0.5
"""How often it is tried to remove what is to go once its last users have ended."""
_MOST_PLANS = 50
_MOST_CHANGES = 100
"""Tries to write a plan in portions, before reports that came since, and who ends the manager, have their turn."""
_ORDER = {state: number for number, state in enumerate(TaskState)}


class Manager:
    """A thread; `see` is given each new world, from whichever thread changed it."""

    def __init__(
        self, store: Store, clock: Clock, log: Log, see: Callable[[World], None], tidy: Callable[[], bool]
    ) -> None:
        self._store, self._clock, self._log, self._see, self._tidy = store, clock, log, see, tidy
        self._reports: list[tuple[str, Report]] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._failing = ""
        self._asked = False
        """Whether somebody waits for the next plan."""
        self._thread = threading.Thread(target=self._run, name="swarm-manager", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; what was reported and not written is found out again by the next one."""
        self._ended.set()
        self._wake.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def wake(self) -> None:
        """Plan again, unless it is the manager itself that changed something, which has planned till the end."""
        if threading.current_thread() is not self._thread:
            self._asked = True
            self._wake.set()

    def report(self, task_id: str, changed: Report) -> None:
        """Say how a task is; reports of one task are taken in their order."""
        with self._lock:
            self._reports.append((task_id, changed))
        self._wake.set()

    def _run(self) -> None:
        wait_s = 0.0
        while not self._ended.is_set():
            self._wake.wait(wait_s)
            self._gather()
            self._wake.clear()
            self._asked = False
            try:
                wait_s = self._work()
                self._failing = ""
            except (MobyError, OSError) as error:
                if str(error) != self._failing:
                    self._failing = str(error)
                    self._log.warning("the cluster's state can't be changed, and is tried again", error=str(error))
                wait_s = 0.0
                self._ended.wait(_RETRY_S)
            except Exception as error:  # a bug of ours, which shall not end everything else
                self._log.error("planning failed", error=repr(error))
                wait_s = TICK_S

    def _gather(self) -> None:
        """Wait for the rest of what is being said, unless somebody waits for a plan."""
        for _ in range(_MOST_GATHERS):
            known = len(self._reports)
            if not known or self._asked or self._ended.wait(_GATHER_S) or len(self._reports) == known:
                return

    def _work(self) -> float:
        """Do all that is to be done now; return how long to wait then."""
        world = self._store.world()
        with self._lock:
            reports, self._reports = self._reports, []
        wake_ns = 0
        cluster = world.cluster
        if cluster is not None:
            history = cluster.spec.task_history
            found = plan(world.state, self._clock.now_ns(), history) if not reports else Plan()
            wake_ns = found.wake_ns
            if found.actions or reports:
                try:
                    wake_ns = self._changed(reports, history)
                except BaseException:
                    with self._lock:
                        self._reports[:0] = reports
                    raise
        self._see(self._store.world())
        wait_s = self._until(wake_ns)
        return min(wait_s, _TIDY_S) if self._tidy() else wait_s

    def _until(self, wake_ns: int) -> float:
        if not wake_ns:
            return TICK_S
        return min(TICK_S, max(0.01, (wake_ns - self._clock.now_ns()) / 1e9))

    def _changed(self, reports: list[tuple[str, Report]], history: int) -> int:
        """Write what nodes said, and what follows from it; return when to plan again.

        That is one change, or as many as the store has to have it in. Each is sound by itself, as the next one begins
        with a new plan; and what was written of the reports is taken from them. Where that are too many for now, those
        left are told again at once.
        """
        most = sys.maxsize
        for _ in range(_MOST_CHANGES):
            if self._ended.is_set():
                break
            count = 0
            told = reports[:most]
            try:
                with self._store.change() as draft:
                    count, wake_ns = self._draw(draft, told, most, history)
            except Unsupported:
                if count <= 1:
                    raise
                most = count // 2
                continue
            del reports[: len(told)]
            if count < most:
                return wake_ns
        with self._lock:
            self._reports[:0] = reports
        return self._clock.now_ns()

    def _draw(self, draft: Draft, reports: list[tuple[str, Report]], most: int, history: int) -> tuple[int, int]:
        """Have a draft be as nodes said, and do at most so much; return how much that was, and when to plan again."""
        found, count, now_ns = Plan(), len(reports), self._clock.now_ns()
        for task_id, changed in reports:
            _told(draft, task_id, changed, now_ns)
        for _ in range(_MOST_PLANS):
            state = State(draft.services, draft.tasks, draft.nodes)
            found = plan(state, now_ns, history)
            actions = found.actions[: most - count]
            if not actions:
                break
            after = carry_out(state, actions, now_ns)
            draft.services, draft.tasks = dict(after.services), dict(after.tasks)
            count += len(actions)
        for each in draft.credentials.keys() - draft.services.keys():
            del draft.credentials[each]
        return count, found.wake_ns


def _told(draft: Draft, task_id: str, changed: Report, now_ns: int) -> None:
    """Have a task be as its node says; what has ended stays so, and nothing goes back."""
    task = draft.tasks.get(task_id)
    if task is None or task.status.state in FINAL:
        return
    status = {name: value for name, value in changed.items() if name != "endpoints"}
    state = status.get("state", task.status.state)
    if _ORDER[state] < _ORDER[task.status.state]:
        return
    moved = state is not task.status.state or status.get("health", task.status.health) is not task.status.health
    if moved:
        status["time_ns"] = now_ns
    if state is TaskState.RUNNING and not task.status.started_ns:
        status["started_ns"] = now_ns
    new = evolve(task, status=evolve(task.status, **status), **_endpoints(changed))
    if new != task:
        draft.tasks[task_id] = new


def _endpoints(changed: Report) -> Mapping[str, Any]:
    return {"endpoints": changed["endpoints"]} if "endpoints" in changed else {}


def name_of(task: Task) -> str:
    """Return what a task is called: its service and slot, or its service and node."""
    return f"{task.spec.name}.{task.slot or task.node_id}"
