"""Notices what other hosts have changed."""

import threading
from collections.abc import Callable

from moby.contracts.ambient import Log
from moby.errors import MobyError

__all__ = ["Watch"]

_EVERY_S = 0.1
"""A look is one read of one key, some 20 microseconds."""


class Watch:
    """A thread that calls `look` ten times a second; what fails is told once until it works again."""

    def __init__(self, look: Callable[[], None], log: Log) -> None:
        self._look, self._log = look, log
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="overlay", daemon=True)
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
                    self._log.warning("what other hosts say of overlay networks can't be followed", reason=str(error))
                failed = True
