"""Making a container in a jail, and a further process in one that runs."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

from moby.contracts.runtime_values import DIE_WITH_PARENT, Process
from moby.errors import Invalid
from moby.host import processes
from moby.host.cgroups import Group, hierarchies
from moby.values import evolve
from moby_runtime.groups import device_rules, limits
from moby_runtime.groups.killed import killed
from moby_runtime.groups.paths import path_of
from moby_runtime.jails import inside, warden
from moby_runtime.jails.records import Record, Records
from moby_runtime.records.failures import Failed, Failure, cause_of, doing, error_of, not_run
from moby_runtime.records.first import boot_id
from moby_runtime.records.gate import Gate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    from moby.contracts.ambient import Place
    from moby.contracts.streams import Stdio
    from moby_runtime.jails.bundle import Bundle
    from moby_runtime.programs.values import ProcessSpec

__all__ = ["add", "discard", "make", "raise_of", "set_limits", "with_processes"]

_PATIENCE_S = 60.0


def make(container_id: str, bundle: Bundle, stdio: Stdio, place: Place, records: Records, *, grouped: bool) -> Process:
    """Make a container up to its program; as Runtime.create."""
    try:
        with ExitStack() as undo:
            return _make(container_id, bundle, stdio, place, records, undo, grouped=grouped)
    except Failed as error:
        raise error_of(error.failure) from error


def _make(
    container_id: str, bundle: Bundle, stdio: Stdio, place: Place, records: Records, undo: ExitStack, *, grouped: bool
) -> Process:
    trees = tuple(tree for tree in hierarchies() if tree.writable) if grouped else ()
    path = path_of(str(place.run), place.engine, container_id, bundle.cgroups_path)
    folders = tuple(tree.folder(path) for tree in trees)
    record = Record(
        container_id, bundle.path, bundle.rootfs, boot_id(), cgroups=folders, annotations=bundle.annotations
    )  # fmt: skip
    records.reserve(record)
    undo.callback(records.remove, container_id)
    group = Group(())
    if grouped:
        with doing("make the control group", "linux.cgroupsPath"):
            group = Group.create(trees, path)
        undo.callback(group.remove)
        set_limits(group, bundle.resources)
    with ExitStack() as lent:
        listener = Gate(records.path(container_id)).listen()
        lent.callback(listener.close)
        ours, theirs = (lent.enter_context(each) for each in socket.socketpair())
        cell = inside.Cell(
            bundle.rootfs, bundle.process, stdio, theirs.fileno(), _interpreter(), lent.enter_context(group.entrance()),
            listener.fileno(),
        )  # fmt: skip

        def first() -> NoReturn:
            inside.run_first(cell)

        def watch() -> NoReturn:
            warden.watch(first, group, dies=bundle.annotations.get(DIE_WITH_PARENT) == "true")

        pid, pidfd = processes.fork(watch)
        undo.callback(discard, pid, pidfd)
        theirs.close()
        ours.settimeout(_PATIENCE_S)
        said = _said(ours, lambda: killed(group, bundle.resources))
        records.write(with_processes(record, int(said), pid))
        ours.sendall(inside.READY)
    undo.pop_all()
    return Process(int(said), pidfd)


def with_processes(record: Record, first: int, pid: int) -> Record:
    """Return a record with its first process and that one's warden."""
    stats = [processes.process_stat(each) for each in (first, pid)]
    ticks = [stat.start_ticks if stat else 0 for stat in stats]
    return evolve(record, pid=first, start_ticks=ticks[0], warden=pid, warden_ticks=ticks[1])


def _said(channel: socket.socket, failure: Callable[[], Failure]) -> bytes:
    """Return the pid of a first process that is ready; Failed where it isn't, with this failure where it was killed."""
    with doing("wait for the first process"):
        data = channel.recv(65536)
    if not data:
        raise Failed(failure())
    if not data.startswith(inside.READY):
        raise Failed(Failure.decode(data))
    return data[len(inside.READY) :]


def discard(pid: int, pidfd: int) -> None:
    """End a warden that nobody was told of, with whoever it has."""
    for each in warden.below(pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
    if not processes.wait_ended(pidfd, _PATIENCE_S):
        processes.send_signal(pidfd, signal.SIGKILL)
    processes.reap(pidfd)
    os.close(pidfd)


def set_limits(group: Group, resources: Mapping[str, Any], *, live: bool = False) -> None:
    """Set limits and rules for devices; errors as Runtime.update."""
    if resources.keys() - {"devices"}:
        limits.apply(group, resources)
    if rules := resources.get("devices"):
        device_rules.set_devices(group, rules, live=live)


def add(record: Record, process: ProcessSpec, stdio: Stdio) -> Process:
    """Run another program in a jail; as Runtime.exec."""
    group = Group(record.cgroups).holding(record.pid)
    with ExitStack() as undo, ExitStack() as lent:
        ours, theirs = (lent.enter_context(each) for each in socket.socketpair())
        with doing("enter the control group", "linux.cgroupsPath"):
            entrance = lent.enter_context(group.entrance())
        cell = inside.Cell(record.rootfs, process, stdio, theirs.fileno(), _interpreter(), entrance)

        def run() -> NoReturn:
            inside.run_exec(cell)

        pid, pidfd = processes.fork(run)
        undo.callback(discard, pid, pidfd)
        theirs.close()
        ours.settimeout(_PATIENCE_S)
        with doing("wait for the program"):
            answer = ours.recv(65536)
        if answer:
            raise_of(Failure.decode(answer))
        undo.pop_all()
    return Process(pid, pidfd)


def raise_of(failure: Failure) -> NoReturn:
    """Raise the error of a program that wasn't started; as Runtime.start."""
    if failure.field == "process.args":
        raise not_run(failure) from cause_of(failure)
    if failure.field == "process.cwd":  # the host's part of /proc, which this user may not see, is no folder of theirs
        raise Invalid(f"cannot {failure.step} (config.json: process.cwd): {os.strerror(failure.number)}")
    raise error_of(failure)


def _interpreter() -> tuple[int, int]:
    found = Path("/proc/self/exe").stat()
    return found.st_dev, found.st_ino
