"""The supervisor `local`: one loop, which the process that serves it turns, or a thread where it isn't served."""

import gc
import os
import resource
import select
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Self, TypeVar

from moby.contracts.ambient import Clock, Endpoint, Keeper, Log, Place, Request
from moby.contracts.log_driver import LogConfig, LogDriver, LogQuery
from moby.contracts.runtime import Runtime, Stats
from moby.contracts.supervisor import Streams, TaskConfig, TaskEvent, TaskState
from moby.contracts.types import Exit, Window
from moby.errors import MobyError
from moby.host.processes import set_child_subreaper
from moby.values import evolve
from moby_supervisor.local import lock
from moby_supervisor.local.making import Maker
from moby_supervisor.local.restoring import restore
from moby_supervisor.local.verbs import Verbs
from moby_supervisor.local.world import World

__all__ = ["Local"]

T = TypeVar("T")
_WATCH_AGAIN_S = 1.0


class Local:
    """Keeps containers alive and their output flowing while the engine, and it itself, come and go.

    Its calls are coroutines of one loop. Served, that loop is the process's only thread. Else a thread turns it from
    the first call on, since output flows also between calls; each call then waits until it is done there.
    """

    world: type[World] = World
    maker: type[Maker] = Maker
    verbs: type[Verbs] = Verbs

    def __init__(
        self,
        runtimes: Mapping[str, Runtime],
        logs: Mapping[str, LogDriver],
        keeper: Keeper,
        place: Place,
        clock: Clock,
        log: Log,
        *,
        kill_timeout_s: float = 10.0,
        log_timeout_s: float = 10.0,
    ) -> None:
        self._make_world = partial(
            self.world, runtimes, logs, keeper, place.run, place.state, clock, log, kill_timeout_s=kill_timeout_s,
            log_timeout_s=log_timeout_s,
        )  # fmt: skip
        self._keeper = keeper
        self._run = place.run
        self._log = log
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ending = False
        self._watched = -1

    def __enter__(self) -> Self:
        # As runtimes ask: what a command leaves behind shall be ours.
        set_child_subreaper()
        kept = frozenset(each for each in map(int, os.listdir("/proc/self/fd")) if _is_open(each))  # noqa: PTH208
        self._ending = False
        self._lock_fd = lock.take(self._run)
        self._world = self._make_world(kept=kept)
        self._raise_open_files()
        maker = self.maker(self._world)
        self._verbs = self.verbs(self._world, maker)
        self._maker = maker
        restore(self._world, maker, self._verbs)
        self._watch_keeper()
        gc.freeze()  # what is there now stays, so starters needn't copy it when it is looked through
        return self

    def __exit__(self, *error: object) -> None:
        self._ending = True
        if self._thread is not None:
            self._world.loop.submit(lambda: None)
            self._thread.join()
            self._thread = None
        if self._watched >= 0:
            os.close(self._watched)
            self._watched = -1
        self._world.close()
        os.close(self._lock_fd)

    def _raise_open_files(self) -> None:
        """Have room for the descriptors of many tasks; what is started has the limit that there was."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < hard:
            with suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
                self._world.starter = evolve(self._world.starter, open_files=(soft, hard))

    # --- the loop -----------------------------------------------------------------------------------------------

    def serve(self, endpoint: Endpoint) -> None:
        """Answer requests until the process is to end; as Serving."""
        loop = self._world.loop
        loop.watch(endpoint.fileno(), select.EPOLLIN, lambda events: self._take(endpoint))
        while not endpoint.ending:
            loop.turn()
        loop.forget(endpoint.fileno())

    def _take(self, endpoint: Endpoint) -> None:
        for request in endpoint.requests():
            self._answer(request)

    def _answer(self, request: Request) -> None:
        method = getattr(self._verbs, request.method, None) or getattr(self, f"_{request.method}")
        promise = self._world.loop.start(method(**request.arguments))

        def done() -> None:
            try:
                value = promise.result()
            except Exception as error:
                if not isinstance(error, MobyError):
                    self._log.error("a call failed by a bug", method=request.method, error=repr(error))
                request.fail(error)
            else:
                request.answer(value)

        promise.then(done)

    def _call(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Have the loop's thread make a call, and wait for it."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._turn, name="supervisor", daemon=True)
                self._thread.start()
        done = threading.Event()
        found: list[Any] = []

        def begin() -> None:
            promise = self._world.loop.start(make())
            found.append(promise)
            promise.then(done.set)

        self._world.loop.submit(begin)
        done.wait()
        result: T = found[0].result()
        return result

    def _turn(self) -> None:
        while not self._ending:
            self._world.loop.turn()

    def _watch_keeper(self) -> None:
        """Know when the keeper is gone, so that another takes over what it held; and when it has seen an exit."""
        if self._watched >= 0:
            self._world.loop.forget(self._watched)
            os.close(self._watched)
        self._watched = self._keeper.watch()
        self._world.loop.watch(self._watched, select.EPOLLIN, lambda events: self._heard())

    def _heard(self) -> None:
        self._world.loop.forget(self._watched)
        self._world.loop.after(0, self._look_at_keeper)

    def _look_at_keeper(self) -> None:
        try:
            self._keeper.reaped()
            self._watch_keeper()
        except (MobyError, OSError) as error:
            self._log.warning("the keeper doesn't answer", error=str(error))
            self._world.loop.after(_WATCH_AGAIN_S, self._look_at_keeper)

    # --- what is besides the contract ---------------------------------------------------------------------------

    def health(self) -> str:
        """Return nothing: it is well where it answers."""
        return ""

    async def _health(self) -> str:
        return self.health()

    def reclaim(self) -> None:
        """End all containers, and what is held for them."""
        self._call(self._reclaim)

    async def _reclaim(self) -> None:
        errors: list[Exception] = []
        for task in sorted(self._world.tasks.values(), key=lambda each: each.is_container):
            try:
                await self._verbs.delete(task.id, force=True)
            except (MobyError, OSError) as error:
                errors.append(error)
        for each in errors:
            raise each

    # --- the contract -------------------------------------------------------------------------------------------

    def features(self, runtime: str = "") -> frozenset[str]:
        """Return what a runtime offers."""
        return self._call(lambda: self._verbs.features(runtime))

    def runtimes(self) -> tuple[str, ...]:
        """Return the names of all runtimes, the default one first."""
        return self._call(self._verbs.runtimes)

    def programs(self) -> Mapping[str, tuple[str, str]]:
        """Return what runtimes say of the programs that they use."""
        return self._call(self._verbs.programs)

    def log_drivers(self) -> tuple[str, ...]:
        """Return the names of all log drivers, the default one first."""
        return self._call(self._verbs.log_drivers)

    def check_log(self, driver: str, options: Mapping[str, str]) -> None:
        """Refuse a log's options."""
        self._call(lambda: self._verbs.check_log(driver, options))

    def create(self, config: TaskConfig) -> TaskState:
        """Make a task: its streams, and its container up to the user's program."""
        return self._call(lambda: self._verbs.create(config))

    def start(self, task_id: str) -> None:
        """Run the user's program."""
        self._call(lambda: self._verbs.start(task_id))

    def attach(self, task_id: str) -> Streams:
        """Return fresh descriptors of the task's streams."""
        return self._call(lambda: self._verbs.attach(task_id))

    def exit_fd(self, task_id: str) -> int:
        """Return a fresh descriptor that becomes readable when the task has stopped."""
        return self._call(lambda: self._verbs.exit_fd(task_id))

    def state(self, task_id: str) -> TaskState:
        """Return the state."""
        return self._call(lambda: self._verbs.state(task_id))

    def list(self) -> tuple[TaskState, ...]:
        """Return all tasks, sorted by id."""
        return self._call(self._verbs.list)

    def kill(self, task_id: str, signal: int, *, everyone: bool = False) -> None:
        """Send a signal to the first process, or to all."""
        self._call(lambda: self._verbs.kill(task_id, signal, everyone=everyone))

    def resize(self, task_id: str, window: Window) -> None:
        """Tell the terminal its size."""
        self._call(lambda: self._verbs.resize(task_id, window))

    def exec(self, task_id: str, exec_id: str, process: Mapping[str, Any], config: TaskConfig) -> TaskState:
        """Run another program inside."""
        return self._call(lambda: self._verbs.exec(task_id, exec_id, process, config))

    def pause(self, task_id: str) -> None:
        """Freeze."""
        self._call(lambda: self._verbs.pause(task_id))

    def resume(self, task_id: str) -> None:
        """Thaw."""
        self._call(lambda: self._verbs.resume(task_id))

    def update(self, task_id: str, resources: Mapping[str, Any]) -> None:
        """Change limits."""
        self._call(lambda: self._verbs.update(task_id, resources))

    def stats(self, task_id: str) -> Stats:
        """Return what it uses now."""
        return self._call(lambda: self._verbs.stats(task_id))

    def pids(self, task_id: str) -> tuple[int, ...]:
        """Return the pids of all processes inside."""
        return self._call(lambda: self._verbs.pids(task_id))

    def delete(self, task_id: str, *, force: bool = False) -> Exit | None:
        """Forget a stopped task and remove its container; return how it ended."""
        return self._call(lambda: self._verbs.delete(task_id, force=force))

    def logs(self, config: LogConfig, query: LogQuery) -> int:
        """Return a descriptor to read a log from."""
        return self._call(lambda: self._verbs.logs(config, query))

    def journal(self, after: int) -> tuple[TaskEvent, ...]:
        """Return what has happened after an entry's number."""
        return self._call(lambda: self._verbs.journal(after))

    def journal_fd(self, after: int) -> int:
        """Return a descriptor that becomes readable once there is something."""
        return self._call(lambda: self._verbs.journal_fd(after))

    def trim_journal(self, until: int) -> None:
        """Forget entries up to a number."""
        self._call(lambda: self._verbs.trim_journal(until))


def _is_open(fd: int) -> bool:
    """Whether a descriptor is there, which that of a folder being listed isn't any more."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
