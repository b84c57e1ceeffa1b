"""The runtime over LXC: its containers are kept as jails are, by a record, a gate and a warden, which LXC itself is."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moby.contracts.ambient import Place
from moby.contracts.runtime import Process
from moby.contracts.runtime_values import Stats
from moby.contracts.types import Stdio, TaskStatus
from moby.errors import Conflict, HostUnfit
from moby.host import liblxc
from moby.host.cgroups import Group
from moby_runtime.jails.records import Record
from moby_runtime.jails.runtime import Jails
from moby_runtime.lxc import FEATURES
from moby_runtime.lxc import bundle as bundles
from moby_runtime.lxc.configuration import COUNTED
from moby_runtime.lxc.making import Maker, add, forget, remove_groups, remove_locks
from moby_runtime.records.failures import Failed, error_of

__all__ = ["Lxc"]


class Lxc(Jails):
    """Makes containers with LXC. Its process may have threads."""

    def __init__(self, place: Place, library: str = "") -> None:
        super().__init__(place, "lxc", FEATURES)
        self._maker = Maker(place, self._records, library)
        self._library = library

    def programs(self) -> Mapping[str, tuple[str, str]]:
        """Return the version of LXC's library; as Runtime.programs."""
        try:
            return {"lxc": (liblxc.Library(self._library or liblxc.NAME).version, "")}
        except OSError:
            return {}

    def create(self, container_id: str, bundle: Path, stdio: Stdio) -> Process:
        """Make a container up to its program; as Runtime.create."""
        self._records.path(container_id)
        read = bundles.read(str(bundle))
        bundles.check_terminal(read.process, stdio)
        if os.geteuid():
            raise HostUnfit("the runtime lxc makes containers only as root", hint="run as root")
        return self._maker.create(container_id, read, stdio)

    def exec(self, container_id: str, process: Mapping[str, Any], stdio: Stdio) -> Process:
        """Run another program inside; as Runtime.exec."""
        self._records.read(container_id)
        wanted = bundles.check_process(process)
        bundles.check_terminal(wanted, stdio)
        record = self._expect(container_id, TaskStatus.RUNNING, "entered")
        try:
            return add(record, wanted, stdio)
        except Failed as error:
            raise error_of(error.failure) from error
        except ProcessLookupError:
            raise Conflict(f"container {container_id!r} has stopped") from None

    def stats(self, container_id: str) -> Stats:
        """Return what it uses; as Runtime.stats. Of one that has ended what LXC's hook has kept."""
        try:
            return super().stats(container_id)
        except Conflict:
            from moby_runtime.groups.figures import stats_of

            kept = Path(self._records.path(container_id), COUNTED)
            # One that an earlier release has made has no such folder.
            if not kept.is_dir() or not any(kept.iterdir()):
                raise
            return stats_of(Group((str(kept),)), container_id)

    def reclaim(self) -> None:
        """Remove every container, and what LXC keeps for this state folder."""
        super().reclaim()
        remove_locks(f"{self._records.root}/none", above=True)

    def _forget(self, container_id: str) -> None:
        forget(self._records, container_id)

    def _remove_groups(self, record: Record) -> None:
        remove_groups(record)
        remove_locks(self._records.path(record.id))
