"""The supervisor `foreground`: tasks in the caller's own process."""

import json
import os
import re
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from moby.contracts.ambient import Clock, Log
from moby.contracts.log_driver import LogConfig, LogQuery
from moby.contracts.runtime import DIE_WITH_PARENT, Runtime, RuntimeFeature, Stats
from moby.contracts.supervisor import Streams, TaskConfig, TaskEvent, TaskState
from moby.contracts.types import Exit, TaskStatus, Window
from moby.errors import Conflict, Invalid, MobyError, NotFound, Unavailable, Unsupported
from moby.host import claims
from moby.host.processes import set_child_subreaper
from moby_supervisor.foreground.lasting import Lasting
from moby_supervisor.foreground.streams import open_streams
from moby_supervisor.foreground.task import Task

__all__ = ["Foreground"]

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,1023}")
_RUNTIME = "runtime"
"""In a task's folder, the name of its runtime: what a successor needs to delete it."""


class Foreground:
    """Keeps containers for as long as the calling process lives.

    Leaving the context kills and deletes what is left. Should the process be killed, the runtime ends the
    containers if it knows DIE_WITH_PARENT; what remains of them, the next one on the same folder deletes.
    Calls for one container take turns; calls for different ones don't wait for each other.
    """

    def __init__(
        self, runtimes: Mapping[str, Runtime], run: Path, clock: Clock, log: Log, *, kill_timeout_s: float = 10.0
    ) -> None:
        self._runtimes = runtimes
        self._run = run
        self._clock = clock
        self._log = log
        self._kill_timeout_s = kill_timeout_s
        self._tasks: dict[str, Task] = {}
        self._reserved: set[str] = set()
        self._lock = threading.Lock()
        self._was_subreaper = False
        self._lasting = Lasting()

    def __enter__(self) -> Self:
        # As runtimes ask: what a command leaves behind shall be ours.
        self._was_subreaper = set_child_subreaper()
        for claim in claims.abandoned(self._run):
            self._clear(claim)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        errors: list[Exception] = []
        with self._lock:
            left = sorted(self._tasks.values(), key=lambda each: each.is_container)
        for task in left:
            try:
                with suppress(NotFound):
                    self.delete(task.id, force=True)
            except (MobyError, OSError) as failure:
                errors.append(failure)
        self._lasting.close()
        set_child_subreaper(self._was_subreaper)
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise ExceptionGroup("some containers could not be deleted", errors)

    def features(self, runtime: str = "") -> frozenset[str]:
        """Return what a runtime offers."""
        return self._runtime(runtime)[1].features

    def runtimes(self) -> tuple[str, ...]:
        """Return the names of all runtimes, the default one first."""
        return tuple(self._runtimes)

    def programs(self) -> Mapping[str, tuple[str, str]]:
        """Return what runtimes say of the programs that they use."""
        return {name: told for each in self._runtimes.values() for name, told in each.programs().items()}

    def log_drivers(self) -> tuple[str, ...]:
        """Return none: what containers write is the caller's alone."""
        return ()

    def check_log(self, driver: str, options: Mapping[str, str]) -> None:
        """Refuse every log."""
        raise _without("log")

    def create(self, config: TaskConfig) -> TaskState:
        """Make a task: its streams, and its container up to the user's program."""
        if config.log is not None or config.health is not None:
            raise _without("log" if config.log is not None else "health check")
        if not _ID.fullmatch(config.id):
            raise Invalid(f"{config.id!r} is no id of a task", hint="use letters, digits, and _ . + - after the first")
        name, runtime = self._runtime(config.runtime)
        with self._reserve(config.id), ExitStack() as undo, ExitStack() as child:
            claim = claims.claim(self._run, config.id)
            undo.callback(claim.release)
            (claim.path / _RUNTIME).write_text(name, encoding="utf-8")
            _bind_to_parent(config.bundle)
            stdio, ends = open_streams(config, child)
            undo.callback(ends.close)
            process = self._lasting.call(lambda: runtime.create(config.id, config.bundle, stdio))
            ends.take_terminal(process.terminal_fd, config.window)
            oom_fd = _watch_oom(runtime, config.id)
            task = Task(
                config.id, config.id, runtime, process, ends, self._clock, TaskStatus.CREATED, claim, oom_fd=oom_fd
            )
            state = task.state()
            self._tasks[config.id] = task
            undo.pop_all()
            return state

    def start(self, task_id: str) -> None:
        """Run the user's program."""
        with self._held(task_id) as task:
            task.expect(TaskStatus.CREATED)
            task.started_ns = self._clock.now_ns()
            try:
                task.runtime.start(task_id)
            except BaseException:
                task.started_ns = 0
                raise
            task.status = TaskStatus.RUNNING

    def attach(self, task_id: str) -> Streams:
        """Hand the task's streams over, once."""
        with self._held(task_id) as task:
            return task.ends.take()

    def exit_fd(self, task_id: str) -> int:
        """Return a fresh descriptor that becomes readable when the task has stopped."""
        with self._held(task_id) as task:
            return os.dup(task.process.exit_fd)

    def state(self, task_id: str) -> TaskState:
        """Return the state."""
        with self._held(task_id) as task:
            return task.state()

    def list(self) -> tuple[TaskState, ...]:
        """Return all tasks, sorted by id."""
        found = []
        with self._lock:
            ids = sorted(self._tasks)
        for each in ids:
            with suppress(NotFound):
                found.append(self.state(each))
        return tuple(found)

    def kill(self, task_id: str, signal: int, *, everyone: bool = False) -> None:
        """Send a signal to the first process, or to all; an exec has only its own."""
        with self._held(task_id) as task:
            task.expect(TaskStatus.CREATED, TaskStatus.RUNNING, TaskStatus.PAUSED)
            if task.is_container:
                task.runtime.kill(task_id, signal, everyone=everyone)
            else:
                task.signal(signal)

    def resize(self, task_id: str, window: Window) -> None:
        """Tell the terminal its size."""
        with self._held(task_id) as task:
            task.ends.resize(window)

    def exec(self, task_id: str, exec_id: str, process: Mapping[str, Any], config: TaskConfig) -> TaskState:
        """Run another program inside."""
        with self._reserve(exec_id), self._held(task_id) as parent, ExitStack() as undo, ExitStack() as child:
            parent.expect_container("exec in")
            parent.expect(TaskStatus.RUNNING)
            stdio, ends = open_streams(config, child)
            undo.callback(ends.close)
            made = parent.runtime.exec(task_id, {**process, "terminal": config.terminal}, stdio)
            ends.take_terminal(made.terminal_fd, config.window)
            task = Task(exec_id, task_id, parent.runtime, made, ends, self._clock, TaskStatus.RUNNING, lock=parent.lock)
            task.started_ns = self._clock.now_ns()
            state = task.state()
            self._tasks[exec_id] = task
            undo.pop_all()
            return state

    def pause(self, task_id: str) -> None:
        """Freeze."""
        with self._held(task_id) as task:
            task.expect_container("pause")
            task.expect(TaskStatus.RUNNING)
            task.runtime.pause(task_id)
            task.status = TaskStatus.PAUSED

    def resume(self, task_id: str) -> None:
        """Thaw."""
        with self._held(task_id) as task:
            task.expect_container("resume")
            task.expect(TaskStatus.PAUSED)
            task.runtime.resume(task_id)
            task.status = TaskStatus.RUNNING

    def update(self, task_id: str, resources: Mapping[str, Any]) -> None:
        """Change limits."""
        with self._held(task_id) as task:
            task.expect_container("update")
            task.runtime.update(task_id, resources)

    def stats(self, task_id: str) -> Stats:
        """Return what it uses now."""
        with self._held(task_id) as task:
            task.expect_container("count what is used by")
            return task.runtime.stats(task_id)

    def pids(self, task_id: str) -> tuple[int, ...]:
        """Return the pids of all processes inside."""
        with self._held(task_id) as task:
            task.expect_container("list")
            return task.runtime.pids(task_id)

    def logs(self, config: LogConfig, query: LogQuery) -> int:
        """Refuse: there is no log."""
        raise _without("log")

    def journal(self, after: int) -> tuple[TaskEvent, ...]:
        """Refuse: all that happens is the caller's to see."""
        raise _without("journal")

    def journal_fd(self, after: int) -> int:
        """Refuse, as `journal` does."""
        raise _without("journal")

    def trim_journal(self, until: int) -> None:
        """Refuse, as `journal` does."""
        raise _without("journal")

    def delete(self, task_id: str, *, force: bool = False) -> Exit | None:
        """Forget a stopped task and remove its container; return how it ended."""
        with self._held(task_id) as task:
            if task.state().status is not TaskStatus.STOPPED:
                if not force:
                    raise Conflict(f"task {task_id} is {task.status}", hint="stop it first, or delete it by force")
                self._end(task)
            if task.is_container:
                # Its first process is gone; what that left running elsewhere than in a PID namespace goes by force.
                task.runtime.delete(task_id, force=True)
            with self._lock:
                del self._tasks[task_id]
            task.close()
            return task.exit

    def _end(self, task: Task) -> None:
        """Kill a task and wait until it has ended, which takes as long as the kernel needs to tear it down."""
        if task.is_container:
            with suppress(MobyError):
                task.runtime.kill(task.container, signal.SIGKILL, everyone=True)
        task.signal(signal.SIGKILL)
        if task.status is TaskStatus.PAUSED:
            with suppress(MobyError):
                task.runtime.resume(task.container)
        if task.is_container:
            self._end_execs(task)
        if not task.ended(self._kill_timeout_s):
            raise Unavailable(
                f"task {task.id} was killed and hasn't ended within {self._kill_timeout_s:g} s",
                hint="a process that waits for a device ends when the device answers; delete it again then",
            )
        task.state()

    def _end_execs(self, task: Task) -> None:
        """Kill and reap what was started in a container: its first process ends once the kernel has none of it."""
        with self._lock:
            execs = [each for each in self._tasks.values() if each.container == task.id and not each.is_container]
        for each in execs:
            if each.state().status is not TaskStatus.STOPPED:
                each.signal(signal.SIGKILL)
                each.ended(self._kill_timeout_s)
                each.state()

    def _clear(self, claim: claims.Claim) -> None:
        """Delete what a killed predecessor left of a container."""
        try:
            _, runtime = self._runtime((claim.path / _RUNTIME).read_text(encoding="utf-8"))
            runtime.delete(claim.path.name, force=True)
        except FileNotFoundError:
            pass  # killed before it called any runtime
        except MobyError as error:
            # Kept, so that a later start can try again; let go of, so that it still counts as abandoned.
            self._log.warning("what is left of a container can't be deleted", id=claim.path.name, error=str(error))
            os.close(claim.descriptor)
            return
        self._log.info("deleted what a killed engine left of a container", id=claim.path.name)
        claim.release()

    def _runtime(self, name: str) -> tuple[str, Runtime]:
        """Find a runtime; the first one is the default."""
        chosen = name or next(iter(self._runtimes), "")
        if chosen not in self._runtimes:
            known = ", ".join(self._runtimes) or "none"
            raise NotFound(f"there is no runtime {chosen!r} in this engine", hint=f"it has: {known}")
        return chosen, self._runtimes[chosen]

    @contextmanager
    def _reserve(self, task_id: str) -> Iterator[None]:
        """Keep an id for the time in which its task is made."""
        with self._lock:
            if task_id in self._tasks or task_id in self._reserved:
                raise Conflict(f"there is a task {task_id} already", hint="delete it, or take another id")
            self._reserved.add(task_id)
        try:
            yield
        finally:
            with self._lock:
                self._reserved.discard(task_id)

    @contextmanager
    def _held(self, task_id: str) -> Iterator[Task]:
        """Lend a task under its container's lock."""
        with self._lock:
            task = self._tasks.get(task_id)
        if task is not None:
            with task.lock:
                if self._tasks.get(task_id) is task:
                    yield task
                    return
        raise NotFound(f"there is no task {task_id}", hint="`ps` lists what there is")


def _without(what: str) -> Unsupported:
    return Unsupported(f"the supervisor `foreground` has no {what}", hint="choose the supervisor `local`")


def _watch_oom(runtime: Runtime, container_id: str) -> int:
    """Return what tells of OOM kills; -1 where the runtime, or this host, has nothing that does."""
    if not {RuntimeFeature.OOM, RuntimeFeature.STATS} <= runtime.features:
        return -1
    try:
        return runtime.watch_oom(container_id)
    except MobyError:
        return -1


def _bind_to_parent(bundle: Path) -> None:
    """Ask the runtime to let the container die with us. A config that can't be read is the runtime's to refuse."""
    path = bundle / "config.json"
    try:
        spec = json.loads(path.read_bytes())
        spec["annotations"] = {**(spec.get("annotations") or {}), DIE_WITH_PARENT: "true"}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return
    new = path.with_name(".config.json.new")
    new.write_text(json.dumps(spec), encoding="utf-8")
    new.replace(path)
