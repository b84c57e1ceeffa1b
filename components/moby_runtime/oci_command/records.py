"""What later calls need to know of a container: our record, and beside it the bundle and the command's own state."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moby.host.cgroups import Group
from moby.host.processes import process_stat
from moby.values import evolve, field, frozen
from moby_runtime.records.first import First
from moby_runtime.records.folders import Folders

__all__ = ["Folder", "Record", "Records"]


@frozen
class Record:
    """One container. The pid is 0 until the command has made it: intent is written before it is run."""

    id: str
    bundle: str
    boot: str
    program: str = ""
    """Its first argument, for errors that name it."""
    pid: int = 0
    start_ticks: int = 0
    group: str = ""
    """Path of its cgroup in every tree; empty is none."""
    cgroups: tuple[str, ...] = ()
    """Folders of the group that its first process is in."""
    annotations: Mapping[str, str] = field(factory=dict)
    hooks: Mapping[str, Any] = field(factory=dict)
    """Those that this side runs, `poststart` and `poststop`."""
    waits: bool = False
    """Whether calls may take as long as hooks do."""
    start_hooks: bool = False
    """Whether there are hooks between the start and the program."""
    restored: bool = False
    """Whether its first process was made by CRIU, which copies itself and becomes no program."""

    def with_process(self, pid: int, group: Group) -> "Record":
        """Return it with the process that there is now; its start time tells it from a later one of that pid."""
        stat = process_stat(pid)
        return evolve(self, pid=pid, start_ticks=stat.start_ticks if stat else 0, cgroups=group.folders)

    def first(self) -> First:
        """Lend a pidfd of the first process, with what it is; ProcessLookupError where it has ended."""
        return First(self.pid, self.start_ticks, self.boot)


@frozen
class Folder:
    """The folder of one container."""

    path: Path

    @property
    def bundle(self) -> Path:
        """The bundle as the command gets it."""
        return self.path / "bundle"

    @property
    def root(self) -> Path:
        """What the command keeps, for this container alone, so that it goes with it."""
        return self.path / "root"


class Records(Folders):
    """The records of all containers."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, "record.json")

    def folder(self, container_id: str) -> Folder:
        """Return the folder of a container; Invalid for an id that can't name one."""
        return Folder(Path(self.path(container_id)))

    def read(self, container_id: str) -> Record:
        """Return a record; NotFound where there is none, Corrupt where it can't be read."""
        return self.get(container_id, Record)
