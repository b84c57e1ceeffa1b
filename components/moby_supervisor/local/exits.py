"""How a task's process ended: from whoever saw it first hand, else unknown."""

import os
from typing import TYPE_CHECKING

from moby.contracts.ambient import Clock, Keeper, Reaped
from moby.host import exits, processes
from moby.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Ending", "Endings"]

_WALL = 0x40000000


@frozen
class Ending:
    """An exit code, None where nobody saw it, and when."""

    code: int | None
    time_ns: int


@frozen
class Endings:
    """Where to ask, in this order: our own children, the keeper, the kernel."""

    keeper: Keeper
    clock: Clock

    def of(self, pid: int, ticks: int, pidfd: int) -> Ending:
        """Say how a process that has ended did; `pidfd` is -1 where there is none any more."""
        now = self.clock.now_ns()
        if pidfd >= 0:
            try:
                ended = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT | os.WNOHANG | _WALL)
            except ChildProcessError:
                ended = None
            if ended is not None:
                code = ended.si_status if ended.si_code == os.CLD_EXITED else 128 + ended.si_status
                return Ending(code, now)
        status = self._seen_by_the_keeper(pid) or self._seen_by_the_kernel(pid, ticks, pidfd, now)
        # Between the two looks the keeper may have reaped it.
        found = status or self._seen_by_the_keeper(pid)
        return Ending(exits.code_of(found.status), found.time_ns) if found else Ending(None, now)

    def _seen_by_the_keeper(self, pid: int) -> Reaped | None:
        found: Mapping[int, Reaped] = {each.pid: each for each in self.keeper.reaped()}
        return found.get(pid)

    @staticmethod
    def _seen_by_the_kernel(pid: int, ticks: int, pidfd: int, now: int) -> Reaped | None:
        status = exits.reaped_status(pidfd) if pidfd >= 0 else None
        if status is None:
            stat = processes.process_stat(pid)
            if stat is not None and stat.start_ticks == ticks:
                status = exits.zombie_status(pid)
        return None if status is None else Reaped(pid, status, now)
