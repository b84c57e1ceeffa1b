"""The runtime: each call of its contract is a call of the command, judged by what the kernel says before and after."""

import contextlib
import json
import os
import signal as signals
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from moby.contracts.ambient import Place
from moby.contracts.runtime import CheckpointOptions, ContainerState, Process, RuntimeFeature, Stats
from moby.contracts.types import Stdio, TaskStatus
from moby.errors import Conflict, HostUnfit, Invalid, MobyError, NotFound, Unavailable, Unsupported
from moby.host.cgroups import Group
from moby.host.processes import send_signal, wait_ended
from moby.host.versions import versions_in
from moby.oci.bundle import possible_beside
from moby_runtime.groups.paths import DELEGATION
from moby_runtime.images import folders
from moby_runtime.oci_command import bundle as bundles
from moby_runtime.oci_command import hooks, images
from moby_runtime.oci_command.call import Failed
from moby_runtime.oci_command.command import Command, scratch
from moby_runtime.oci_command.failures import error_of, not_run, program_error
from moby_runtime.oci_command.first import becomes_program, discard, groups_of, remove_groups
from moby_runtime.oci_command.records import Folder, Record, Records
from moby_runtime.oci_command.tool import Tool
from moby_runtime.records.first import boot_id

__all__ = ["OciCommand"]

_KILL_S = 10.0
_FREEZE_S = 3.0


class OciCommand:
    """Makes containers with a command of runc's kind. Its process may have threads."""

    def __init__(self, place: Place, tool: Tool, binary: str = "") -> None:
        self.features: frozenset[str] = frozenset(tool.features)
        self._place = place
        self._tool = tool
        self._command = Command(tool, binary)
        self._records = Records(place.run)

    # --- making -------------------------------------------------------------------------------------------------

    def create(self, container_id: str, bundle: Path, stdio: Stdio) -> Process:
        """Make a container up to its program; as Runtime.create."""
        self._records.folder(container_id)
        read = bundles.read(bundle, self._tool, self._command.binary())
        bundles.check_terminal(read.process, stdio)
        return self._make(container_id, read, stdio, "create")

    def _make(
        self, container_id: str, read: bundles.Bundle, stdio: Stdio, verb: str, more: Sequence[str] = ()
    ) -> Process:
        """Have the command make a container, and write down what it has made."""
        record = Record(
            id=container_id,
            bundle=str(read.path),
            boot=boot_id(),
            group=read.group(self._place, container_id),
            program=read.process["args"][0],
            annotations=read.annotations,
            hooks={name: read.hooks[name] for name in bundles.OURS if read.hooks.get(name)},
            waits=any(read.hooks.values()),
            start_hooks=bool(read.hooks.get("startContainer")),
            restored=verb == "restore",
        )
        self._records.reserve(record)
        folder = self._records.folder(record.id)
        with ExitStack() as undo:
            undo.callback(self._records.remove, container_id)
            read.write(folder.bundle, record.group)
            undo.callback(self._discard, folder, record)
            read.make_way(record.group)
            program = record.program if verb == "create" else ""
            with self._explained(verb, program, read.data), scratch(folder.path) as made:
                words = (verb, "--bundle", str(folder.bundle), *more)
                if record.restored:
                    words += ("--work-path", str(made))
                pid, terminal = self._command.start(
                    folder.root, made, words, container_id, stdio, waits=record.waits
                )  # fmt: skip
            undo.callback(_close, terminal)
            pidfd = os.pidfd_open(pid)
            undo.callback(os.close, pidfd)
            self._records.write(record.with_process(pid, groups_of(pid, record.group)))
            undo.pop_all()
        return Process(pid, pidfd, terminal)

    def start(self, container_id: str) -> None:
        """Run the user's program; as Runtime.start."""
        record = self._expect(container_id, TaskStatus.CREATED, "started")
        with self._explained("start", record.program):
            try:
                self._call(record, "start", container_id, waits=record.waits)
            except Failed:
                if record.start_hooks:  # one has failed, of which some commands tell
                    self.delete(container_id, force=True)
                raise
        if not becomes_program(record.pid, waits=record.waits):
            if record.start_hooks:
                self.delete(container_id, force=True)
            raise not_run(record.program, hooked=record.start_hooks)
        told = hooks.state(container_id, TaskStatus.RUNNING, record.pid, record.bundle, record.annotations)
        after = record.hooks.get("poststart") or ()
        for index, reason in hooks.run(after, told):
            self.delete(container_id, force=True)
            raise Invalid(
                f"cannot run the hook {after[index]['path']} (config.json: hooks.poststart[{index}]): {reason}"
            )

    def exec(self, container_id: str, process: Mapping[str, Any], stdio: Stdio) -> Process:
        """Run another program inside; as Runtime.exec."""
        self._records.read(container_id)
        bundles.check_process(process)
        bundles.check_terminal(process, stdio)
        inside = self._expect(container_id, TaskStatus.RUNNING, "entered").pid
        folder, program = self._records.folder(container_id), process["args"][0]
        explained = self._explained("enter", program, {"process": process})
        with explained, scratch(folder.path, process=possible_beside(process, inside)) as made:
            words = ("exec", "--detach", "--process", str(made / "process.json"))
            pid, terminal = self._command.start(folder.root, made, words, container_id, stdio)
        with ExitStack() as undo:
            undo.callback(_close, terminal)
            pidfd = os.pidfd_open(pid)
            undo.callback(discard, pidfd)
            if not becomes_program(pid):
                raise not_run(program, hooked=False)
            undo.pop_all()
        return Process(pid, pidfd, terminal)

    # --- looking ------------------------------------------------------------------------------------------------

    def programs(self) -> Mapping[str, tuple[str, str]]:
        """Return the command's version, as it tells it; as Runtime.programs."""
        try:
            return versions_in(self._command.binary().said)
        except HostUnfit:
            return {}

    def state(self, container_id: str) -> ContainerState:
        """Return the state as the kernel has it; as Runtime.state."""
        return self._state(self._records.read(container_id))

    def list(self) -> tuple[ContainerState, ...]:
        """Return all containers; as Runtime.list."""
        found = []
        for container_id in self._records.ids():
            with contextlib.suppress(NotFound):  # deleted meanwhile
                found.append(self._state(self._records.read(container_id)))
        return tuple(found)

    def _state(self, record: Record) -> ContainerState:
        status = self._status(record)
        pid = 0 if status is TaskStatus.STOPPED else record.pid
        return ContainerState(record.id, status, pid, Path(record.bundle), record.annotations)

    def _status(self, record: Record) -> TaskStatus:
        """Ask the kernel, which unlike the command knows it at once, and without a program's start."""
        if not record.pid and record.boot == boot_id():
            return TaskStatus.CREATING
        try:
            with record.first() as (_, stat):
                if stat.exiting:
                    return TaskStatus.STOPPED
                if stat.copied and not record.restored:
                    return TaskStatus.CREATED
        except ProcessLookupError:
            return TaskStatus.STOPPED
        return TaskStatus.PAUSED if _group(record).frozen() else TaskStatus.RUNNING

    def _expect(self, container_id: str, wanted: TaskStatus, done: str) -> Record:
        """Return the record of a container; Conflict where it is in another state."""
        record = self._records.read(container_id)
        status = self._status(record)
        if status is not wanted:
            raise Conflict(f"container {container_id!r} is {status}, so it can't be {done}")
        return record

    def pids(self, container_id: str) -> tuple[int, ...]:
        """Return all processes inside; as Runtime.pids."""
        record = self._records.read(container_id)
        try:
            if self._status(record) is not TaskStatus.STOPPED:
                return tuple(sorted(json.loads(self._call(record, "ps", "--format", "json", container_id)) or ()))
        except Failed as error:
            self._unless_stopped(record, "look at", error)
        return ()

    # --- acting -------------------------------------------------------------------------------------------------

    def kill(self, container_id: str, signal: int, *, everyone: bool = False) -> None:
        """Send a signal; as Runtime.kill."""
        record = self._records.read(container_id)
        stopped = Conflict(f"container {container_id!r} has stopped already")
        if self._status(record) is TaskStatus.STOPPED:
            raise stopped
        try:
            self._call(record, "kill", *(("--all",) if everyone else ()), container_id, str(int(signal)))
        except Failed as error:
            self._unless_stopped(record, "signal", error)
            raise stopped from None
        if signal == signals.SIGKILL:
            _let_die(record)

    def _unless_stopped(self, record: Record, verb: str, error: Failed) -> None:
        """Raise what a failed call comes to, unless it failed since the container has stopped meanwhile."""
        if self._status(record) is not TaskStatus.STOPPED:
            raise error_of(self._tool.name, verb, error.told) from error

    def delete(self, container_id: str, *, force: bool = False) -> None:
        """Remove every trace; as Runtime.delete."""
        folder = self._records.folder(container_id)
        try:
            record = self._records.read(container_id)
        except NotFound:
            if not force:
                raise
            self._records.remove(container_id)
            return
        status = self._status(record)
        if status is not TaskStatus.STOPPED and not force:
            raise Conflict(f"container {container_id!r} is {status}", hint="kill it first, or force it")
        _end(record)
        self._remove(folder, record)

    def reclaim(self) -> None:
        """Remove every container of this state folder, also those that a killed process left."""
        for container_id in self._records.ids():
            self.delete(container_id, force=True)

    def _remove(self, folder: Folder, record: Record) -> None:
        """Have the command forget a container, forget it too, and run the last hooks."""
        if folder.root.exists():
            with self._explained("delete"):
                self._call(record, "delete", "--force", record.id, waits=record.waits)
        try:
            remove_groups(record.group)  # which the command has done, but for those above
        except OSError as error:
            raise Unavailable(f"the control group of {record.id!r} is still in use: {error}") from error
        self._records.remove(record.id)
        told = hooks.state(record.id, TaskStatus.STOPPED, 0, record.bundle, record.annotations)
        for _ in hooks.run(record.hooks.get("poststop") or (), told):
            pass  # what comes after the container can't undo it

    def _discard(self, folder: Folder, record: Record) -> None:
        """Take back what a call left that failed half-way."""
        with contextlib.suppress(MobyError):
            self._remove(folder, record)

    def pause(self, container_id: str) -> None:
        """Freeze; as Runtime.pause."""
        group = _group(self._change(container_id, TaskStatus.RUNNING, "pause", "paused"))
        # crun doesn't wait until the kernel has stopped them all.
        if not _becomes(group.frozen):
            group.thaw()
            raise Unavailable(f"container {container_id!r} doesn't freeze", hint="try again")

    def resume(self, container_id: str) -> None:
        """Thaw; as Runtime.resume."""
        self._change(container_id, TaskStatus.PAUSED, "resume", "resumed")

    def _change(self, container_id: str, wanted: TaskStatus, verb: str, done: str) -> Record:
        record = self._expect(container_id, wanted, done)
        _needed_group(record)  # without one some commands do nothing, and say nothing
        with self._explained(verb):
            self._call(record, verb, container_id)
        return record

    def update(self, container_id: str, resources: Mapping[str, Any]) -> None:
        """Change limits; as Runtime.update."""
        record = self._records.read(container_id)
        bundles.check_resources(resources)
        for name in self._tool.unchanged:
            for path in bundles.set_fields(resources, name, "linux.resources"):
                raise Unsupported(f"{self._tool.name} can't change {path} of a container that is there")
        if self._status(record) is TaskStatus.STOPPED:
            raise Conflict(f"container {container_id!r} has stopped, so its limits can't be changed")
        folder = self._records.folder(container_id)
        with self._explained("update"), scratch(folder.path, resources=resources) as made:
            self._call(record, "update", "--resources", str(made / "resources.json"), container_id)

    def stats(self, container_id: str) -> Stats:
        """Return what it uses, which the kernel says in more detail than the command; as Runtime.stats."""
        from moby_runtime.groups.figures import stats_of

        record = self._records.read(container_id)
        return stats_of(_needed_group(record), container_id)

    def watch_oom(self, container_id: str) -> int:
        """Return a descriptor that tells, with no command that must go on running; as Runtime.watch_oom."""
        from moby_runtime.groups.figures import watch_oom

        record = self._records.read(container_id)
        if self._status(record) is TaskStatus.STOPPED:
            raise Conflict(f"container {container_id!r} has stopped, so nothing is to be watched")
        return watch_oom(_needed_group(record), container_id)

    def checkpoint(
        self, container_id: str, image: Path, options: CheckpointOptions, *, leave_running: bool = False
    ) -> None:
        """Write an image of a running container; as Runtime.checkpoint."""
        self._need(RuntimeFeature.CHECKPOINT)
        record = self._expect(container_id, TaskStatus.RUNNING, "written into an image")
        folders.find_criu()
        folder = self._records.folder(container_id)
        more = (*images.flags(options), *(("--leave-running",) if leave_running else ()))
        with folders.writing(image), scratch(folder.path) as work:
            try:
                self._call(
                    record, "checkpoint", "--image-path", str(image), "--work-path", str(work), *more, container_id,
                    waits=True,
                )  # fmt: skip
            except Failed as error:
                raise _of_image(f"can't write the container into {image}", folders.reason(work), error) from error

    def restore(
        self, container_id: str, bundle: Path, image: Path, stdio: Stdio, options: CheckpointOptions
    ) -> Process:
        """Make a running container of an image; as Runtime.restore."""
        self._need(RuntimeFeature.CHECKPOINT)
        self._records.folder(container_id)
        folders.find_criu()
        folders.check(image)
        read = bundles.read(bundle, self._tool, self._command.binary())
        bundles.check_terminal(read.process, stdio)
        return self._make(
            container_id, read, stdio, "restore", ("--detach", "--image-path", str(image), *images.flags(options))
        )

    def _need(self, feature: str) -> None:
        if feature not in self.features:
            raise Unsupported(f"{self._tool.name} has no {feature}", hint=f"choose a runtime that offers {feature}")

    # --- calling ------------------------------------------------------------------------------------------------

    def _call(self, record: Record, *words: str, waits: bool = False) -> bytes:
        return self._command.call(self._records.folder(record.id).root, *words, waits=waits)

    @contextlib.contextmanager
    def _explained(self, verb: str, program: str = "", config: Mapping[str, Any] = {}) -> Iterator[None]:
        """Turn a failed call into the error that it comes to; `config` is what it may have failed by."""
        try:
            yield
        except Failed as failed:
            error: MobyError | None = program_error(program, failed.told) if program else None
            error = error or error_of(self._tool.name, verb, failed.told, config)
            raise error from error.__cause__


def _group(record: Record) -> Group:
    return Group(record.cgroups)


def _of_image(what: str, reason: str, error: Failed) -> HostUnfit:
    return HostUnfit(f"{what}: {reason or error.told}", hint="`criu check` tells what this kernel lacks")


def _becomes(condition: Callable[[], bool]) -> bool:
    """Wait until something is so; False where it isn't in time."""
    deadline = time.monotonic() + _FREEZE_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True


def _needed_group(record: Record) -> Group:
    if not record.cgroups:
        raise HostUnfit(f"container {record.id!r} has no control group", hint=DELEGATION)
    return _group(record)


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)


def _let_die(record: Record) -> None:
    """Thaw what was killed: a frozen process doesn't die."""
    group = _group(record)
    if group.frozen():
        group.thaw()


def _end(record: Record) -> None:
    """Kill what is left of a container, and wait until its first process has ended."""
    with contextlib.suppress(ProcessLookupError), record.first() as (pidfd, _):
        send_signal(pidfd, signals.SIGKILL)
        _group(record).kill(signals.SIGKILL)
        _let_die(record)
        deadline = time.monotonic() + _KILL_S
        if not wait_ended(pidfd, deadline - time.monotonic()):
            raise Unavailable(
                f"container {record.id!r} doesn't end",
                hint="a process that came into it by exec and has ended waits to be reaped by who called exec",
            )
    _group(record).kill(signals.SIGKILL)
