"""What later calls need to know of a container."""

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
    """One container. The pid is 0 until there is a process: intent is written before the clone."""

    id: str
    bundle: str
    boot: str
    pid: int = 0
    start_ticks: int = 0
    """With the boot it tells the process from a later one of the same pid."""
    cgroups: tuple[str, ...] = ()
    """Folders of its cgroup."""
    scope: str = ""
    """The unit of systemd that holds it; empty where none does."""
    scope_of_user: bool = False
    """Whether that is the user's own systemd."""
    user_namespace: bool = False
    annotations: Mapping[str, str] = field(factory=dict)
    hooks: Mapping[str, Any] = field(factory=dict)
    """Those that later calls run, as config.json had them."""
    startable: bool = True
    """Whether its bundle has a process."""
    linux: Mapping[str, Any] = field(factory=dict)
    """What further programs have of `linux`, as config.json had it."""
    seccomp: Mapping[str, Any] = field(factory=dict)
    """The filter of its system calls, as native.seccomp stores it."""
    rootfs: str = ""
    shares_mounts: bool = False
    """Whether its root is on a mount in a namespace that isn't its own, and is reached by chroot(2)."""
    mount_namespace: str = ""
    """The path of that namespace; empty where it is the caller's."""
    rdt: tuple[str, ...] = ()
    """Groups of caches that its processes are in."""
    own_rdt: tuple[str, ...] = ()
    """Those of them that go with it."""
    created_ns: int = 0
    """Since the epoch."""

    def alive(self) -> bool:
        """Whether its first process runs, created or started; a zombie doesn't."""
        try:
            with self.first():
                return True
        except ProcessLookupError:
            return False

    def first(self) -> First:
        """Lend a pidfd of the first process, and what it is; ProcessLookupError where it has ended."""
        return First(self.pid, self.start_ticks, self.boot)


class Records(Folders):
    """The records of all containers."""

    def __init__(self, root: str) -> None:
        super().__init__(root, "state.json")

    def read(self, container_id: str) -> Record:
        """Return a record; NotFound where there is none, Corrupt where it can't be read."""
        return self.get(container_id, _made)


def _made(**values: Any) -> Record:
    """Return a record of values as JSON has them, which knows no tuples."""
    lists: dict[str, Any] = {name: tuple(values[name]) for name in ("rdt", "own_rdt") if name in values}
    return Record(**(values | lists))
