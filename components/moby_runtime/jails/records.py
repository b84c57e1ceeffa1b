"""What later calls need to know of a container in a jail."""

from __future__ import annotations

from moby.values import field, frozen
from moby_runtime.records.first import First
from moby_runtime.records.folders import Folders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["Record", "Records"]


@frozen
class Record:
    """One container. The pid is 0 until there is a process: intent is written before."""

    id: str
    bundle: str
    rootfs: str
    boot: str
    pid: int = 0
    """Of its first process."""
    start_ticks: int = 0
    warden: int = 0
    """Of the process whose child that is."""
    warden_ticks: int = 0
    cgroups: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(factory=dict)
    seccomp: Mapping[str, Any] = field(factory=dict)
    """The filter that further programs get too, where the runtime has such."""

    def first(self) -> First:
        """Lend a pidfd of the first process, with what it is; ProcessLookupError where it has ended."""
        return First(self.pid, self.start_ticks, self.boot)

    def guard(self) -> First:
        """Lend a pidfd of its warden, as `first`."""
        return First(self.warden, self.warden_ticks, self.boot)

    def alive(self) -> bool:
        """Whether its first process runs, created or started."""
        try:
            with self.first() as (_, stat):
                return not stat.exiting
        except ProcessLookupError:
            return False


class Records(Folders):
    """The records of all containers."""

    def __init__(self, root: str) -> None:
        super().__init__(root, "jail.json")

    def read(self, container_id: str) -> Record:
        """Return a record; NotFound where there is none, Corrupt where it can't be read."""
        return self.get(container_id, Record)
