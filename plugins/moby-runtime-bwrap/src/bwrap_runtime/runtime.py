"""The runtime: bubblewrap makes the container, waits for the word to start, and hands its exit status on."""

import errno
import os
import signal as signals
import stat
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

from moby.contracts.ambient import Log
from moby.contracts.runtime import CheckpointOptions, ContainerState, Process, RuntimeFeature, Stats
from moby.contracts.types import Stdio, TaskStatus
from moby.errors import Conflict, Corrupt, HostUnfit, Invalid, NotFound, Unavailable, Unsupported

from bwrap_runtime import binary as binaries
from bwrap_runtime import bundle as bundles
from bwrap_runtime.launch import TIMEOUT_S, discard, end, launch
from bwrap_runtime.processes import command_line, inside, kill
from bwrap_runtime.record import Folder, Record
from bwrap_runtime.refusals import unsupported
from bwrap_runtime.translation import invocation

__all__ = ["Bwrap"]


class Bwrap:
    """A runtime that drives bubblewrap (bwrap(1)). Thread-safe for different containers."""

    features = frozenset({RuntimeFeature.MOUNTS, RuntimeFeature.NAMESPACES, RuntimeFeature.ROOTLESS})

    def __init__(self, root: Path, *, binary: str, strict: bool, log: Log) -> None:
        self._root = root
        self._binary = binary
        self._strict = strict
        self._log = log

    def programs(self) -> Mapping[str, tuple[str, str]]:
        """Return bubblewrap's version."""
        try:
            return {"bubblewrap": (binaries.version(self._binary), "")}
        except (HostUnfit, OSError, subprocess.TimeoutExpired):
            return {}

    def create(self, container_id: str, bundle: Path, stdio: Stdio) -> Process:
        """Make the container up to, not including, its program."""
        folder = Folder(self._root, container_id)
        if folder.path.exists():
            raise Conflict(f"container id {container_id} is taken", hint="delete that container first")
        binary = binaries.find(self._binary)
        if stdio.terminal:
            raise unsupported("a terminal", "its own process would share the terminal's signals with the container's")
        if stdio.extra:
            raise unsupported("more descriptors", "it is given just the standard streams")
        read = bundles.read(bundle.absolute())
        wanted = invocation(read)
        for line in wanted.nearly:
            if self._strict:
                raise unsupported(*line.split(": ", 1))
            self._log.debug(f"only nearly as asked: {line}", container=container_id)
        folder.claim()
        with ExitStack() as undo:
            undo.callback(folder.remove)
            monitor, first, exit_fd = launch(binary, wanted, folder, stdio)
            undo.callback(discard, folder, exit_fd)
            folder.save(
                Record(
                    bundle=str(bundle.absolute()),
                    annotations=read.get("annotations", dict, {}),
                    monitor=monitor,
                    first=first,
                    program=wanted.program,
                    search=wanted.search,
                    cwd=wanted.cwd,
                    rootfs=str(read.rootfs),
                    mounts=wanted.view.mounts,
                )
            )
            undo.pop_all()
        return Process(first.pid, exit_fd)

    def start(self, container_id: str) -> None:
        """Let bubblewrap run the program; return once the kernel has accepted it."""
        folder, record = self._find(container_id)
        status = _status(folder, record)
        if record is None or status is not TaskStatus.CREATED:
            raise Conflict(f"container {container_id} is {status}, not created", hint="make a new one")
        try:
            _check_program(record)
        except Invalid:
            _end(folder, record)
            raise
        try:
            fifo = os.open(folder.path / "start", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise Conflict(f"container {container_id} has ended before its start", hint="make a new one") from error
        try:
            os.write(fifo, b"\n")
        finally:
            os.close(fifo)
        self._await_program(folder, record)

    def state(self, container_id: str) -> ContainerState:
        """Return the state as the kernel has it now."""
        return _state(*self._find(container_id))

    def list(self) -> tuple[ContainerState, ...]:
        """Return all containers of this state folder, sorted by id."""
        try:
            names = sorted(each.name for each in self._root.iterdir())
        except FileNotFoundError:
            return ()
        folders = [Folder(self._root, name) for name in names]
        return tuple(_state(folder, folder.load()) for folder in folders if folder.path.is_dir())

    def kill(self, container_id: str, signal: int, *, everyone: bool = False) -> None:
        """Send a signal to the first process, or to all."""
        _, record = self._find(container_id)
        everybody = inside(record.first) if record else ()
        if not everybody:
            raise Conflict(f"container {container_id} is stopped", hint="delete it")
        # The first process last, so that it can't take the others with it before they got theirs.
        for each in reversed(everybody) if everyone else everybody[:1]:
            kill(each, signal)

    def delete(self, container_id: str, *, force: bool = False) -> None:
        """Remove every trace of a stopped container."""
        try:
            folder, record = self._find(container_id)
        except NotFound:
            if force:
                return
            raise
        except Corrupt:
            if not force:
                raise
            folder, record = Folder(self._root, container_id), None
        status = _status(folder, record)
        if status is not TaskStatus.STOPPED:
            if not force:
                raise Conflict(f"container {container_id} is {status}", hint="stop it first, or use force")
            _end(folder, record)
        folder.remove()

    def reclaim(self) -> None:
        """Remove every container of this state folder, also those that a killed process left."""
        for each in self.list():
            self.delete(each.id, force=True)

    def exec(self, container_id: str, process: Mapping[str, Any], stdio: Stdio) -> Process:
        """Refuse: bubblewrap enters no container that stands."""
        self._lacks(RuntimeFeature.EXEC, "runs nothing inside a container that stands")

    def pause(self, container_id: str) -> None:
        """Refuse: it takes a cgroup."""
        self._lacks(RuntimeFeature.PAUSE, "makes no cgroup, which pausing takes")

    def resume(self, container_id: str) -> None:
        """Refuse: it takes a cgroup."""
        self._lacks(RuntimeFeature.PAUSE, "makes no cgroup, which pausing takes")

    def update(self, container_id: str, resources: Mapping[str, Any]) -> None:
        """Refuse: it takes a cgroup."""
        self._lacks(RuntimeFeature.UPDATE, "makes no cgroup, which limits take")

    def stats(self, container_id: str) -> Stats:
        """Refuse: a cgroup counts."""
        self._lacks(RuntimeFeature.STATS, "makes no cgroup, which counts")

    def watch_oom(self, container_id: str) -> int:
        """Refuse: a cgroup tells."""
        self._lacks(RuntimeFeature.OOM, "makes no cgroup, which tells")

    def checkpoint(
        self, container_id: str, image: Path, options: CheckpointOptions, *, leave_running: bool = False
    ) -> None:
        """Refuse: bubblewrap writes no images."""
        self._lacks(RuntimeFeature.CHECKPOINT, "makes no checkpoints")

    def restore(
        self, container_id: str, bundle: Path, image: Path, stdio: Stdio, options: CheckpointOptions
    ) -> Process:
        """Refuse: bubblewrap reads no images."""
        self._lacks(RuntimeFeature.CHECKPOINT, "restores no checkpoints")

    def pids(self, container_id: str) -> tuple[int, ...]:
        """Return the pids of all processes inside, as the caller sees them."""
        _, record = self._find(container_id)
        return tuple(sorted(each.pid for each in inside(record.first))) if record else ()

    def _find(self, container_id: str) -> tuple[Folder, Record | None]:
        folder = Folder(self._root, container_id)
        if not folder.path.is_dir():
            raise NotFound(f"no container {container_id}")
        return folder, folder.load()

    def _lacks(self, feature: str, why: str) -> NoReturn:
        raise Unsupported(f"runtime bwrap lacks {feature}: it {why}", hint=f"choose a runtime that offers {feature}")

    def _await_program(self, folder: Folder, record: Record) -> None:
        """Wait until the first process is no longer bubblewrap.

        A program that ended at once is told from one that couldn't run by bubblewrap's own account.
        """
        deadline = time.monotonic() + TIMEOUT_S
        while record.first.alive():
            arguments = command_line(record.first.pid)
            if arguments and os.fsencode(folder.mark) not in arguments:
                return
            if time.monotonic() > deadline:
                raise Unavailable(f"bwrap didn't start {record.program[0]} in {TIMEOUT_S:.0f} s", hint="try again")
            time.sleep(0.0005)
        while record.monitor.alive() and time.monotonic() < deadline:
            time.sleep(0.0005)
        if "exit-code" not in folder.account():
            raise Invalid(
                f"process.args[0]: {record.program[0]} can't be run",
                hint="it or its interpreter is missing inside, or is for another machine; bwrap said so on stderr",
            )


def _check_program(record: Record) -> None:
    """Raise Invalid where the program isn't there or isn't runnable, as far as that can be known before."""
    name = record.program[0]
    path, mode = record.view.find(name, search=record.search, cwd=record.view.resolve(record.cwd))
    if mode is None:
        where = path if "/" in name else f"PATH={record.search}"
        raise Invalid(f"process.args[0]: there is no program {name} inside ({where})", hint="check name and image")
    if not stat.S_ISREG(mode) or not mode & 0o111:
        what = "is a folder" if stat.S_ISDIR(mode) else "isn't executable" if stat.S_ISREG(mode) else "is no file"
        cause = OSError(errno.EACCES, os.strerror(errno.EACCES), path)
        raise Invalid(f"process.args[0]: {path} {what}", hint="name a program, or chmod +x it") from cause
    if not _has_form(record.view.host(record.view.resolve(path))):
        # execvp(3), which bubblewrap uses, would take it for a script of the shell's.
        cause = OSError(errno.ENOEXEC, os.strerror(errno.ENOEXEC), path)
        raise Invalid(f"process.args[0]: {path} is no program", hint="begin a script with #!") from cause


def _has_form(program: Path | None) -> bool:
    """Whether a file begins as programs and scripts do; what can't be read is left to the kernel."""
    try:
        with open(program or "", "rb") as file:  # noqa: PTH123 - of a name that may be none
            return file.read(4)[:4].startswith((b"#!", b"\x7fELF"))
    except OSError:
        return True


def _status(folder: Folder, record: Record | None) -> TaskStatus:
    if record is None:
        return TaskStatus.CREATING
    if not record.first.alive():
        return TaskStatus.STOPPED
    # Until the program runs, its process still has bubblewrap's command line.
    waiting = os.fsencode(folder.mark) in command_line(record.first.pid)
    return TaskStatus.CREATED if waiting else TaskStatus.RUNNING


def _state(folder: Folder, record: Record | None) -> ContainerState:
    status = _status(folder, record)
    if record is None:
        return ContainerState(folder.id, status, 0, Path())
    pid = 0 if status is TaskStatus.STOPPED else record.first.pid
    return ContainerState(folder.id, status, pid, Path(record.bundle), record.annotations)


def _end(folder: Folder, record: Record | None) -> None:
    """Kill a container, and wait until nothing of it runs."""
    if record is None:
        end(folder)
        return
    kill(record.first, signals.SIGKILL)
    deadline = time.monotonic() + TIMEOUT_S
    while record.first.alive():
        if time.monotonic() > deadline:
            raise Unavailable(f"container {folder.id} didn't end in {TIMEOUT_S:.0f} s", hint="try again")
        time.sleep(0.001)
