"""A schedule: tasks that wait for each other, done side by side by a few threads.

A task is a generator that yields the tasks it waits for, and is gone on with once they are done; so that one which
waits takes no thread, however many there are and however deep they go. One that is about to take long yields `LONG`:
then another thread does what else is ready. Else one thread goes on, since to wake a second one costs more than most
steps of a build that is cached. The first failure ends all.
"""

import heapq
import threading
from collections.abc import Generator, Iterable, Sequence
from typing import Any, Generic, TypeVar

from moby.errors import Unavailable
from moby_builder.dockerfile.solver.effects import Cancel

__all__ = ["LONG", "Schedule", "Steps", "Task"]

T = TypeVar("T")

Steps = Generator[Iterable["Task[Any]"], None, T]
"""What a task does between its waits."""

LONG: tuple["Task[Any]", ...] = ()
"""What a task yields before it does what may take long."""


class Task(Generic[T]):
    """Something that will be done once."""

    def __init__(self, steps: Steps[T], order: tuple[int, int]) -> None:
        self.steps = steps
        self.order = order
        self.done = False
        self.missing = 0
        self.waiting: list[Task[Any]] = []
        self._value: T | None = None

    @property
    def value(self) -> T:
        """What came of it, for those who waited."""
        assert self.done, "a task's value is there once it was waited for"
        return self._value  # type: ignore[return-value]

    def finish(self, value: T) -> None:
        """Keep what came of it."""
        self._value, self.done = value, True

    def __lt__(self, other: "Task[Any]") -> bool:
        return self.order < other.order


class Schedule:
    """Does tasks; the thread that calls `run` is one of those that work. `cancel` is set at the first failure."""

    def __init__(self, threads: int, cancel: Cancel) -> None:
        self._most_others = threads - 1
        self._cancel = cancel
        self._changed = threading.Condition()
        self._ready: list[Task[Any]] = []
        self._all: list[Task[Any]] = []
        self._at_work = 0
        self._others = 0
        """Threads besides the caller's; one ends as soon as nothing is ready."""
        self._running = False
        self._idle = False
        """Whether the caller waits for something to do."""
        self._error: BaseException | None = None

    def add(self, steps: Steps[T], order: int = 0) -> Task[T]:
        """Add a task, before `run` or by another task that goes on quickly: of several the one of the lowest order."""
        with self._changed:
            task = Task(steps, (order, len(self._all)))
            self._all.append(task)
            heapq.heappush(self._ready, task)
        return task

    def run(self, *wanted: Task[Any]) -> None:
        """Work until these are done; raise the first failure, once nothing is at work any more."""
        remove = self._cancel.add(self._give_up)
        self._running = True
        try:
            while (task := self._wait(wanted)) is not None:
                self._work(task)
        finally:
            self._running = False
            remove()
        if self._error is not None:
            for each in self._all:
                each.steps.close()
            raise self._error

    def _wait(self, wanted: Sequence[Task[Any]]) -> Task[Any] | None:
        """Wait for a task that the caller is to do; None once all are done, or the rest has ended after a failure."""
        with self._changed:
            while True:
                if self._error is None and all(each.done for each in wanted):
                    return None
                if self._error is not None and not self._at_work:
                    return None
                if self._error is None and self._ready:
                    return self._take()
                assert self._at_work, "tasks wait for each other"
                self._idle = True
                try:
                    self._changed.wait()
                except BaseException as error:  # a signal's
                    self._error = self._error or error
                    self._cancel.set()
                self._idle = False

    def _take(self) -> Task[Any]:
        """Take the next task."""
        task = heapq.heappop(self._ready)
        self._at_work += 1
        return task

    def _call_others(self) -> None:
        """Have another thread do what is ready, where something is."""
        if not self._ready or not self._running or self._error is not None:
            return
        if self._idle:
            self._changed.notify_all()
        elif self._others < self._most_others:
            self._others += 1
            threading.Thread(target=self._assist, name="builder", daemon=True).start()

    def _assist(self) -> None:
        """Do what is ready, as another thread than the caller's."""
        while True:
            with self._changed:
                if not self._ready or self._error is not None:
                    self._others -= 1
                    return
                task = self._take()
            self._work(task)

    def _work(self, task: Task[Any]) -> None:
        """Go on with a task up to where it waits for others."""
        try:
            while not self._park(task, next(task.steps)):
                pass
        except StopIteration as end:
            self._finish(task, end.value)
        except BaseException as error:
            self._fail(error)
        with self._changed:
            self._at_work -= 1
            if not self._ready or self._error is not None:  # else this thread goes on with that
                self._changed.notify_all()

    def _park(self, task: Task[Any], waits: Iterable[Task[Any]]) -> bool:
        """Let a task wait for others; False where they are done already."""
        with self._changed:
            if waits is LONG:
                self._call_others()
                return False
            missing = {id(each): each for each in waits if not each.done}
            for each in missing.values():
                each.waiting.append(task)
            task.missing = len(missing)
            return bool(missing)

    def _finish(self, task: Task[Any], value: object) -> None:
        with self._changed:
            task.finish(value)
            for each in task.waiting:
                each.missing -= 1
                if not each.missing:
                    heapq.heappush(self._ready, each)
            task.waiting.clear()

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()
        self._cancel.set()

    def _give_up(self) -> None:
        try:
            self._cancel.check()
        except Unavailable as error:
            self._fail(error)
