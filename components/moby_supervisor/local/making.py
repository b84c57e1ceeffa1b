"""From a bundle to a task: its record, its log, its streams, its container; and to its end."""

import os
import select
import signal as signals
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from moby.contracts.runtime import Process, RuntimeFeature
from moby.contracts.supervisor import EventKind, TaskConfig, TaskEvent, TaskState
from moby.contracts.types import Exit, TaskStatus
from moby.errors import Invalid, MobyError, NotFound, Unavailable
from moby.host import processes
from moby.values import evolve
from moby_supervisor.local import task_logs
from moby_supervisor.local.exits import Ending
from moby_supervisor.local.health import Monitor
from moby_supervisor.local.probes import check_test
from moby_supervisor.local.records import Record, boot_id
from moby_supervisor.local.sinks import DirectSink, LoggerSink
from moby_supervisor.local.starter import Line
from moby_supervisor.local.task import Task, new_exit_event
from moby_supervisor.local.workers import Call
from moby_supervisor.local.world import World, log_name, task_name

__all__ = ["Maker", "runtime_of"]

_RETRY_S = 1.0
_BEHIND_NS = 1_000_000_000
"""How long a log's process may keep an end from being told; a sink that is slower, or dead, doesn't."""
_OOM_AGAIN_S = (0.05, 0.5, 5.0)


class Maker:
    """Makes tasks, and knows their ends."""

    pipes_terminals = False
    """Whether containers' terminals are somebody else's, and reached by pipes."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._boot = boot_id()

    async def create(self, config: TaskConfig) -> TaskState:
        """Make a task: its streams, and its container up to the user's program."""
        name, runtime = self._world.runtime(config.runtime)
        task = self._begin(config, config.id)
        task.runtime = runtime
        call = Call(runtime, "create", (config.id, config.bundle))
        await self._make(task, f"make the container {config.id}", call, TaskStatus.CREATED, runtime_name=name)
        return await self._shown(task)

    async def exec(self, task_id: str, exec_id: str, process: Mapping[str, Any], config: TaskConfig) -> TaskState:
        """Run another program inside."""
        parent = self._world.task(task_id)
        self._world.expect_free(exec_id)
        parent.expect_container("exec in")
        parent.expect(TaskStatus.RUNNING)
        task = self._begin(_named(config, exec_id), task_id)
        task.runtime = parent.runtime
        task.turns = parent.turns
        call = Call(parent.runtime, "exec", (task_id, {**process, "terminal": config.terminal}))
        await self._make(task, f"run a program in {task_id}", call, TaskStatus.RUNNING)
        return await self._shown(task)

    async def size(self, task: Task) -> None:
        """Have a terminal of somebody else's be as large as it is to be; ours is so already."""

    async def _shown(self, task: Task) -> TaskState:
        """Return the state of a task that has been made, with its streams where who asked for it attaches at once.

        They come before anything is waited for: what it says while nobody is attached would be thrown away.
        """
        streams = task.attach() if task.config.attach else None
        try:
            await self.size(task)
        except BaseException:
            for fd in {streams.stdin, streams.stdout, streams.stderr} - {-1} if streams else ():
                os.close(fd)
            await self._unmake(task)
            await self.forget(task)
            raise
        return task.state() if streams is None else evolve(task.state(), streams=streams)

    def _begin(self, config: TaskConfig, container: str) -> Task:
        """Write down what is about to be made, before anything is."""
        world = self._world
        world.expect_free(config.id)
        if config.health is not None:
            check_test(config.health)
        if config.log is not None:
            task_logs.check(world, config.log.driver, config.log.options)
        slot = world.marks.allocate()
        record = Record(
            self._boot, container, slot.number, doing="create", first_entry=world.journal.last,
            attached=config.attach,
        )  # fmt: skip
        try:
            world.records.begin(config, record)
        except BaseException:
            world.marks.release(slot)
            raise
        task = Task(world.loop, world.records, config, record, slot)
        task.pipes_terminal = self.pipes_terminals
        world.making[config.id] = task
        return task

    async def _make(self, task: Task, what: str, call: Call, status: TaskStatus, *, runtime_name: str = "") -> None:
        world, process = self._world, None
        try:
            if task.config.log is not None:
                await task_logs.begin(world, task)
            if runtime_name:
                (task.folder / "runtime").write_text(runtime_name, encoding="utf-8")
            task.exit_event = new_exit_event()
            with Line() as line:
                task.line = line
                stdio, theirs = task.make_streams()
                try:
                    world.hold(task)
                    promise = world.loop.start(world.workers.run(line, what, evolve(call, stdio=stdio)))
                finally:
                    for fd in theirs:
                        os.close(fd)
                process = await promise
            task.line = None
            self.made(task, process, status)
        except BaseException as error:
            # Whoever was killed at it can't have taken back what it had made.
            if process is not None or isinstance(error, Unavailable):
                await self._unmake(task)
            await self.forget(task)
            raise
        del world.making[task.id]
        world.tasks[task.id] = task

    async def _unmake(self, task: Task) -> None:
        """End what a runtime has made, of which nobody would know otherwise; what fails is logged."""
        world = self._world
        if task.is_container:
            try:
                call = Call(task.runtime, "delete", (task.id,), {"force": True})
                await world.workers.call(f"delete {task.id}", call)
            except MobyError as error:
                world.log.warning("a container that wasn't made whole stays", task=task.id, error=error.message)
        if task.pidfd < 0:
            return
        with suppress(ProcessLookupError):
            processes.send_signal(task.pidfd, signals.SIGKILL)
        world.loop.forget(task.pidfd)
        if await world.loop.readable(task.pidfd, world.kill_timeout_s):
            processes.reap(task.pidfd)

    def made(self, task: Task, process: Process, status: TaskStatus) -> None:
        """Take a new process over."""
        task.pidfd = process.exit_fd
        stat = processes.process_stat(process.pid)
        if process.terminal_fd >= 0:
            task.take_terminal(process.terminal_fd)
        now = self._world.clock.now_ns() if status is TaskStatus.RUNNING else 0
        ticks = stat.start_ticks if stat else 0
        task.change(status=status.value, pid=process.pid, ticks=ticks, doing="", started_ns=now)
        self._world.hold(task, process.pid)
        self.watch(task)
        self._world.loop.after(0, lambda: self.watch_oom(task))  # once who had it made is answered

    def watch(self, task: Task) -> None:
        """Read a task's output from now on, and notice its end."""
        task.on_fewer_fds = lambda: self._world.hold(task)  # type: ignore[method-assign]
        task.begin_reading()
        self._world.loop.watch(task.pidfd, select.EPOLLIN, lambda events: self.ended(task))

    def begin_health(self, task: Task) -> None:
        """Look for a running task's health from now on."""
        if task.config.health is not None and task.config.health.test[0] != "NONE":
            task.health = Monitor(self._world, task)

    # --- the end ------------------------------------------------------------------------------------------------

    def ended(self, task: Task) -> None:
        """A task's process has ended: write down how, then tell."""
        world, record = self._world, task.record
        if record.exit is not None:
            return
        if task.pidfd >= 0:
            world.loop.forget(task.pidfd)
        if task.waits:
            task.on_taken_up = lambda: self.ended(task)  # type: ignore[method-assign]
            return
        for each in task.outputs:
            each.drain()
        if isinstance(task.sink, DirectSink):
            task.sink.finish()  # who is told of the end may read the log at once
        elif task.sink is not None and self._is_behind(task, task.sink):
            return
        try:
            known = self._written_exit(task)
            if known is None:
                ending = self.ending(task)
                known = Exit(ending.code, ending.time_ns, self._oom_killed(task))
                world.journal.append(TaskEvent(0, known.time_ns, EventKind.EXIT, task.id, known))
            task.change(exit=known, status=TaskStatus.STOPPED.value)
        except OSError as error:
            world.log.error("an exit can't be written", task=task.id, error=str(error))
            world.loop.after(_RETRY_S, lambda: self.ended(task))
            return
        if task.pidfd >= 0:
            processes.reap(task.pidfd)
        if task.health is not None:
            task.health.stop()
        if task.stdin is not None:
            task.stdin.close()
        task.tell_exit()

    def ending(self, task: Task) -> Ending:
        """Say how a task's process, which is gone, ended."""
        return self._world.endings.of(task.record.pid, task.record.ticks, task.pidfd)

    def _is_behind(self, task: Task, sink: LoggerSink) -> bool:
        """Whether a task's end is to be told later, once its log's process has written all, or has had time for it."""
        now_ns = self._world.clock.monotonic_ns()
        task.told_by_ns = task.told_by_ns or now_ns + _BEHIND_NS
        if now_ns < task.told_by_ns:
            sink.finish()  # who is told of the end may read the log at once
        if not sink.behind or now_ns >= task.told_by_ns:
            return False

        def again() -> None:
            sink.on_heard = lambda: None
            timer.cancel()
            self._world.loop.after(0, lambda: self.ended(task))

        timer = self._world.loop.after((task.told_by_ns - now_ns) / 1e9, again)
        sink.on_heard = again
        return True

    def _written_exit(self, task: Task) -> Exit | None:
        """Return the exit that the journal has, and the record not yet: a supervisor was killed between the two."""
        for each in self._world.journal.after(task.record.first_entry):
            if each.kind is EventKind.EXIT and each.task_id == task.id:
                return each.exit
        return None

    def counts_oom(self, task: Task) -> bool:
        """Whether want of memory can be told of a task."""
        return task.is_container and {RuntimeFeature.OOM, RuntimeFeature.STATS} <= task.runtime.features

    def watch_oom(self, task: Task) -> None:
        """Be told of want of memory in a container that hasn't ended, where that can be."""
        if task.pidfd < 0 or task.record.exit is not None or not self.counts_oom(task):
            return
        try:
            task.oom_fd = task.runtime.watch_oom(task.record.container)
        except MobyError:
            return  # this host, or what is left of this container, has nothing that tells
        self._world.loop.watch(task.oom_fd, select.EPOLLIN, lambda events: self._oom(task))
        if task.status is not TaskStatus.CREATED:  # what was killed before that is counted
            task.oom_seen = True
            self._oom_killed(task)

    def _oom(self, task: Task) -> None:
        task.oom_seen |= _told(task.oom_fd)
        self._oom_killed(task)
        # Some kernels tell before they kill, and count it then.
        for delay_s in _OOM_AGAIN_S:
            self._world.loop.after(delay_s, lambda: task.record.exit is None and self._oom_killed(task))

    def _oom_killed(self, task: Task) -> bool:
        """Whether the kernel has killed something inside for want of memory; the journal has each time it is seen."""
        # Before anybody watches, only the count tells.
        told = _told(task.oom_fd) if task.oom_fd >= 0 else self.counts_oom(task)
        if not (task.oom_seen or told):
            return task.record.oom_kills > 0
        try:
            kills = task.runtime.stats(task.record.container).oom_kills or 0
        except MobyError:
            return task.record.oom_kills > 0
        if kills > task.record.oom_kills:
            now = self._world.clock.now_ns()
            self._world.journal.append(TaskEvent(0, now, EventKind.OOM, task.id))
            task.change(oom_kills=kills)
        return kills > 0

    async def forget(self, task: Task) -> None:
        """Let go of a task, with all that is stored of it but its log."""
        world = self._world
        sink = task.sink
        task.close()
        if sink is not None:
            await sink.close(world.log_timeout_s)
        if isinstance(sink, LoggerSink):
            world.keeper.release(log_name(task.id))
        world.keeper.release(task_name(task.id))
        world.records.remove(task.id)
        world.marks.release(task.slot)
        for each in (world.tasks, world.making):
            if each.get(task.id) is task:
                del each[task.id]


def _told(oom_fd: int) -> bool:
    """Whether the kernel has told of something there, which makes it quiet again."""
    try:
        return bool(os.read(oom_fd, 4096))
    except BlockingIOError:
        return False


def _named(config: TaskConfig, task_id: str) -> TaskConfig:
    if config.health is not None:
        raise Invalid("an exec has no health check", hint="give it to the container")
    return config if config.id == task_id else evolve(config, id=task_id)


def runtime_of(world: World, task: Task) -> None:
    """Set the runtime of a task that another supervisor made; NotFound where this engine hasn't that one."""
    path = world.records.folder(task.record.container) / "runtime"
    try:
        task.runtime = world.runtime(path.read_text(encoding="utf-8"))[1]
    except FileNotFoundError:
        raise NotFound(f"the runtime of {task.record.container} isn't known", hint=f"remove {path.parent}") from None
