"""The runtime itself: the calls of its contract, over records on disk and what the kernel says."""

from __future__ import annotations

import errno

from moby.errors import Conflict, HostUnfit, Invalid, NotFound, Unavailable
from moby.host import processes
from moby.host.blocks import suppress
from moby.host.lean import signals, sockets
from moby_runtime.native.features import FEATURES
from moby_runtime.native.members import end, group_of, kill_all, let_die, pids_of
from moby_runtime.native.messages import number_of
from moby_runtime.native.records import Record, Records
from moby_runtime.native.values import CREATED, CREATING, PAUSED, RUNNING, STOPPED
from moby_runtime.records.failures import Failed, Failure, cause_of, error_of, not_run, telling
from moby_runtime.records.first import boot_id
from moby_runtime.records.gate import GO, Gate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any, Protocol

    from moby.contracts.runtime_values import CheckpointOptions, ContainerState, Process, Stats
    from moby.contracts.streams import Stdio
    from moby_runtime.native.hooks import Hooks
    from moby_runtime.native.making import Maker
    from moby_runtime.native.values import Spec

    class Folder(Protocol):
        """Where containers are kept, as a Place is."""

        @property
        def run(self) -> str | Path: ...
        @property
        def engine(self) -> str: ...

    class Warned(Protocol):
        """Who is told of what went wrong and stops nothing, as a Log is."""

        def warning(self, message: str, **fields: object) -> None: ...


__all__ = ["Native"]

_PATIENCE_S = 60.0
"""Far more than any start needs, however busy the machine."""

_NONE: Mapping[str, str] = {}
_NOTHING: Mapping[str, bool] = {}

# What only makes containers is imported by those calls: a command that asks or kills is done sooner without it.


class Native:
    """Makes containers by system calls. Its process may have threads.

    What makes one container and ends has the groups of these `alone`, as groups.paths says.
    """

    features: frozenset[str] = frozenset(FEATURES)

    def __init__(self, place: Folder, log: Warned | None = None, *, systemd: bool = False, alone: bool = False) -> None:
        self._engine = place.engine
        self._systemd = systemd
        self._alone = alone
        self._log = log
        self._records = Records(str(place.run))

    def programs(self) -> Mapping[str, tuple[str, str]]:
        """Return none: the kernel alone makes its containers; as Runtime.programs."""
        return {}

    # --- making -------------------------------------------------------------------------------------------------

    def create(self, container_id: str, bundle: Path, stdio: Stdio) -> Process:
        """Make a container up to its program; as Runtime.create."""
        self._records.path(container_id)
        from moby_runtime.native.spec import read

        return self.create_from(container_id, read(bundle), stdio)

    def create_from(self, container_id: str, spec: Spec, stdio: Stdio, *, folder: str = "") -> Process:
        """Make a container of a bundle that has been read, and perhaps added to; else as `create`.

        `folder` is made beside the container's state, for a mount that the caller has added.
        """
        maker = self._maker()
        with telling(f"make the container {container_id}"):
            return maker.create(container_id, spec, stdio, folder)

    def _maker(self) -> Maker:
        from moby_runtime.native.making import Maker

        return Maker(self._engine, self._records, self._warn, systemd=self._systemd, alone=self._alone)

    def _warn(self, failure: Failure) -> None:
        if self._log is not None:
            self._log.warning(f"cannot {failure.step}: {failure.detail}", field=failure.field)

    def start(self, container_id: str) -> None:
        """Run the user's program; as Runtime.start."""
        record = self._records.read(container_id)
        gate = Gate(self._records.path(container_id))
        connection = self._reached(record, gate)
        try:
            if not record.startable:
                raise Invalid(f"container {container_id!r} can't be started: its config.json had no process")
            connection.sendall(GO)
            answer = self._answer(record, connection)
        except Failed as error:
            self.kill(container_id, signals.SIGKILL)
            raise error_of(error.failure) from error
        finally:
            connection.close()
        gate.remove()
        failure = Failure.decode(answer) if answer else None
        if failure is not None and failure.field.startswith("linux."):
            raise error_of(failure, user_namespace=record.user_namespace)
        if failure is not None and not failure.field.startswith("hooks."):
            raise not_run(failure) from cause_of(failure)
        if failure is None and "poststart" in record.hooks:
            try:
                _hooks(record).run("poststart", RUNNING, record.pid)
            except Failed as error:
                failure = error.failure
        if failure is not None:
            self.delete(container_id, force=True)
            raise error_of(failure)

    def _reached(self, record: Record, gate: Gate) -> sockets.socket:
        """Return a connection to a first process that waits for its start; Conflict where none does."""
        if record.alive():
            with suppress(ConnectionError, FileNotFoundError):
                return gate.connect()
        raise Conflict(f"container {record.id!r} is {self._status(record)}, so it can't be started")

    def _answer(self, record: Record, connection: sockets.socket) -> bytes:
        """Read why the program didn't start; nothing where it did."""
        answer = b""
        lasting = _hooks(record).time_s("startContainer") if "startContainer" in record.hooks else 0
        connection.settimeout(None if lasting is None else min(lasting + _PATIENCE_S, processes.LONGEST_POLL_MS / 1000))
        while chunk := _next(connection):
            answer += chunk
            number = number_of(answer)
            if number is not None:
                from moby_runtime.native import seccomp

                answer = b""
                wanted = seccomp.restored(record)
                with record.first() as (pidfd, _):
                    seccomp.pass_listener_of(wanted, record, CREATED, (record.pid, pidfd), number)
                connection.sendall(GO)
        return answer

    def exec(
        self,
        container_id: str,
        process: Mapping[str, Any],
        stdio: Stdio,
        groups: Mapping[str, str] = _NONE,
        *,
        patient: bool = False,
    ) -> Process:
        """Run another program inside; as Runtime.exec.

        `groups` are cgroups below the container's own to run it in, by controller (empty for version 2). In a
        paused container a `patient` caller waits until that is resumed.
        """
        from moby_runtime.native import making
        from moby_runtime.native.spec import process_spec

        record = self._records.read(container_id)
        wanted = process_spec(process, record.linux)
        status = ""
        try:
            with record.first() as (first, _):
                status = self._status_of_living(record)
                if status == RUNNING or (patient and status == PAUSED):
                    with telling(f"run a program in {container_id}"):
                        return making.add(record, first, wanted, stdio, groups, patient=patient)
        except ProcessLookupError:
            if status:
                raise Conflict(f"container {container_id!r} has stopped") from None
            status = self._status(record)
        raise Conflict(f"container {container_id!r} is {status}; only in a running one is another program run")

    # --- looking ------------------------------------------------------------------------------------------------

    def state(self, container_id: str) -> ContainerState:
        """Return the state as the kernel has it; as Runtime.state."""
        return self._state(self._records.read(container_id))

    def list(self) -> tuple[ContainerState, ...]:
        """Return all containers; as Runtime.list."""
        found = []
        for container_id in self._records.ids():
            with suppress(NotFound):  # deleted meanwhile
                found.append(self._state(self._records.read(container_id)))
        return tuple(found)

    def ids(self) -> tuple[str, ...]:
        """Return the ids of all containers, sorted, also of those whose record can't be read."""
        return self._records.ids()

    def look(self, container_id: str) -> tuple[str, Record]:
        """Return the status, and what was written of the container when it was made; errors as `state`."""
        record = self._records.read(container_id)
        return self._status(record), record

    def _state(self, record: Record) -> ContainerState:
        from pathlib import Path

        from moby.contracts.runtime_values import ContainerState
        from moby.contracts.types import TaskStatus

        status = self._status(record)
        pid = 0 if status == STOPPED else record.pid
        return ContainerState(record.id, TaskStatus(status), pid, Path(record.bundle), record.annotations)

    def _status(self, record: Record) -> str:
        if not record.pid and record.boot == boot_id():
            return CREATING
        return self._status_of_living(record) if record.alive() else STOPPED

    def _status_of_living(self, record: Record) -> str:
        if Gate(self._records.path(record.id)).waits():
            return CREATED
        if record.cgroups and group_of(record).frozen():
            return PAUSED
        return RUNNING

    def pids(self, container_id: str) -> tuple[int, ...]:
        """Return all processes inside; as Runtime.pids."""
        record = self._records.read(container_id)
        return pids_of(record) if record.alive() else ()

    # --- acting -------------------------------------------------------------------------------------------------

    def kill(self, container_id: str, signal: int, *, everyone: bool = False) -> None:
        """Send a signal; as Runtime.kill."""
        record = self._records.read(container_id)
        try:
            with record.first() as (fd, _):
                if everyone:
                    kill_all(record, signal)
                else:
                    processes.send_signal(fd, signal)
                let_die(record, signal)
        except ProcessLookupError:
            raise Conflict(f"container {container_id!r} has stopped already") from None

    def delete(self, container_id: str, *, force: bool = False) -> None:
        """Remove every trace; as Runtime.delete."""
        try:
            record = self._records.read(container_id)
        except NotFound:
            if not force:
                raise
            self._records.remove(container_id)
            return
        status = self._status(record)
        if status != STOPPED and not force:
            raise Conflict(f"container {container_id!r} is {status}", hint="kill it first, or force it")
        end(record)
        if record.shares_mounts:
            from moby_runtime.native import shared_mounts

            shared_mounts.take_off(record.rootfs, record.mount_namespace)
        self._remove_group(record)
        if record.own_rdt:
            from moby_runtime.native import rdt

            rdt.remove(record.own_rdt)
        # Before the record goes, so that they run once more, rather than never, where this process is killed.
        if "poststop" in record.hooks:
            _hooks(record).run_poststop(self._warn)
        self._records.remove(container_id)

    def reclaim(self) -> None:
        """Remove every container of this state folder, also those that a killed process left."""
        for container_id in self._records.ids():
            self.delete(container_id, force=True)

    def _remove_group(self, record: Record) -> None:
        try:
            if record.scope:
                from moby_runtime.native import scopes

                scopes.stop(group_of(record), record.scope, user=record.scope_of_user)
            group_of(record).remove()
        except OSError as error:
            raise Unavailable(f"the control group of {record.id!r} is still in use: {error}") from error

    def pause(self, container_id: str) -> None:
        """Freeze; as Runtime.pause."""
        record = self._in_state(container_id, RUNNING, "paused")
        try:
            group_of(record).freeze()
        except OSError as error:
            group_of(record).thaw()
            raise Unavailable(f"container {container_id!r} doesn't freeze: {error.strerror}") from error

    def resume(self, container_id: str) -> None:
        """Thaw; as Runtime.resume."""
        group_of(self._in_state(container_id, PAUSED, "resumed")).thaw()

    def _in_state(self, container_id: str, wanted: str, done: str) -> Record:
        record = self._records.read(container_id)
        status = self._status(record)
        if status != wanted:
            raise Conflict(f"container {container_id!r} is {status}, so it can't be {done}")
        _need_group(record)
        return record

    def update(self, container_id: str, resources: Mapping[str, Any]) -> None:
        """Change limits; as Runtime.update."""
        from moby_runtime.native import placement
        from moby_runtime.native.spec import check_resources

        record = self._records.read(container_id)
        check_resources(resources)
        if not record.alive():
            raise Conflict(f"container {container_id!r} has stopped, so its limits can't be changed")
        _need_group(record)
        try:
            if record.scope:
                from moby_runtime.native import scopes

                scopes.change(group_of(record), record.scope, resources, user=record.scope_of_user)
            placement.change(group_of(record), resources, self._warn)
        except Failed as error:
            raise error_of(error.failure) from error

    def update_rdt(self, container_id: str, lines: Sequence[tuple[str, str]]) -> None:
        """Change what a container has of caches and memory bandwidth: lines of `schemata`, each by what asks for it.

        Conflict where it has no group for that; other errors as `update`.
        """
        from moby_runtime.native import rdt

        record = self._records.read(container_id)
        if not record.alive() or not record.rdt:
            raise Conflict(
                f"container {container_id!r} has no resctrl group", hint="set linux.intelRdt in its config.json"
            )
        try:
            rdt.change(record.rdt[0], lines)
        except Failed as error:
            raise error_of(error.failure) from error

    def stats(self, container_id: str) -> Stats:
        """Return what it uses; as Runtime.stats."""
        from moby_runtime.groups.figures import stats_of

        record = self._records.read(container_id)
        _need_group(record)
        return stats_of(group_of(record), container_id)

    def watch_oom(self, container_id: str) -> int:
        """Return a descriptor that tells; as Runtime.watch_oom."""
        from moby_runtime.groups.figures import watch_oom

        record = self._records.read(container_id)
        if not record.alive():
            raise Conflict(f"container {container_id!r} has stopped, so nothing is to be watched")
        _need_group(record)
        return watch_oom(group_of(record), container_id)

    def checkpoint(
        self,
        container_id: str,
        image: Path,
        options: CheckpointOptions,
        *,
        leave_running: bool = False,
        work: str = "",
        more: Mapping[str, bool] = _NOTHING,
    ) -> None:
        """Write an image of a running container; as Runtime.checkpoint.

        CRIU's log is left in the folder `work`, where one is named; `more` are switches as CRIU calls them.
        """
        from moby_runtime.native import dumping
        from moby_runtime.native.spec import read

        record = self._in_state(container_id, RUNNING, "written into an image")
        dumping.fit()
        spec = read(record.bundle)
        dumping.refuse(spec)
        wishes = dumping.Wishes({**dumping.switches_of(options), **more}, work, leave_running)
        with telling(f"write an image of the container {container_id}"):
            dumping.dump(record, spec, image, wishes, self._records.path(container_id))

    def restore(
        self,
        container_id: str,
        bundle: Path,
        image: Path,
        stdio: Stdio,
        options: CheckpointOptions,
        *,
        work: str = "",
        more: Mapping[str, bool] = _NOTHING,
    ) -> Process:
        """Make a running container of an image; as Runtime.restore, and as `checkpoint`."""
        from moby_runtime.images import folders
        from moby_runtime.native import dumping
        from moby_runtime.native.spec import read

        self._records.path(container_id)
        dumping.fit()
        folders.check(image)
        spec = read(bundle)
        dumping.refuse(spec)
        maker = self._maker()
        wishes = dumping.Wishes({**dumping.switches_of(options), **more}, work)
        with telling(f"make the container {container_id}"):
            return maker.restore(container_id, spec, stdio, image, wishes)


def _next(connection: sockets.socket) -> bytes:
    """Read what a process says next; who shares its PID namespace may stop it, but not for ever."""
    try:
        return connection.recv(65536)
    except TimeoutError as error:
        raise Failed(Failure("start the program: something stops or delays it", "", errno.ETIMEDOUT)) from error


def _hooks(record: Record) -> Hooks:
    from moby_runtime.native.hooks import Hooks

    return Hooks(record.id, record.bundle, record.annotations, record.hooks)


def _need_group(record: Record) -> None:
    if not record.cgroups:
        from moby_runtime.native import placement

        raise HostUnfit(f"container {record.id!r} has no control group", hint=placement.DELEGATION)
