"""How a further program gets into a container: in a copy of the caller, or prepared on its memory before there is one.

No module may be imported from here on, since the files seen may be the container's.
"""

from __future__ import annotations

import os

from moby.host import bare, processes
from moby.host.lean import signals
from moby.values import frozen
from moby_runtime.native import inside
from moby_runtime.native.root import open_in_own
from moby_runtime.programs import executable, program, quick
from moby_runtime.records.failures import doing, fail, guarded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import NoReturn

    from moby.contracts.streams import Stdio
    from moby.host.bare import Step
    from moby.host.cgroups import Entrance
    from moby.oci.seccomp.filter import Filter
    from moby_runtime.native.inside import Channel
    from moby_runtime.programs.values import ProcessSpec

__all__ = ["Further"]


@frozen
class Further:
    """One more process of a container: what runs in it, and what it is lent."""

    process: ProcessSpec
    stdio: Stdio
    user_namespace: bool
    wanted: Filter | None

    @property
    def asks(self) -> bool:
        """Whether it waits for an answer of the caller's, once it is let go."""
        return self.wanted is not None and self.wanted.notifies

    def run(self, channel: Channel) -> NoReturn:
        """Be it, in a copy of the caller that is in the container's namespaces already."""
        channel = self._above_extra(channel)

        def steps() -> None:
            channel.join()
            inside.isolate((*program.take_stdio(self.stdio), *channel.descriptors))
            may_set_groups = inside.await_release(channel)
            inside.become_root(self.user_namespace, may_set_groups)
            inside.leave_session()
            if channel.console >= 0:
                from moby_runtime.native import console

                console.take(channel.console, open_in_own)
            program.take_terminal(self.process)
            if self.process.affinity[1]:
                self._choose_processors()
            bare.take_usual(self._prepare_user(may_set_groups))
            last, by_path = inside.last_step(self.process, self.wanted, channel.tell, channel.release)
            executable.execute(self.process, channel.interpreter, last, by_path=by_path)

        guarded(channel.tell, steps)

    def prepare(self, channel: Channel, may_set_groups: bool) -> tuple[Channel, Callable[[], NoReturn]]:
        """Do for a copy of this process what it inherits, and return what it does itself, with no release and terminal.

        This one shares the caller's memory: so it stays root, whom nobody else may kill, and touches no file of the
        container's, for which it might have to wait, and the caller with it.
        """
        channel = self._above_extra(channel)
        kept = (*program.take_stdio(self.stdio), *channel.descriptors)
        processes.close_other_descriptors((*kept, *channel.doors))
        inside.leave_session()
        root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        kept = (*kept, root)
        later = self._prepare_user(may_set_groups, program.Room(root, bare.lowest_free((0, 1, 2, *kept))))
        processes.set_dumpable(False)  # which a change of group has taken back where fs.suid_dumpable is 1
        execute = quick.prepared(self.process, channel.interpreter, root)
        steps = (*self._first_steps(channel, kept), *later)

        last, by_path = inside.last_step(self.process, self.wanted, channel.tell, channel.release)
        take, tell, end_with_caller = bare.take, channel.tell, bare.ends_with(channel.report)

        def child() -> NoReturn:
            try:
                take(steps)
                end_with_caller()
                execute(last, by_path=by_path)
            except BaseException as error:
                fail(tell, error)

        return channel, child

    def _first_steps(self, channel: Channel, kept: tuple[int, ...]) -> Iterator[Step]:
        """Yield what a copy does that is prepared for, before it becomes its user."""
        yield bare.unblock_signals(), _unblock
        yield channel.group.calls, lambda: _enter(channel.group)
        if channel.joins:
            yield tuple([bare.join(fd, flags) for fd, flags, _ in channel.joins]), channel.join
        yield bare.close_others(kept), lambda: processes.close_other_descriptors(kept)
        yield bare.start_session(), lambda: program.take_terminal(self.process)
        if self.process.affinity[1]:
            yield None, self._choose_processors

    def _above_extra(self, channel: Channel) -> Channel:
        return channel.above(3 + len(self.stdio.extra))

    def _prepare_user(self, may_set_groups: bool, room: program.Room | None = None) -> list[Step]:
        kept = inside.kept_capabilities(self.process, self.wanted)
        return program.prepare_user(self.process, may_set_groups=may_set_groups, kept=kept, room=room)

    def _choose_processors(self) -> None:
        with doing("choose processors", "process.execCPUAffinity.final"):
            os.sched_setaffinity(0, self.process.affinity[1])


def _enter(group: Entrance) -> None:
    with doing("enter the control group", "linux.cgroupsPath"):
        group.enter()


def _unblock() -> None:
    signals.pthread_sigmask(signals.SIG_SETMASK, ())
