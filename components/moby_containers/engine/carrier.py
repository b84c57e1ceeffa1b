"""Who carries the streams of containers: the supervisor's process, whose death cuts them."""

import os
import select
import threading

from moby.contracts.supervisor import Supervisor
from moby.errors import Unsupported

__all__ = ["Carrier"]

_NEVER = 1 << 62
"""An entry that the journal will never have: what waits for it only ever learns that its process has ended."""


class Carrier:
    """Numbers those who carry streams, one after another."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._lock = threading.Lock()
        self._number = 0
        self._fd = -1

    def number(self) -> int:
        """Return the number of the one who does now; always the same where the supervisor is in this process."""
        with self._lock:
            if self._fd < 0 or _is_readable(self._fd):
                try:
                    fd = self._supervisor.journal_fd(_NEVER)
                except Unsupported:
                    return self._number
                self._close()
                self._fd = fd
                self._number += 1
            return self._number

    def close(self) -> None:
        """Close what tells of its end."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _is_readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))
