"""A part in a process of its own under its keeper, as engines have it, which tests kill."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from moby.engine import start
from moby.placement import placed
from moby.plan import Plan
from moby.served.launching import Launcher
from moby.surroundings import Roots, Surroundings
from moby.values import evolve

__all__ = ["Outliving"]

LINGER_S = 0.2
PATIENCE_S = 60.0


class Outliving:
    """An engine of a part and what it needs; `again` ends just the part's process, or, without one, the engine."""

    def __init__(self, plan: Plan, key: str, root: Path, *, served: bool = False) -> None:
        instances = (evolve(each, served=served or each.served) if each.key == key else each for each in plan.instances)
        self._plan = placed(evolve(plan, instances=tuple(instances)))
        self._key = key
        self._around = Surroundings(Roots.under(root, plan.name), log_level="error", linger_s=LINGER_S)
        self._launcher = Launcher(self._around.roots.run, linger_s=LINGER_S)
        self._stack = ExitStack()
        self._engine = self._stack.enter_context(start(self._plan, around=self._around))

    @property
    def part(self) -> Any:
        """The part, or what calls it."""
        return self._engine.instances[self._key]

    def again(self) -> Any:
        """Kill the part's process, and return the part once its keeper has started another."""
        before = self._pid()
        if not before:
            self._stack.close()
            self._engine = self._stack.enter_context(start(self._plan, around=self._around))
            return self.part
        os.kill(before, signal.SIGKILL)
        _eventually(lambda: self._pid() not in (0, before), "another process of the part")
        return self.part

    def end(self) -> None:
        """Have the part undo what outlives it, and end its process and the keeper."""
        pid = self._pid()
        try:
            if hasattr(self.part, "reclaim"):
                self.part.reclaim()
        finally:
            self._stack.close()
            self._launcher.end()
        _eventually(lambda: not (pid and Path(f"/proc/{pid}").exists()), "the end of the part's process")

    def _pid(self) -> int:
        """Return its process; 0 where it is in this one."""
        instance = self._plan.get(self._key)
        if instance is None or self._key not in instance.processes:
            return 0
        return next((each.pid for each in self._launcher.parts() if each.key == self._key), 0)


def _eventually(check: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not check():
        assert time.monotonic() < deadline, f"{what} doesn't come"
        time.sleep(0.01)
