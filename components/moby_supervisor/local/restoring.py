"""Going on with what another supervisor of this engine began, which may have been killed at any moment."""

import os
import signal
from collections.abc import Mapping
from contextlib import suppress

from moby.contracts.types import TaskStatus
from moby.errors import MobyError
from moby.host import exits, processes
from moby_supervisor.local import task_logs
from moby_supervisor.local.making import Maker, runtime_of
from moby_supervisor.local.records import boot_id
from moby_supervisor.local.starter import message_of
from moby_supervisor.local.task import Task
from moby_supervisor.local.verbs import Verbs
from moby_supervisor.local.workers import Call
from moby_supervisor.local.world import World, log_name, task_name

__all__ = ["restore"]

_DISCARDED_S, _LOGGED_S = 10.0, 2.0
"""How long those who were attached have to attach again, before what they would have read is thrown away, or logged."""


def restore(world: World, maker: Maker, verbs: Verbs) -> None:
    """Take all tasks back, from their records and the keeper; what is unfinished is finished in the background."""
    held = world.keeper.held()
    boot = boot_id()
    used: set[str] = set()
    for task_id in world.records.ids():
        try:
            task = _read(world, task_id)
        except MobyError as error:
            world.log.error("a task can't be gone on with", task=task_id, error=error.message)
            continue
        if task is None:
            world.records.remove(task_id)
            continue
        used |= {task_name(task_id), log_name(task_id)}
        _take_up(world, maker, verbs, task, held, boot)
    for name, fds in held.items():
        if name not in used:
            for fd in fds:
                os.close(fd)
            world.keeper.release(name)


def _read(world: World, task_id: str) -> Task | None:
    found = world.records.read(task_id)
    if found is None:
        return None
    config, record = found
    task = Task(world.loop, world.records, config, record, world.marks.claim(record.slot))
    with suppress(MobyError):  # where the container is gone, its runtime isn't needed any more
        runtime_of(world, task)
    return task


def _take_up(
    world: World, maker: Maker, verbs: Verbs, task: Task, held: Mapping[str, tuple[int, ...]], boot: str
) -> None:
    fds = held.get(task_name(task.id), ())
    now_gone = task.record.boot != boot
    try:
        task_logs.go_on(world, task, held)
    except MobyError as error:
        world.log.error("a log can't be gone on with", task=task.id, error=error.message)
    task.take_fds(fds)
    task.keep_for(_DISCARDED_S, _LOGGED_S)
    task.turns = world.turns_of(task.record.container)
    if task.record.stdin_ended and task.stdin is not None:
        task.stdin.close()
    if task.record.doing == "create":
        world.making[task.id] = task
        world.loop.background(_finish_making(world, maker, task), f"go on with making {task.id}")
        return
    world.tasks[task.id] = task
    if task.record.exit is not None:
        _ended_before(world, maker, task)
    elif now_gone or not _alive(task):
        maker.ended(task)
    else:
        if not fds:
            world.hold(task)
        maker.watch(task)
        maker.watch_oom(task)
        task.oom_seen = maker.counts_oom(task)  # perhaps, while nobody looked
        _kill_probe(task)
        if task.status in (TaskStatus.RUNNING, TaskStatus.PAUSED):
            maker.begin_health(task)
            _note_pause(task)
    if not task.record.doing and task.line is not None:
        task.line.ours.close()  # of a call that was over
        task.line = None
    if task.record.doing:
        world.loop.background(_finish_call(world, verbs, task), f"go on with {task.record.doing} of {task.id}")


def _alive(task: Task) -> bool:
    """Whether a task's process still is there, ended or not; it is the one of its pidfd, or of its start time."""
    if task.pidfd >= 0:
        return True
    stat = processes.process_stat(task.record.pid)
    if stat is None or stat.start_ticks != task.record.ticks:
        return False
    try:
        task.pidfd = os.pidfd_open(task.record.pid)
    except ProcessLookupError:
        return False
    # Only after opening does the start time say whose descriptor it is.
    stat = processes.process_stat(task.record.pid)
    return stat is not None and stat.start_ticks == task.record.ticks


def _ended_before(world: World, maker: Maker, task: Task) -> None:
    """See that what is written of an exit is told, and what came before it read."""
    task.begin_reading()
    if task.pidfd >= 0:
        with suppress(OSError):
            processes.reap(task.pidfd)
    task.tell_exit()


def _kill_probe(task: Task) -> None:
    """End a health check's program that nobody waits for any more."""
    pid, ticks = task.record.probe
    if not pid:
        return
    with suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        try:
            stat = processes.process_stat(pid)
            if stat is not None and stat.start_ticks == ticks and exits.pid_of(pidfd) == pid:
                processes.send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)
    task.change(probe=(0, 0))


async def _finish_making(world: World, maker: Maker, task: Task) -> None:
    """Wait for what an earlier supervisor's starter does, and take over what it made; else nothing is left."""
    status = TaskStatus.CREATED if task.is_container else TaskStatus.RUNNING
    try:
        if task.line is None:
            raise RuntimeError("nobody knows how it went")
        with task.line as line:
            # Its end, too, makes it readable: so it is told by whoever else has it, or by the kernel.
            await world.loop.readable(line.ours.fileno())
            process = message_of(line.ours, f"make {task.id}")
        task.line = None
        maker.made(task, process, status)
    except Exception as error:
        world.log.warning("a task was being made when the supervisor was killed", task=task.id, error=str(error))
        # Without its runtime's name, which is written before it is called, there is nothing to delete.
        if task.is_container and hasattr(task, "runtime"):
            with suppress(MobyError):
                call = Call(task.runtime, "delete", (task.id,), {"force": True})
                await world.workers.call(f"delete {task.id}", call)
        await maker.forget(task)
        return
    del world.making[task.id]
    world.tasks[task.id] = task


async def _finish_call(world: World, verbs: Verbs, task: Task) -> None:
    """Wait for what an earlier supervisor's starter does to a task, and see how it is then."""
    doing = task.record.doing
    async with task.turns:
        if task.line is not None:
            with task.line as line:
                await world.loop.readable(line.ours.fileno())
            task.line = None
        task.change(doing="")
        world.hold(task)
        if doing != "delete" and task.record.exit is None:
            await _look(world, verbs, task)
    if doing == "delete":
        await verbs.delete(task.id, force=True)


async def _look(world: World, verbs: Verbs, task: Task) -> None:
    """Ask the runtime for the state of a task."""
    state = await world.starter.call(f"look at {task.id}", lambda: task.runtime.state(task.id).status.value)
    if task.status is TaskStatus.CREATED and state == TaskStatus.RUNNING.value:
        verbs.started(task)
    elif task.record.exit is None and state != TaskStatus.STOPPED.value:
        task.change(status=state)
        _note_pause(task)


def _note_pause(task: Task) -> None:
    """Have who checks its health know of a pause that another supervisor may have told nobody of."""
    if task.status is TaskStatus.PAUSED and task.health is not None:
        task.health.paused()
