"""The calls of the contract, each as a coroutine of the loop."""

import os
import signal as signals
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from moby.contracts.log_driver import LogConfig, LogQuery
from moby.contracts.runtime import Stats
from moby.contracts.supervisor import Streams, TaskEvent, TaskState
from moby.contracts.types import Exit, TaskStatus, Window
from moby.errors import Conflict, MobyError, Unavailable
from moby.host import processes
from moby_supervisor.local import readers, task_logs
from moby_supervisor.local.making import Maker
from moby_supervisor.local.starter import Line
from moby_supervisor.local.task import Task
from moby_supervisor.local.workers import Call
from moby_supervisor.local.world import World

__all__ = ["Verbs"]

_LIVE = (TaskStatus.CREATED, TaskStatus.RUNNING, TaskStatus.PAUSED)


class Verbs:
    """All methods are as those of Supervisor."""

    def __init__(self, world: World, maker: Maker) -> None:
        self._world = world
        self._maker = maker
        self.create = maker.create
        self.exec = maker.exec

    async def features(self, runtime: str = "") -> frozenset[str]:
        """Return what a runtime offers."""
        return self._world.runtime(runtime)[1].features

    async def runtimes(self) -> tuple[str, ...]:
        """Return the names of all runtimes, the default one first."""
        return tuple(self._world.runtimes)

    async def programs(self) -> Mapping[str, tuple[str, str]]:
        """Return what runtimes say of the programs that they use."""
        found: dict[str, tuple[str, str]] = {}
        for name, runtime in self._world.runtimes.items():
            told = await self._world.workers.call(f"ask what runtime {name} uses", Call(runtime, "programs"))
            found |= {each: (version, commit) for each, (version, commit) in told.items()}
        return found

    async def log_drivers(self) -> tuple[str, ...]:
        """Return the names of all log drivers, the default one first."""
        return tuple(self._world.drivers)

    async def check_log(self, driver: str, options: Mapping[str, str]) -> None:
        """Refuse a log's options."""
        task_logs.check(self._world, driver, options)

    async def start(self, task_id: str) -> None:
        """Run the user's program."""
        task = self._world.task(task_id)
        async with task.turns:
            task.expect(TaskStatus.CREATED)
            task.expect_container("start")
            now = self._world.clock.now_ns()
            try:
                await self._call(task, "start", TaskStatus.RUNNING, started_ns=now)
            except BaseException:
                task.change(started_ns=0)
                raise
            if task.record.exit is None:
                self._maker.begin_health(task)

    def started(self, task: Task) -> None:
        """A task's program runs, or has ended already."""
        if task.record.exit is None:
            task.change(status=TaskStatus.RUNNING.value)
            self._maker.begin_health(task)

    async def _call(self, task: Task, doing: str, status: TaskStatus, **values: object) -> None:
        """Have a worker do what changes a task, so that another supervisor knows what to wait for.

        `status` is that of a task which hasn't ended meanwhile.
        """
        call = Call(task.runtime, doing, (task.id,))
        with Line() as line:
            try:
                await self._with_line(task, doing, call, line, **values)
            except BaseException:
                task.line = None
                task.change(doing="")
                self._world.hold_later(task)
                raise
            task.line = None
            task.change(doing="", **({} if task.record.exit else {"status": status.value}))
            self._world.hold_later(task)

    async def _with_line(self, task: Task, doing: str, call: Call, line: Line, **values: object) -> None:
        """Write down what is begun, have its line held, and make the call."""
        task.line = line
        task.change(doing=doing, **values)
        self._world.hold(task)
        await self._world.workers.run(line, f"{doing} {task.id}", call)

    async def attach(self, task_id: str) -> Streams:
        """Return fresh descriptors of the task's streams."""
        return self._world.task(task_id).attach()

    async def exit_fd(self, task_id: str) -> int:
        """Return a fresh descriptor that becomes readable when the task has stopped."""
        return self._world.task(task_id).exit_fd()

    async def state(self, task_id: str) -> TaskState:
        """Return the state."""
        return self._world.task(task_id).state()

    async def list(self) -> tuple[TaskState, ...]:
        """Return all tasks, sorted by id."""
        return tuple(each.state() for _, each in sorted(self._world.tasks.items()))

    async def kill(self, task_id: str, signal: int, *, everyone: bool = False) -> None:
        """Send a signal to the first process, or to all; an exec has only its own."""
        task = self._world.task(task_id)
        task.expect(*_LIVE)
        if everyone and task.is_container:
            await self._runtime_kill(task, signal, everyone=True)
            return
        try:
            processes.send_signal(task.pidfd, signal)
        except ProcessLookupError:
            raise Conflict(f"task {task_id} has stopped already") from None
        if signal == signals.SIGKILL and task.status is TaskStatus.PAUSED and task.is_container:
            await self._runtime_kill(task, signal)  # which thaws it, since what is frozen doesn't die

    async def _runtime_kill(self, task: Task, signal: int, *, everyone: bool = False) -> None:
        call = Call(task.runtime, "kill", (task.id, signal), {"everyone": everyone})
        await self._world.workers.call(f"send a signal to {task.id}", call)

    async def resize(self, task_id: str, window: Window) -> None:
        """Tell the terminal its size."""
        self._world.task(task_id).resize(window)

    async def pause(self, task_id: str) -> None:
        """Freeze."""
        await self._freeze(task_id, "pause", TaskStatus.RUNNING, TaskStatus.PAUSED)

    async def resume(self, task_id: str) -> None:
        """Thaw."""
        await self._freeze(task_id, "resume", TaskStatus.PAUSED, TaskStatus.RUNNING)

    async def _freeze(self, task_id: str, verb: str, before: TaskStatus, after: TaskStatus) -> None:
        task = self._world.task(task_id)
        task.expect_container(verb)
        async with task.turns:
            task.expect(before)
            await self._call(task, verb, after)
            if after is TaskStatus.PAUSED and task.health is not None:
                task.health.paused()

    async def update(self, task_id: str, resources: Mapping[str, Any]) -> None:
        """Change limits."""
        task = self._world.task(task_id)
        task.expect_container("update")
        async with task.turns:
            call = Call(task.runtime, "update", (task_id, resources))
            await self._world.workers.call(f"change the limits of {task_id}", call)

    async def stats(self, task_id: str) -> Stats:
        """Return what it uses now; by files alone, as runtimes promise, so it is done at once."""
        task = self._world.task(task_id)
        task.expect_container("count what is used by")
        return task.runtime.stats(task_id)

    async def pids(self, task_id: str) -> tuple[int, ...]:
        """Return the pids of all processes inside."""
        task = self._world.task(task_id)
        task.expect_container("list")
        if task.record.exit is not None:
            return ()
        call = Call(task.runtime, "pids", (task_id,))
        return tuple(await self._world.workers.call(f"list the processes of {task_id}", call))

    # --- logs and journal ---------------------------------------------------------------------------------------

    async def logs(self, config: LogConfig, query: LogQuery) -> int:
        """Return a descriptor to read a log from."""
        return await readers.read(self._world, config, query)

    async def journal(self, after: int) -> tuple[TaskEvent, ...]:
        """Return what has happened after an entry's number."""
        return self._world.journal.after(after)

    async def journal_fd(self, after: int) -> int:
        """Return a descriptor that becomes readable once there is something."""
        theirs, ours = os.pipe2(os.O_CLOEXEC)
        loop, journal = self._world.loop, self._world.journal

        def done(events: int = 0) -> None:
            journal.unwatch(done)
            loop.forget(ours)
            os.close(ours)

        loop.watch(ours, 0, done)
        # Its closing is what is readable, also where this process is killed: then whoever waits asks anew.
        journal.watch(after, done)
        return theirs

    async def trim_journal(self, until: int) -> None:
        """Forget entries up to a number."""
        self._world.journal.trim(until)

    # --- the end ------------------------------------------------------------------------------------------------

    async def delete(self, task_id: str, *, force: bool = False) -> Exit | None:
        """Forget a stopped task and remove its container; return how it ended."""
        task = self._world.task(task_id)
        if task.status is not TaskStatus.STOPPED and not force:
            raise Conflict(f"task {task_id} is {task.status}", hint="stop it first, or delete it by force")
        async with task.turns:
            self._world.task(task_id)  # not deleted by another call meanwhile
            if task.status is not TaskStatus.STOPPED:
                await self._end(task)
            if task.is_container:
                # Its first process is gone; what that left running elsewhere than in a PID namespace goes by force.
                await self._delete(task)
            await self._maker.forget(task)
            return task.record.exit

    async def _delete(self, task: Task) -> None:
        """Remove a container; what is written of it, and held, goes next."""
        call = Call(task.runtime, "delete", (task.id,), {"force": True})
        with Line() as line:
            try:
                await self._with_line(task, "delete", call, line)
            except BaseException:
                task.line = None
                task.change(doing="")
                self._world.hold_later(task)
                raise
            task.line = None

    async def _end(self, task: Task) -> None:
        """Kill a task and wait until it has ended, which takes as long as the kernel needs to tear it down."""
        if task.is_container:
            with suppress(MobyError):
                await self._runtime_kill(task, signals.SIGKILL, everyone=True)
        with suppress(ProcessLookupError):
            if task.pidfd >= 0:
                processes.send_signal(task.pidfd, signals.SIGKILL)
        timeout_s = self._world.kill_timeout_s
        if not await self._world.loop.readable(task.exit_event, timeout_s):
            raise Unavailable(
                f"task {task.id} was killed and hasn't ended within {timeout_s:g} s",
                hint="a process that waits for a device ends when the device answers; delete it again then",
            )
