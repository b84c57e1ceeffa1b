"""This machine as a node: has its tasks be as they are wanted, and follows what becomes of them."""

import os
import select
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from moby.contracts.events import Event, Subscription
from moby.contracts.orchestrator import Task, TaskState
from moby_orchestrator.reconciling.tasks import FINAL, WANTED
from moby_orchestrator.swarm.containering import TASK_ID, task_of
from moby_orchestrator.swarm.files import Files
from moby_orchestrator.swarm.manager import Report
from moby_orchestrator.swarm.parts import Parts
from moby_orchestrator.swarm.working import ALIVE, Work
from moby_orchestrator.swarm.world import World

__all__ = ["Agent"]

_TOLD = ("die", "destroy", "start", "health_status")
_ENDING = 32
"""So many containers may be waited for at a time that take their time to end."""
_PAUSE_S = 1.0
_CHECK_S = 15.0
"""How often a node looks at its containers which it may not have been told of."""


class Agent:
    """A thread that follows the engine's events and each new world, and threads that start and end containers."""

    def __init__(
        self, parts: Parts, node_id: str, files: Files, report: Callable[[str, Report], None], starting: int
    ) -> None:
        self._parts, self._node_id, self._files = parts, node_id, files
        self._work = Work(parts, files, report)
        self._busy: set[str] = set()
        self._seen = World()
        self._undone: set[str] = set()
        """Tasks at which it is to be looked again, though the world has them as they were."""
        self._stopping = threading.Event()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._starts = ThreadPoolExecutor(starting or 2 * (os.cpu_count() or 1), "swarm-start")
        self._ends = ThreadPoolExecutor(_ENDING, "swarm-end")
        self._thread = threading.Thread(target=self._run, name="swarm-agent", daemon=True)
        self._subscription: Subscription | None = None
        self._checked_s = time.monotonic()

    def start(self, world: World) -> None:
        """Take over what containers there are, and begin."""
        self._work.world = world
        self._subscription = self._subscribed()
        self._adopt()
        self._thread.start()
        self._signal()

    def stop(self) -> None:
        """End, once what is under way is done; containers stay as they are."""
        self._stopping.set()
        self._signal()
        self._thread.join()
        self._starts.shutdown(cancel_futures=True)
        self._ends.shutdown(cancel_futures=True)
        if self._subscription is not None:
            self._subscription.close()
        os.close(self._wake)

    def see(self, world: World) -> None:
        """Have things be as they are wanted in a world."""
        if world is not self._work.world:
            self._work.world = world
            self._signal()

    def _signal(self) -> None:
        with suppress(OSError):
            os.eventfd_write(self._wake, 1)

    def _subscribed(self) -> Subscription:
        def wanted(event: Event) -> bool:
            return event.type == "container" and TASK_ID in event.attributes and event.action.startswith(_TOLD)

        return self._parts.events.subscribe(wanted=wanted)

    def _adopt(self) -> None:
        """Know the containers that an earlier process made, and say how they are; those that are gone are missed."""
        world = self._work.world
        found, alive = {}, set()
        for each in self._parts.containers.list():
            task_id = task_of(each, self._node_id, world.tasks)
            if task_id:
                found[task_id] = each.id
                if each.state.status in ALIVE:
                    alive.add(task_id)
        self._work.containers.update(found)
        self._undone.update(found)
        self._files.keep(frozenset(world.tasks))
        for task in world.tasks.values():
            if task.node_id != self._node_id:
                continue
            if task.status.state in FINAL:
                if task.id in alive:  # told to have ended by one who was killed before it had
                    self._submit(self._ends, task.id, self._work.unwell)
            elif task.id in found:
                self._observe(task.id, found[task.id])
            elif task.status.state is TaskState.RUNNING:
                self._work.missed(task.id)

    def _run(self) -> None:
        assert self._subscription is not None
        while not self._stopping.is_set():
            try:
                select.select([self._wake, self._subscription.fileno()], [], [], _CHECK_S)
                with suppress(BlockingIOError):
                    os.eventfd_read(self._wake)
                if self._stopping.is_set():
                    return
                if time.monotonic() - self._checked_s >= _CHECK_S:
                    self._checked_s = time.monotonic()
                    self._check()
                self._follow()
                self._look()
            except Exception as error:  # which shall not end the following of all else
                self._parts.log.error("a node can't do what it is to do", error=repr(error))
                self._seen = World()  # so that all is looked at again
                self._stopping.wait(_PAUSE_S)

    def _follow(self) -> None:
        """Take what the engine tells; where it told more than could be kept, look at everything."""
        assert self._subscription is not None
        for event in self._subscription.take():
            task_id = event.attributes[TASK_ID]
            begins = event.action == "start" and task_id in self._busy  # which is observed by who starts it
            if self._work.containers.get(task_id) == event.id and not begins:
                self._observe(task_id, event.id)
        if self._subscription.ended and not self._stopping.is_set():
            self._stopping.wait(_PAUSE_S)  # lest an engine that ends has this go round and round
            self._subscription.close()
            self._subscription = self._subscribed()
            self._adopt()

    def _check(self) -> None:
        """Find out what nobody told, as an engine may not that couldn't write it down."""
        containers = {each.id: each for each in self._parts.containers.list()}
        for task in self._work.world.tasks.values():
            container_id = self._work.containers.get(task.id)
            if container_id is None or task.id in self._busy or self._work.state(task) is not TaskState.RUNNING:
                continue
            there = containers.get(container_id)
            if there is None or there.state.status not in ALIVE:
                self._observe(task.id, container_id)

    def _observe(self, task_id: str, container_id: str) -> None:
        if self._work.observe(task_id, container_id) and task_id not in self._busy:
            self._submit(self._ends, task_id, self._work.unwell)

    def _look(self) -> None:
        """Begin what is to be done of what has changed: to start, to end, and to remove what nobody knows any more."""
        world, before = self._work.world, self._seen
        changed: list[str] = []
        while self._undone:
            changed.append(self._undone.pop())
        if world is not before:
            changed += [id for id, task in world.tasks.items() if before.tasks.get(id) is not task]  # noqa: A001
            changed += [each for each in [*self._work.containers] if each not in world.tasks]
        self._seen = world
        for task_id in changed:
            if task_id not in self._busy:
                self._look_at(task_id, world.tasks.get(task_id))

    def _look_at(self, task_id: str, task: Task | None) -> None:
        if task is None:
            if task_id in self._work.containers:
                self._submit(self._ends, task_id, self._work.remove)
            return
        state = self._work.state(task)
        if task.node_id != self._node_id or state in FINAL or task.status.state in FINAL:
            return
        if task.desired not in WANTED:
            self._submit(self._ends, task.id, self._work.end)
        elif state is not TaskState.RUNNING:
            self._submit(self._starts, task.id, self._work.begin)

    def _submit(self, pool: ThreadPoolExecutor, task_id: str, work: Callable[[str], None]) -> None:
        self._busy.add(task_id)

        def run() -> None:
            try:
                work(task_id)
            except Exception as error:
                self._parts.log.warning("a task can't be changed, and is tried again", task=task_id, error=str(error))
                self._stopping.wait(_PAUSE_S)
            finally:
                self._busy.discard(task_id)
                self._undone.add(task_id)
                self._signal()

        pool.submit(run)
