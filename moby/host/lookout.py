"""Looks again and again at what other hosts may have changed in a store that they share with this one."""

import threading
from collections.abc import Callable

from moby.errors import MobyError

__all__ = ["Lookout"]

_EVERY_S = 0.1
"""A look is one read of one key, some 20 microseconds."""


class Lookout:
    """A thread that calls `look` ten times a second; what fails is told once until it works again."""

    def __init__(self, look: Callable[[], None], told: Callable[[MobyError | OSError], None], name: str) -> None:
        self._look, self._told = look, told
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        failed = False
        while not self._end.wait(_EVERY_S):
            try:
                self._look()
                failed = False
            except (MobyError, OSError) as error:
                if not failed:
                    self._told(error)
                failed = True
