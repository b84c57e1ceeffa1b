"""What all parts of the supervisor share."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from moby.contracts.ambient import Clock, Keeper, Log
from moby.contracts.log_driver import LogDriver
from moby.contracts.runtime import Process, Runtime
from moby.errors import Conflict, NotFound
from moby.host import processes
from moby_supervisor.local import log_cache
from moby_supervisor.local.exits import Endings
from moby_supervisor.local.journal import Journal
from moby_supervisor.local.loop import Loop, Turns
from moby_supervisor.local.marks import Marks
from moby_supervisor.local.records import Records
from moby_supervisor.local.starter import Starter
from moby_supervisor.local.workers import Workers

if TYPE_CHECKING:
    from moby_supervisor.local.task import Task

__all__ = ["World", "log_name", "task_name"]

_LATER_S = 1.0


class World:
    """The loop, what is on disk, and the tasks."""

    def __init__(
        self,
        runtimes: Mapping[str, Runtime],
        drivers: Mapping[str, LogDriver],
        keeper: Keeper,
        run: Path,
        state: Path,
        clock: Clock,
        log: Log,
        kept: frozenset[int],
        *,
        kill_timeout_s: float,
        log_timeout_s: float,
    ) -> None:
        self.runtimes = runtimes
        self.drivers = drivers
        self.keeper = keeper
        self.clock = clock
        self.log = log
        self.kill_timeout_s = kill_timeout_s
        self.log_timeout_s = log_timeout_s
        run.mkdir(mode=0o700, parents=True, exist_ok=True)
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.loop = Loop(clock, log)
        self.starter = Starter(self.loop, kept)
        self.workers = Workers(self.loop, runtimes, lambda: self.starter)
        self.records = Records(run / "tasks")
        self.marks = Marks(run / "marks")
        self.journal = Journal(state / "journal", log)
        self.endings = Endings(keeper, clock)
        self.tasks: dict[str, Task] = {}
        self.making: dict[str, Task] = {}
        """Those whose `create` or `exec` is under way."""

    def close(self) -> None:
        """Let go of all that this process has open; what is on disk, and the keeper's, stays."""
        for each in (*self.tasks.values(), *self.making.values()):
            each.close()
        self.workers.close()
        self.journal.close()
        self.marks.close()
        self.loop.close()

    def runtime(self, name: str) -> tuple[str, Runtime]:
        """Find a runtime; the first one is the default. NotFound lists what there is."""
        chosen = name or next(iter(self.runtimes), "")
        if chosen not in self.runtimes:
            known = ", ".join(self.runtimes) or "none"
            raise NotFound(f"there is no runtime {chosen!r} in this engine", hint=f"it has: {known}")
        return chosen, self.runtimes[chosen]

    def driver(self, name: str) -> LogDriver:
        """Find a log driver, likewise."""
        chosen = name or next(iter(self.drivers), "")
        if chosen not in self.drivers:
            known = ", ".join(self.drivers) or "none"
            raise NotFound(f"there is no log driver {chosen!r} in this engine", hint=f"it has: {known}")
        return self.drivers[chosen]

    @property
    def log_cache(self) -> LogDriver | None:
        """Return the driver that keeps what others can't give back, where this engine has it."""
        found = self.drivers.get(log_cache.DRIVER)
        return found if found is not None and found.readable else None

    def task(self, task_id: str) -> "Task":
        """Find a task; NotFound where there is none, or none yet."""
        if task_id not in self.tasks:
            raise NotFound(f"there is no task {task_id}", hint="`ps` lists what there is")
        return self.tasks[task_id]

    def expect_free(self, task_id: str) -> None:
        """Raise Conflict where there is a task of this id, or will be."""
        if task_id in self.tasks or task_id in self.making:
            raise Conflict(f"there is a task {task_id} already", hint="delete it, or take another id")

    def turns_of(self, container: str) -> Turns:
        """Return what lets one call for a container in at a time."""
        found = self.tasks.get(container) or self.making.get(container)
        return found.turns if found is not None else Turns()

    def hold(self, task: "Task", *pids: int) -> None:
        """Have the keeper hold what another supervisor needs to go on with a task, and note new children."""
        self.keeper.hold(task_name(task.id), task.fds(), pids)

    async def finish(self, task: "Task", process: Process) -> int | None:
        """Return how a program that was run inside, and has ended, did; nobody asks again."""
        return processes.reap(process.exit_fd)

    def hold_later(self, task: "Task") -> None:
        """As `hold`, where what the keeper has is merely too much: of a task that lasts."""

        def hold() -> None:
            if self.tasks.get(task.id) is task:
                self.hold(task)

        self.loop.after(_LATER_S, hold)


def task_name(task_id: str) -> str:
    """Return the keeper's name of a task's descriptors; no id has a colon."""
    return f"task:{task_id}"


def log_name(task_id: str) -> str:
    """Return the keeper's name of the socket of a task's logger."""
    return f"log:{task_id}"
