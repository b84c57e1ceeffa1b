"""The first process of a container: which one it is, whatever its number means by now."""

from __future__ import annotations

import os

from moby.host.files import read_text
from moby.host.processes import process_stat, wait_ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moby.host.processes import ProcessStat

__all__ = ["First", "boot_id"]

_boot: list[str] = []


def boot_id() -> str:
    """Return what names this boot of the machine."""
    if not _boot:
        _boot.append(read_text("/proc/sys/kernel/random/boot_id").strip())
    return _boot[0]


class First:
    """Lends a pidfd of the process that a record tells, with what it is; ProcessLookupError where it has ended.

    `start_ticks` and the boot tell it from a later one of the same pid.
    """

    def __init__(self, pid: int, start_ticks: int, boot: str) -> None:
        self._pid = pid
        self._start_ticks = start_ticks
        self._boot = boot
        self._fd = -1

    def __enter__(self) -> tuple[int, ProcessStat]:
        if not self._pid or self._boot != boot_id():
            raise ProcessLookupError(self._pid)
        self._fd = os.pidfd_open(self._pid)
        try:
            # Only after opening does the start time say whose descriptor it is.
            stat = process_stat(self._pid)
            if stat is None or stat.start_ticks != self._start_ticks or wait_ended(self._fd, 0):
                raise ProcessLookupError(self._pid)
        except BaseException:
            os.close(self._fd)
            raise
        return self._fd, stat

    def __exit__(self, *error: object) -> None:
        os.close(self._fd)
