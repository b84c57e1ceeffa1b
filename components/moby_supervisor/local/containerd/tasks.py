"""Containers by containerd's tasks, as the loop's workers ask for them: a Runtime, but that terminals are pipes."""

import contextlib
import json
import os
import secrets
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from moby.contracts.ambient import Place
from moby.contracts.runtime import CheckpointOptions, ContainerState, Process, RuntimeFeature, Stats
from moby.contracts.types import Stdio, TaskStatus
from moby.errors import Conflict, HostUnfit, MobyError, NotFound, Unavailable, Unsupported
from moby.grpc.client import Client, Code, Failed
from moby.grpc.messages import encode
from moby.host import cgroup_figures, oom, processes, programs
from moby.host.cgroups import Group, hierarchies
from moby.host.versions import said_of, versions_in
from moby.oci.bundle import check_terminal, possible_beside
from moby.values import evolve
from moby_supervisor.local.containerd import bundles, protocol
from moby_supervisor.local.containerd.failures import error_of, not_run
from moby_supervisor.local.containerd.records import Record, Records

__all__ = ["FEATURES", "Tasks"]

FEATURES = frozenset(
    {
        RuntimeFeature.EXEC, RuntimeFeature.PAUSE, RuntimeFeature.UPDATE, RuntimeFeature.TERMINAL,
        RuntimeFeature.CGROUPS, RuntimeFeature.HOOKS, RuntimeFeature.SECCOMP, RuntimeFeature.USERNS,
        RuntimeFeature.STATS, RuntimeFeature.OOM, RuntimeFeature.JOINING, RuntimeFeature.USERS, RuntimeFeature.NOEXEC,
        RuntimeFeature.NAMESPACES, RuntimeFeature.MOUNTS,
    }
)  # fmt: skip
M = TypeVar("M")
_SHIM = "io.containerd.runc.v2"
_JSON = "types.containerd.io/opencontainers/runtime-spec/1"
_STATUS = {1: TaskStatus.CREATED, 2: TaskStatus.RUNNING, 3: TaskStatus.STOPPED, 4: TaskStatus.PAUSED}
_END_S = 10.0
_STEP_S = 0.001
_BEGIN_S = 60.0


class Tasks:
    """Makes containers with a runtime of containerd's: what `binary` names, else its runc."""

    features: frozenset[str] = FEATURES

    def __init__(self, client: Client, records: Records, place: Place, binary: str = "") -> None:
        self.client = client
        self._records = records
        self._place = place
        self._binary = binary

    # --- making -------------------------------------------------------------------------------------------------

    def create(self, container_id: str, bundle: Path, stdio: Stdio) -> Process:
        """Make a container up to its program; as Runtime.create."""
        spec = bundles.read(bundle, self._place, container_id)
        process = spec["process"]
        _check_streams(process, stdio)
        name, program = bundles.container_name(container_id), process["args"][0]
        chosen = protocol.RuncOptions(self._binary, str(self._place.run / "runc"))
        options = protocol.Any("containerd.runc.v1.Options", encode(chosen))
        container = protocol.Container(
            name, {"moby.engine": self._place.engine}, protocol.Runtime(_SHIM, options), _json("Spec", spec)
        )
        with ExitStack() as undo, self._explained(f"make the container {container_id}", program):
            self._ask("containers.v1.Containers/Create", protocol.CreateContainer(container), protocol.CreateContainer)
            undo.callback(self._remove, container_id)
            self._records.begin(Record(container_id, str(bundle), program, annotations=spec.get("annotations") or {}))
            request = protocol.CreateTask(name, *_paths(stdio), stdio.terminal)
            pid = self._task("Create", request, protocol.Created).pid
            found = os.pidfd_open(pid)
            undo.callback(os.close, found)
            record = self._records.read(container_id)
            self._records.write(evolve(record, pid=pid, groups=_groups(pid, spec["linux"]["cgroupsPath"])))
            undo.pop_all()
        return Process(pid, found)

    def start(self, container_id: str) -> None:
        """Run the user's program; as Runtime.start."""
        record = self._expect(container_id, TaskStatus.CREATED, "started")
        with self._explained(f"start {container_id}", record.program):
            self._task("Start", self._whose(container_id), protocol.Started)
        if not _becomes_program(record.pid):
            raise not_run(record.program)

    def exec(self, container_id: str, process: Mapping[str, Any], stdio: Stdio) -> Process:
        """Run another program inside; as Runtime.exec."""
        bundles.check_process(process)
        _check_streams(process, stdio)
        inside = self._expect(container_id, TaskStatus.RUNNING, "entered").pid
        name, exec_id, program = bundles.container_name(container_id), secrets.token_hex(16), process["args"][0]
        with ExitStack() as undo, self._explained(f"run a program in {container_id}", program):
            spec = _json("Process", possible_beside(process, inside))
            request = protocol.Exec(name, *_paths(stdio), stdio.terminal, spec, exec_id)
            self._task("Exec", request, protocol.Empty)
            undo.callback(self._forget, name, exec_id)
            pid = self._task("Start", protocol.Whose(name, exec_id), protocol.Started).pid
            undo.callback(self._end, name, exec_id)  # what never began can't be ended
            found = self._found(name, exec_id, pid)
            self._records.note(container_id, found.pid, exec_id)
            undo.pop_all()
        return found

    def _found(self, name: str, exec_id: str, pid: int) -> Process:
        """Return a program's process; where it has ended, and is reaped, another that ends in the same way."""
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            code = self._task("Wait", protocol.Whose(name, exec_id), protocol.Waited).exit_status
            return Process(*_ends_with(code))
        return Process(pid, pidfd)

    # --- looking ------------------------------------------------------------------------------------------------

    def programs(self) -> Mapping[str, tuple[str, str]]:
        """Return the versions of containerd and of the runtime that its shims run; as Runtime.programs."""
        found = {}
        with contextlib.suppress(MobyError, Failed):
            told = self._ask("version.v1.Version/Version", protocol.Empty(), protocol.Version)
            found["containerd"] = (told.version, told.revision)
        if path := programs.find(self._binary or "runc"):
            with contextlib.suppress(OSError):
                found |= versions_in(said_of(path))
        return found

    def state(self, container_id: str) -> ContainerState:
        """Return the state as containerd has it; as Runtime.state."""
        record = self._records.read(container_id)
        status = self._status(container_id)
        pid = 0 if status is TaskStatus.STOPPED else record.pid
        return ContainerState(container_id, status, pid, Path(record.bundle), record.annotations)

    def list(self) -> tuple[ContainerState, ...]:
        """Return all containers; as Runtime.list."""
        found = []
        for each in self._records.ids():
            with contextlib.suppress(NotFound):
                found.append(self.state(each))
        return tuple(found)

    def _status(self, container_id: str) -> TaskStatus:
        try:
            found = self._task("Get", self._whose(container_id), protocol.State).process
        except Failed as error:
            if error.code == Code.NOT_FOUND:
                return TaskStatus.STOPPED
            raise
        return _STATUS.get(found.status if found else 0, TaskStatus.RUNNING)

    def _status_by_now(self, record: Record) -> TaskStatus:
        """Return the status once its shim has noticed an end that the kernel tells of already."""
        status = self._status(record.id)
        if status is not TaskStatus.STOPPED and record.pid:
            found = processes.process_stat(record.pid)
            if (found is None or found.ended) and self.exit_code(record.id, record.pid) is not None:
                return TaskStatus.STOPPED
        return status

    def _expect(self, container_id: str, wanted: TaskStatus, done: str) -> Record:
        """Return the record of a container; Conflict where it is in another state."""
        record, status = self._records.read(container_id), self._status(container_id)
        if status is not wanted:
            raise Conflict(f"container {container_id!r} is {status}, so it can't be {done}")
        return record

    def pids(self, container_id: str) -> tuple[int, ...]:
        """Return all processes inside; as Runtime.pids."""
        self._records.read(container_id)
        if self._status(container_id) is TaskStatus.STOPPED:
            return ()
        with self._explained(f"list the processes of {container_id}"):
            found = self._task("ListPids", self._whose(container_id), protocol.Pids)
        return tuple(sorted(each.pid for each in found.processes))

    def stats(self, container_id: str) -> Stats:
        """Return what it uses, by its control group's files; as Runtime.stats."""
        group = self._group(container_id)
        if not any(os.access(folder, os.F_OK) for folder in group.folders):
            raise Conflict(f"the cgroup of container {container_id!r} is gone, and its statistics with it")
        return cgroup_figures.figures(group)

    def watch_oom(self, container_id: str) -> int:
        """Return a descriptor that tells of OOM kills; as Runtime.watch_oom."""
        try:
            return oom.watch(self._group(container_id))
        except FileNotFoundError as error:
            raise HostUnfit(
                f"container {container_id!r} is in no memory cgroup, so its OOM kills can't be watched"
            ) from error
        except OSError as error:
            raise Unavailable(f"cannot watch container {container_id!r} for OOM kills: {error}") from error

    def _group(self, container_id: str) -> Group:
        record = self._records.read(container_id)
        if not record.groups:
            raise HostUnfit(f"container {container_id!r} has no control group")
        return Group(record.groups)

    def exit_code(self, container_id: str, pid: int) -> int | None:
        """Return how a process ended, which is known to have; None where containerd doesn't know it."""
        request = self._whose(container_id, self._records.noted(container_id, pid))
        try:
            return self._task("Wait", request, protocol.Waited, timeout_s=_END_S).exit_status
        except MobyError:
            return None

    # --- acting -------------------------------------------------------------------------------------------------

    def kill(self, container_id: str, signal: int, *, everyone: bool = False) -> None:
        """Send a signal; as Runtime.kill."""
        self._records.read(container_id)
        request = protocol.Kill(bundles.container_name(container_id), "", int(signal), everyone)
        try:
            self._task("Kill", request, protocol.Empty)
        except Failed as error:
            if self._status(container_id) is TaskStatus.STOPPED:
                raise Conflict(f"container {container_id!r} has stopped already") from None
            raise error_of(f"send a signal to {container_id}", error) from error

    def delete(self, container_id: str, *, force: bool = False) -> None:
        """Remove every trace; as Runtime.delete."""
        try:
            status = self._status_by_now(self._records.read(container_id))
        except NotFound:
            if not force:
                raise
            status = TaskStatus.STOPPED
        if status is not TaskStatus.STOPPED and not force:
            raise Conflict(f"container {container_id!r} is {status}", hint="kill it first, or force it")
        self._remove(container_id, ended=status is TaskStatus.STOPPED)

    def reclaim(self) -> None:
        """Remove every container of this folder."""
        for each in self._records.ids():
            self.delete(each, force=True)

    def _remove(self, container_id: str, *, ended: bool = False) -> None:
        """Kill what there is of a container, and have containerd and this side forget it.

        What one that its shim knows to have `ended` left running, where it had no PID namespace, goes as it is deleted.
        """
        whose = self._whose(container_id)
        with _gone_is_fine():
            if not ended:  # a signal starts a program of the runtime's
                kill = protocol.Kill(whose.container_id, "", 9, all=True)
                with contextlib.suppress(Failed):  # it has ended meanwhile
                    self._task("Kill", kill, protocol.Empty)
                # Its shim may not have noticed yet what the kernel has told already.
                self._task("Wait", whose, protocol.Waited, timeout_s=_END_S)
            self._task("Delete", whose, protocol.Empty)
        with _gone_is_fine():
            self._ask("containers.v1.Containers/Delete", protocol.Named(whose.container_id), protocol.Empty)
        with contextlib.suppress(OSError):
            _remove_above(self._records.read(container_id).groups)
        self._records.remove(container_id)

    def pause(self, container_id: str) -> None:
        """Freeze; as Runtime.pause."""
        self._freeze(container_id, TaskStatus.RUNNING, "Pause", "paused")

    def resume(self, container_id: str) -> None:
        """Thaw; as Runtime.resume."""
        self._freeze(container_id, TaskStatus.PAUSED, "Resume", "resumed")

    def _freeze(self, container_id: str, wanted: TaskStatus, method: str, done: str) -> None:
        record = self._expect(container_id, wanted, done)
        try:
            self._task(method, self._whose(container_id), protocol.Empty)
        except Failed as error:
            if wanted is TaskStatus.PAUSED and not Group(record.groups).frozen():
                # A signal has thawed and ended it, which containerd takes a while to see.
                raise Conflict(f"container {container_id!r} isn't paused, so it can't be {done}") from None
            if self._status(container_id) is TaskStatus.STOPPED:
                raise Conflict(f"container {container_id!r} has stopped, so it can't be {done}") from None
            raise error_of(f"{method.lower()} {container_id}", error) from error

    def update(self, container_id: str, resources: Mapping[str, Any]) -> None:
        """Change limits; as Runtime.update."""
        self._records.read(container_id)
        if self._status(container_id) is TaskStatus.STOPPED:
            raise Conflict(f"container {container_id!r} has stopped, so its limits can't be changed")
        request = protocol.Update(bundles.container_name(container_id), _json("LinuxResources", resources))
        with self._explained(f"change the limits of {container_id}"):
            self._task("Update", request, protocol.Empty)

    def resize(self, container_id: str, pid: int, rows: int, columns: int) -> None:
        """Tell a process's terminal its size."""
        whose = self._whose(container_id, self._records.noted(container_id, pid))
        request = protocol.Resize(whose.container_id, whose.exec_id, columns, rows)
        with self._explained(f"resize the terminal of {container_id}"):
            self._task("ResizePty", request, protocol.Empty)

    def close_stdin(self, container_id: str, pid: int) -> None:
        """End a process's standard input, of which its shim has a writer open."""
        whose = self._whose(container_id, self._records.noted(container_id, pid))
        with _gone_is_fine():
            self._task("CloseIO", protocol.CloseIO(whose.container_id, whose.exec_id, stdin=True), protocol.Empty)

    def finish(self, container_id: str, pid: int) -> int | None:
        """Have containerd forget a program that was run in a container; return how it ended, None where unknown."""
        exec_id = self._records.noted(container_id, pid)
        if not exec_id:
            return None
        code = self.exit_code(container_id, pid)
        name = bundles.container_name(container_id)
        self._end(name, exec_id)
        self._forget(name, exec_id)
        self._records.drop(container_id, pid)
        return code

    def _end(self, name: str, exec_id: str) -> None:
        with _gone_is_fine():
            self._task("Kill", protocol.Kill(name, exec_id, 9), protocol.Empty)
        with _gone_is_fine():
            self._task("Wait", protocol.Whose(name, exec_id), protocol.Waited, timeout_s=_END_S)

    def _forget(self, name: str, exec_id: str) -> None:
        with _gone_is_fine():
            self._task("DeleteProcess", protocol.Whose(name, exec_id), protocol.Empty)

    def checkpoint(
        self, container_id: str, image: Path, options: CheckpointOptions, *, leave_running: bool = False
    ) -> None:
        """Refuse, as Runtime.checkpoint says."""
        raise _no_images()

    def restore(
        self, container_id: str, bundle: Path, image: Path, stdio: Stdio, options: CheckpointOptions
    ) -> Process:
        """Refuse, as Runtime.restore says."""
        raise _no_images()

    # --- calling ------------------------------------------------------------------------------------------------

    def _whose(self, container_id: str, exec_id: str = "") -> protocol.Whose:
        return protocol.Whose(bundles.container_name(container_id), exec_id)

    def _task(self, method: str, request: object, kind: type[M], *, timeout_s: float = 120.0) -> M:
        return self._ask(f"tasks.v1.Tasks/{method}", request, kind, timeout_s=timeout_s)

    def _ask(self, method: str, request: object, kind: type[M], *, timeout_s: float = 120.0) -> M:
        return self.client.ask(method, request, kind, timeout_s=timeout_s)

    @contextlib.contextmanager
    def _explained(self, what: str, program: str = "") -> Iterator[None]:
        """Turn a failed call into the error that it comes to."""
        try:
            yield
        except Failed as failed:
            error = error_of(what, failed, program)
            raise error from error.__cause__


def _json(kind: str, value: Mapping[str, Any]) -> protocol.Any:
    return protocol.Any(f"{_JSON}/{kind}", json.dumps(value).encode())


def _check_streams(process: Mapping[str, Any], stdio: Stdio) -> None:
    check_terminal(process, stdio)
    if stdio.extra:
        raise Unsupported("containerd passes no further descriptors", hint="choose the supervisor `local`")


def _paths(stdio: Stdio) -> tuple[str, str, str]:
    """Return the paths by which a shim opens our pipes: this process has them open for as long as it is asked."""
    fds = (stdio.stdin, stdio.stdout, stdio.stderr)
    found = [f"/proc/{os.getpid()}/fd/{fd}" if fd >= 0 and stat.S_ISFIFO(os.fstat(fd).st_mode) else "" for fd in fds]
    return found[0], found[1], found[2]


def _groups(pid: int, path: str) -> tuple[str, ...]:
    """Return the folders of a path's control group in the trees where a process is in it, or below."""
    membership = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8", errors="surrogateescape")
    trees = hierarchies(membership=membership)
    return tuple(tree.folder(tree.own) for tree in trees if path.strip("/") in tree.own)


def _remove_above(groups: tuple[str, ...]) -> None:
    """Remove the engine's own group, once no container is in it."""
    for each in groups:
        above = Path(each).parent
        if above.name.startswith("moby-"):
            with contextlib.suppress(OSError):
                above.rmdir()


def _becomes_program(pid: int) -> bool:
    """Wait until a process is the user's program; False where it ends without ever having become one."""
    deadline = time.monotonic() + _BEGIN_S
    while True:
        found = processes.process_stat(pid)
        if found is None or not found.copied:
            return True
        if found.ended or found.exiting:
            return False
        if time.monotonic() > deadline:
            raise Unavailable("the program doesn't begin: something stops or delays its process")
        time.sleep(_STEP_S)


def _ends_with(code: int) -> tuple[int, int]:
    """Return a process of whom this one acts for that has a given exit code, and its pidfd."""

    def end() -> NoReturn:
        os._exit(code)

    return processes.clone(end, processes.sibling())


@contextlib.contextmanager
def _gone_is_fine() -> Iterator[None]:
    """Pass over that containerd doesn't know, or not any more, what a call is about."""
    try:
        yield
    except Failed as error:
        if error.code != Code.NOT_FOUND and "already finished" not in error.message:
            raise error_of("end what is left of a container", error) from error


def _no_images() -> Unsupported:
    return Unsupported("the supervisor `containerd` makes no checkpoints", hint="choose the supervisor `local`")
