"""The supervisor `containerd`: the loop of `local`, with what differs where containerd is the containers' parent."""

import os
import select
from collections.abc import Mapping, Sequence
from typing import Self

from moby.contracts.ambient import Clock, Keeper, Log, Place
from moby.contracts.log_driver import LogDriver
from moby.contracts.runtime import Process
from moby.contracts.types import Window
from moby.errors import MobyError
from moby.grpc.client import Client
from moby.host import processes
from moby_supervisor.local.containerd.daemon import Daemon
from moby_supervisor.local.containerd.records import Records
from moby_supervisor.local.containerd.tasks import Tasks
from moby_supervisor.local.exits import Ending
from moby_supervisor.local.local import Local
from moby_supervisor.local.making import Maker
from moby_supervisor.local.task import Task
from moby_supervisor.local.verbs import Verbs
from moby_supervisor.local.workers import Call
from moby_supervisor.local.world import World

__all__ = ["Containerd"]

_FLOWING_S = 0.004
_LONGEST_FLOW_NS = 1_000_000_000
"""How long output that others inside still have open may keep an end from being told."""
_AGAIN_S = 1.0


class ShimMaker(Maker):
    """Makes tasks whose output flows through a shim, which has some of it still when they have ended."""

    pipes_terminals = True

    async def size(self, task: Task) -> None:
        """Have the terminal be as large as it is to be."""
        window = task.config.window
        if not task.config.terminal or window is None:
            return
        try:
            await call_of(self._world, task, "resize", "resize the terminal of", window.rows, window.columns)
        except MobyError:
            if task.is_container:
                raise  # else it may have ended

    def watch(self, task: Task) -> None:
        """As Maker.watch; the shim, which has standard input open too, is told of its end."""
        super().watch(task)

        def fewer() -> None:
            self._world.hold(task)
            if task.stdin is not None and task.stdin.ended:
                self._background(task, "close_stdin", "end the standard input of")

        task.on_fewer_fds = fewer  # type: ignore[method-assign]
        if task.stdin is not None and task.stdin.ended and not task.config.terminal:
            fewer()

    def ended(self, task: Task) -> None:
        """As Maker.ended, once the shim has passed on what was written."""
        if task.record.exit is None and self._flows(task):
            if task.pidfd >= 0:
                self._world.loop.forget(task.pidfd)
            self._world.loop.after(_FLOWING_S, lambda: self._still(task))
            return
        before = task.record.exit
        super().ended(task)
        if before is None and task.record.exit is not None and not task.is_container:
            self._background(task, "finish", "forget a program of")

    def _still(self, task: Task) -> None:
        if self._world.tasks.get(task.id) is task:
            self.ended(task)

    def _flows(self, task: Task) -> bool:
        """Whether more of a task's output is to come: of what is read, the end hasn't been."""
        now_ns = self._world.clock.monotonic_ns()
        task.flows_until_ns = task.flows_until_ns or now_ns + _LONGEST_FLOW_NS
        for each in task.outputs:
            each.drain()
        return now_ns < task.flows_until_ns and any(self._world.loop.watches(each.fd) for each in task.outputs)

    def ending(self, task: Task) -> Ending:
        """As Maker.ending; else as containerd says."""
        found = super().ending(task)
        runtime = task.runtime
        if found.code is None and isinstance(runtime, Tasks):
            code = runtime.exit_code(task.record.container, task.record.pid)
            runtime.client.close()  # calls are the workers' otherwise
            return Ending(code, found.time_ns)
        return found

    def _background(self, task: Task, method: str, what: str) -> None:
        self._world.loop.background(call_of(self._world, task, method, what), f"{what} {task.id}")


async def call_of(world: World, task: Task, method: str, what: str, *more: object) -> None:
    """Have a worker make a call about a process of a task's container."""
    record = task.record
    call = Call(task.runtime, method, (record.container, record.pid, *more))
    await world.workers.call(f"{what} {task.id}", call)


class ShimWorld(World):
    """What all share, where containerd knows how programs ended."""

    async def finish(self, task: Task, process: Process) -> int | None:
        """Return how a program that was run inside did; all that it wrote has been passed on then."""
        processes.reap(process.exit_fd)
        call = Call(task.runtime, "finish", (task.record.container, process.pid))
        found: int | None = await self.workers.call(f"see how a program of {task.id} ended", call)
        return found


class ShimVerbs(Verbs):
    """The calls of the contract, where terminals are their shims'."""

    async def resize(self, task_id: str, window: Window) -> None:
        """Tell the terminal its size."""
        task = self._world.task(task_id)
        if not task.config.terminal:
            task.resize(window)  # which says that there is none
        await call_of(self._world, task, "resize", "resize the terminal of", window.rows, window.columns)


class Containerd(Local):
    """Keeps containers that containerd makes; starts one of the engine's own where it is given no address."""

    world = ShimWorld
    maker = ShimMaker
    verbs = ShimVerbs

    def __init__(
        self,
        binaries: Mapping[str, str],
        logs: Mapping[str, LogDriver],
        keeper: Keeper,
        place: Place,
        clock: Clock,
        log: Log,
        *,
        address: str = "",
        namespace: str = "moby",
        binary: str = "containerd",
        timeouts_s: Sequence[float] = (10.0, 10.0),
    ) -> None:
        client = Client(address or Daemon.address(place), namespace)
        records = Records(place.run / "containers")
        runtimes = {name: Tasks(client, records, place, each) for name, each in binaries.items()}
        super().__init__(
            runtimes, logs, keeper, place, clock, log, kill_timeout_s=timeouts_s[0], log_timeout_s=timeouts_s[1]
        )
        self._daemon = None if address else Daemon(client, binary, place, log)
        self._pidfd = -1

    def __enter__(self) -> Self:
        if self._daemon is not None:
            self._pidfd = self._daemon.begin()
            os.set_inheritable(self._pidfd, False)
        super().__enter__()
        if self._daemon is not None:
            self._world.loop.watch(self._pidfd, select.EPOLLIN, lambda events: self._gone())
        return self

    def __exit__(self, *error: object) -> None:
        left = bool(self._world.tasks or self._world.making)
        super().__exit__(*error)
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        if self._daemon is not None and not left:
            self._daemon.end()

    def _gone(self) -> None:
        """Start containerd again, which has ended by itself; its shims and their containers have gone on."""
        self._world.loop.forget(self._pidfd)
        processes.reap(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        self._log.warning("containerd has ended; it is started again")
        self._begin_again()

    def _begin_again(self) -> None:
        assert self._daemon is not None
        try:
            self._pidfd = self._daemon.ensure()
        except MobyError as error:
            self._log.error("containerd can't be started again", error=str(error))
            self._world.loop.after(_AGAIN_S, self._begin_again)
            return
        self._world.loop.watch(self._pidfd, select.EPOLLIN, lambda events: self._gone())
