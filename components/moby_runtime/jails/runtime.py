"""The runtime of jails: the calls of its contract, over records on disk and what the kernel says."""

import contextlib
import os
import signal as signals
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from moby.contracts.ambient import Place
from moby.contracts.runtime import CheckpointOptions, ContainerState, Process, RuntimeFeature, Stats
from moby.contracts.types import Stdio, TaskStatus
from moby.errors import Conflict, NotFound, Unavailable, Unsupported
from moby.host import processes
from moby.host.cgroups import Group
from moby_runtime.jails import bundle as bundles
from moby_runtime.jails import making, warden
from moby_runtime.jails.records import Record, Records
from moby_runtime.records.failures import Failed, Failure, error_of
from moby_runtime.records.first import boot_id
from moby_runtime.records.gate import GO, Gate

__all__ = ["Jails"]

_PATIENCE_S = 60.0
_KILL_S = 10.0


class Jails:
    """Makes containers that are a process in a root, as a user; in a control group where its features say so."""

    def __init__(self, place: Place, name: str, features: tuple[str, ...]) -> None:
        self.features: frozenset[str] = frozenset(features)
        self._name = name
        self._place = place
        self._records = Records(str(place.run))

    def programs(self) -> Mapping[str, tuple[str, str]]:
        """Return none; as Runtime.programs."""
        return {}

    # --- making -------------------------------------------------------------------------------------------------

    def create(self, container_id: str, bundle: Path, stdio: Stdio) -> Process:
        """Make a container up to its program; as Runtime.create."""
        self._records.path(container_id)
        grouped = RuntimeFeature.CGROUPS in self.features
        read = bundles.read(str(bundle), self._name, grouped=grouped)
        bundles.check_terminal(self._name, stdio)
        return making.make(container_id, read, stdio, self._place, self._records, grouped=grouped)

    def start(self, container_id: str) -> None:
        """Run the user's program; as Runtime.start."""
        record = self._expect(container_id, TaskStatus.CREATED, "started")
        gate = Gate(self._records.path(container_id))
        try:
            connection = gate.connect()
        except (ConnectionError, FileNotFoundError):
            raise Conflict(f"container {container_id!r} has ended before its start") from None
        with contextlib.closing(connection):
            connection.sendall(GO)
            connection.settimeout(_PATIENCE_S)
            answer = connection.recv(65536)
        gate.remove()
        if not answer:
            return
        _wait_ended(record)
        making.raise_of(Failure.decode(answer))

    def exec(self, container_id: str, process: Mapping[str, Any], stdio: Stdio) -> Process:
        """Run another program in the jail; as Runtime.exec."""
        self._need(RuntimeFeature.EXEC)
        self._records.read(container_id)
        wanted = bundles.process_of(process, self._name, stdio)
        record = self._expect(container_id, TaskStatus.RUNNING, "entered")
        try:
            return making.add(record, wanted, stdio)
        except Failed as error:
            raise error_of(error.failure) from error

    # --- looking ------------------------------------------------------------------------------------------------

    def state(self, container_id: str) -> ContainerState:
        """Return the state as the kernel has it; as Runtime.state."""
        return self._state(self._records.read(container_id))

    def list(self) -> tuple[ContainerState, ...]:
        """Return all containers; as Runtime.list."""
        found = []
        for container_id in self._records.ids():
            with contextlib.suppress(NotFound):  # deleted meanwhile
                found.append(self.state(container_id))
        return tuple(found)

    def _state(self, record: Record) -> ContainerState:
        status = self._status(record)
        pid = 0 if status is TaskStatus.STOPPED else record.pid
        return ContainerState(record.id, status, pid, Path(record.bundle), record.annotations)

    def _status(self, record: Record) -> TaskStatus:
        if not record.pid and record.boot == boot_id():
            return TaskStatus.CREATING
        if not record.alive():
            return TaskStatus.STOPPED
        if Gate(self._records.path(record.id)).waits():
            return TaskStatus.CREATED
        return TaskStatus.PAUSED if Group(record.cgroups).frozen() else TaskStatus.RUNNING

    def _expect(self, container_id: str, wanted: TaskStatus, done: str) -> Record:
        """Return the record of a container; Conflict where it is in another state."""
        record = self._records.read(container_id)
        status = self._status(record)
        if status is not wanted:
            raise Conflict(f"container {container_id!r} is {status}, so it can't be {done}")
        return record

    def pids(self, container_id: str) -> tuple[int, ...]:
        """Return all processes inside: of the control group, else the descendants of its warden."""
        record = self._records.read(container_id)
        return _pids(record) if record.alive() else ()

    def stats(self, container_id: str) -> Stats:
        """Return what it uses; as Runtime.stats."""
        self._need(RuntimeFeature.STATS)
        from moby_runtime.groups.figures import stats_of

        return stats_of(Group(self._records.read(container_id).cgroups), container_id)

    def watch_oom(self, container_id: str) -> int:
        """Return a descriptor that tells; as Runtime.watch_oom."""
        self._need(RuntimeFeature.OOM)
        from moby_runtime.groups.figures import watch_oom

        record = self._records.read(container_id)
        if not record.alive():
            raise Conflict(f"container {container_id!r} has stopped, so nothing is to be watched")
        return watch_oom(Group(record.cgroups), container_id)

    # --- acting -------------------------------------------------------------------------------------------------

    def kill(self, container_id: str, signal: int, *, everyone: bool = False) -> None:
        """Send a signal; as Runtime.kill."""
        record = self._records.read(container_id)
        try:
            with record.first() as (fd, stat):
                if stat.exiting:
                    raise ProcessLookupError
                if everyone:
                    _signal_all(record, signal)
                else:
                    processes.send_signal(fd, signal)
        except ProcessLookupError:
            raise Conflict(f"container {container_id!r} has stopped already") from None
        if signal == signals.SIGKILL:
            _let_die(record)

    def delete(self, container_id: str, *, force: bool = False) -> None:
        """Remove every trace; as Runtime.delete."""
        try:
            record = self._records.read(container_id)
        except NotFound:
            if not force:
                raise
            self._forget(container_id)
            return
        status = self._status(record)
        if status is not TaskStatus.STOPPED and not force:
            raise Conflict(f"container {container_id!r} is {status}", hint="kill it first, or force it")
        with contextlib.suppress(ProcessLookupError), record.first() as (fd, _):
            processes.send_signal(fd, signals.SIGKILL)
        _signal_all(record, signals.SIGKILL)
        _let_die(record)
        _wait_ended(record)
        try:
            self._remove_groups(record)
        except OSError as error:
            raise Unavailable(f"the control group of {container_id!r} is still in use: {error}") from error
        self._forget(container_id)

    def _remove_groups(self, record: Record) -> None:
        """Remove what control groups a container had."""
        Group(record.cgroups).remove()

    def _forget(self, container_id: str) -> None:
        """Remove the folder of a container."""
        self._records.remove(container_id)

    def reclaim(self) -> None:
        """Remove every container of this state folder, also those that a killed process left."""
        for container_id in self._records.ids():
            self.delete(container_id, force=True)

    def pause(self, container_id: str) -> None:
        """Freeze; as Runtime.pause."""
        self._need(RuntimeFeature.PAUSE)
        group = Group(self._expect(container_id, TaskStatus.RUNNING, "paused").cgroups)
        try:
            group.freeze()
        except OSError as error:
            group.thaw()
            raise Unavailable(f"container {container_id!r} doesn't freeze: {error.strerror}") from error

    def resume(self, container_id: str) -> None:
        """Thaw; as Runtime.resume."""
        self._need(RuntimeFeature.PAUSE)
        Group(self._expect(container_id, TaskStatus.PAUSED, "resumed").cgroups).thaw()

    def update(self, container_id: str, resources: Mapping[str, Any]) -> None:
        """Change limits; as Runtime.update."""
        self._need(RuntimeFeature.UPDATE)
        record = self._records.read(container_id)
        bundles.check_resources(resources)
        if not record.alive():
            raise Conflict(f"container {container_id!r} has stopped, so its limits can't be changed")
        try:
            making.set_limits(Group(record.cgroups), resources, live=True)
        except Failed as error:
            raise error_of(error.failure) from error

    def checkpoint(
        self, container_id: str, image: Path, options: CheckpointOptions, *, leave_running: bool = False
    ) -> None:
        """Refuse: an image is of a whole set of namespaces."""
        self._lacks(RuntimeFeature.CHECKPOINT)

    def restore(
        self, container_id: str, bundle: Path, image: Path, stdio: Stdio, options: CheckpointOptions
    ) -> Process:
        """Refuse, as `checkpoint`."""
        self._lacks(RuntimeFeature.CHECKPOINT)

    def _need(self, feature: str) -> None:
        if feature not in self.features:
            self._lacks(feature)

    def _lacks(self, feature: str) -> NoReturn:
        raise Unsupported(f"the runtime {self._name} has no {feature}", hint=f"choose a runtime that offers {feature}")


def _pids(record: Record) -> tuple[int, ...]:
    if record.cgroups:
        return Group(record.cgroups).pids()
    stats = (processes.process_stat(pid) for pid in warden.below(record.warden))
    return tuple(sorted(stat.pid for stat in stats if stat and not stat.ended))


def _signal_all(record: Record, number: int) -> None:
    """Send a signal to every process, also to those that they start meanwhile."""
    if record.cgroups:
        Group(record.cgroups).kill(number)
        return
    sent: set[int] = set()
    while fresh := set(warden.below(record.warden) if _guarded(record) else ()) - sent:
        for pid in sorted(fresh):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        sent |= fresh


def _guarded(record: Record) -> bool:
    """Whether its warden is still the one that was written down."""
    try:
        with record.guard():
            return True
    except ProcessLookupError:
        return False


def _let_die(record: Record) -> None:
    """Thaw what was killed: a frozen process doesn't die."""
    group = Group(record.cgroups)
    if group.frozen():
        group.thaw()


def _wait_ended(record: Record) -> None:
    """Wait until the warden has ended, which it does after all that it kept."""
    with contextlib.suppress(ProcessLookupError), record.guard() as (pidfd, _):
        if not processes.wait_ended(pidfd, _KILL_S):
            raise Unavailable(f"container {record.id!r} doesn't end: one of its processes hangs in the kernel")
    deadline = time.monotonic() + _KILL_S
    while any(_runs(pid) for pid in Group(record.cgroups).pids()):
        if time.monotonic() > deadline:
            raise Unavailable(f"container {record.id!r} doesn't end: one of its processes hangs in the kernel")
        time.sleep(0.002)


def _runs(pid: int) -> bool:
    """Whether a process is more than a zombie, which is its caller's to reap."""
    stat = processes.process_stat(pid)
    return stat is not None and not stat.ended
