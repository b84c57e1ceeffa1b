"""Making a container with LXC, and a further process in one that runs."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
from contextlib import ExitStack
from pathlib import Path

from moby.contracts.runtime_values import DIE_WITH_PARENT, Process
from moby.errors import HostUnfit, Invalid, Unavailable
from moby.host import liblxc, namespaces, processes
from moby.host.cgroups import Group, hierarchies
from moby_runtime.groups import device_rules, limits
from moby_runtime.groups.paths import path_of
from moby_runtime.jails import warden
from moby_runtime.jails.making import discard, raise_of, with_processes
from moby_runtime.jails.records import Record, Records
from moby_runtime.lxc import bootstrap, bundle, configuration, inside
from moby_runtime.records.failures import Failed, Failure, doing, error_of
from moby_runtime.records.first import boot_id
from moby_runtime.records.gate import Gate
from moby_runtime.records.json_text import encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any, NoReturn

    from moby.contracts.ambient import Place
    from moby.contracts.streams import Stdio
    from moby.errors import MobyError
    from moby.oci.seccomp.filter import Filter
    from moby_runtime.lxc.bootstrap import Interpreter

__all__ = ["Maker", "add", "forget", "remove_groups", "remove_locks"]

_PATIENCE_S = 60.0
_ATTRIBUTES = frozenset({"nosuid", "nodev", "noexec", "noatime", "nodiratime"})
_ROOT = "root"
"""Where LXC shows a container's root, below its folder (`configuration`)."""
_CREDENTIALS = struct.Struct("3i")


class Maker:
    """Makes containers whose records are in one folder, with LXC's library from a path."""

    def __init__(self, place: Place, records: Records, library: str) -> None:
        self._place = place
        self._records = records
        self._library = library

    def create(self, container_id: str, read: bundle.Bundle, stdio: Stdio) -> Process:
        """Make a container up to its program; as Runtime.create."""
        try:
            with ExitStack() as undo:
                return self._create(container_id, read, stdio, undo)
        except Failed as error:
            raise error_of(error.failure) from error

    def _create(self, container_id: str, read: bundle.Bundle, stdio: Stdio, undo: ExitStack) -> Process:
        library = _loaded(self._library)
        trees = tuple(tree for tree in hierarchies() if tree.writable)
        path = path_of(str(self._place.run), self._place.engine, container_id, read.linux.get("cgroupsPath", ""))
        record = Record(
            container_id, read.path, read.rootfs, boot_id(), annotations=read.annotations,
            cgroups=tuple(tree.folder(path) for tree in trees), seccomp=_filter(read.filter),
        )  # fmt: skip
        self._records.reserve(record)
        undo.callback(forget, self._records, container_id)
        undo.callback(remove_groups, record)
        folder = self._records.path(container_id)
        undo.callback(remove_locks, folder)
        for name in (_ROOT, "lxc", configuration.COUNTED):
            Path(folder, name).mkdir()
        with ExitStack() as lent:
            interpreter = bootstrap.lend(lent)
            config = Path(folder, "config")
            config.write_text(
                configuration.text_of(read, folder, path, record.cgroups, interpreter.home), encoding="utf-8"
            )
            ours, theirs = (lent.enter_context(each) for each in socket.socketpair())
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            ours.settimeout(_PATIENCE_S)
            run = _Run(library, container_id, folder, interpreter, theirs.fileno())
            dies = read.annotations.get(DIE_WITH_PARENT) == "true"
            pid, pidfd = processes.fork(lambda: run.be(dies=dies))
            undo.callback(discard, pid, pidfd)
            theirs.close()
            first = self._pid(ours, folder, read.mounts)
            _limit(Group(record.cgroups), read)
            terminal = self._finish(ours, folder, read, stdio)
            undo.callback(_close, terminal)
            self._records.write(with_processes(record, first, pid))
            ours.sendall(inside.READY)
        undo.pop_all()
        return Process(first, pidfd, terminal)

    def _finish(self, ours: socket.socket, folder: str, read: bundle.Bundle, stdio: Stdio) -> int:
        """Have the first process do what is left, and return the master of its terminal, or -1."""
        listener = Gate(folder).listen()
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            streams = (null, null, null) if stdio.terminal else (stdio.stdin, stdio.stdout, stdio.stderr)
            data = encoded(_wish(read)).encode()
            framed = len(data).to_bytes(4, "big") + data
            given = [listener.fileno(), *streams, *stdio.extra]
            sent = socket.send_fds(ours, [framed], given)
            with contextlib.suppress(BrokenPipeError):
                ours.sendall(framed[sent:])
        finally:
            os.close(null)
            listener.close()
        terminal = _terminal(ours) if stdio.terminal else -1
        try:
            self._expect(ours, inside.READY, folder)
        except BaseException:
            _close(terminal)
            raise
        return terminal

    @staticmethod
    def _pid(ours: socket.socket, folder: str, mounts: Sequence[Mapping[str, Any]]) -> int:
        """Wait for the first process, and return its pid as this process sees it, as the kernel tells."""
        with doing("wait for the first process"):
            data, ancillary, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(_CREDENTIALS.size))
        if data != inside.HELLO:
            raise _not_made(folder, mounts)
        for level, kind, raw in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                return int(_CREDENTIALS.unpack(raw[: _CREDENTIALS.size])[0])
        raise _not_made(folder, mounts)

    @staticmethod
    def _expect(ours: socket.socket, wanted: bytes, folder: str) -> None:
        with doing("wait for the first process"):
            data = ours.recv(1 << 16)
        if not data:
            raise _not_made(folder, ())
        if data != wanted:
            raise Failed(Failure.decode(data))


class _Run:
    """LXC's own process of a container, whose child the first process is."""

    def __init__(self, library: liblxc.Library, name: str, folder: str, interpreter: Interpreter, channel: int) -> None:
        self._library = library
        self._name = name
        self._folder = folder
        self._interpreter = interpreter
        self._channel = channel

    def be(self, *, dies: bool) -> NoReturn:
        """Run the container, and end as its first process does."""
        code = 70
        try:
            if dies:
                processes.set_parent_death_signal(signal.SIGKILL)
            null = os.open(os.devnull, os.O_RDWR)
            for number in range(3):
                os.dup2(null, number)
            kept = (*self._interpreter.descriptors, self._channel)
            processes.close_other_descriptors(kept)
            for fd in kept:
                os.set_inheritable(fd, True)
            with contextlib.suppress(OSError):
                os.setsid()
            words = self._interpreter.command(self._channel)
            found = self._library.run(self._name, f"{self._folder}/lxc", f"{self._folder}/config", words)
            code = 70 if found is None else found
        finally:
            warden.end_as(code)


def _loaded(path: str) -> liblxc.Library:
    try:
        return liblxc.Library(path or liblxc.NAME)
    except OSError as error:
        raise HostUnfit(f"LXC's library can't be loaded: {error}", hint="apt install lxc") from error


def _not_made(folder: str, mounts: Sequence[Mapping[str, Any]]) -> MobyError:
    """Return the error that LXC's log tells, of a mount where it names that's place."""
    try:
        text = Path(folder, "log").read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    said = [line.rpartition(" - ")[2].partition(" - ")[0] for line in text.splitlines()]
    first = next(iter(said), "it doesn't say why")
    for index, each in enumerate(mounts):
        if f"{folder}/root{each['destination'].rstrip('/')}" in text:
            return Invalid(f"LXC can't make a mount (config.json: mounts[{index}]): {first}")
    return HostUnfit(f"LXC can't make the container: {first}", hint="`lxc-checkconfig` tells what this kernel lacks")


def _wish(read: bundle.Bundle) -> Mapping[str, Any]:
    linux = read.linux
    return {
        "process": dict(read.process),
        "devices": linux.get("devices", []),
        "attributes": list(_attributes(read)),
        "readonly_paths": linux.get("readonlyPaths", []),
        "masked_paths": linux.get("maskedPaths", []),
        "readonly": bool(read.data["root"].get("readonly")),
        **_filter(read.filter),
    }


def _attributes(read: bundle.Bundle) -> Iterator[tuple[str, str, list[str], bool]]:
    """Yield what LXC leaves out of bind mounts: all but that they are read-only, and what is for those below too."""
    for index, each in enumerate(read.mounts):
        if bundle.binds(each):
            options = set(each.get("options", ()))
            for names, deep in ((options & _ATTRIBUTES, False), (options & bundle.RECURSIVE, True)):
                if names:
                    bare = sorted(name.removeprefix("r") if deep else name for name in names)
                    yield f"mounts[{index}]", each["destination"], bare, deep


def _filter(wanted: Filter | None) -> Mapping[str, Any]:
    """Return a filter as JSON has it."""
    if wanted is None:
        return {"filter": "", "flags": [], "by_path": False}
    flags = ("SPEC_ALLOW",) if wanted.flags is None else wanted.flags
    return {"filter": wanted.program.hex(), "flags": list(flags), "by_path": "execveat" in wanted.refused}


def _limit(group: Group, read: bundle.Bundle) -> None:
    """Set the limits, and which devices may be used: without rules in the bundle its own and the default."""
    if read.resources.keys() - {"devices"}:
        limits.apply(group, read.resources)
    own = [
        {"allow": True, "type": "c" if each["type"] == "u" else each["type"], "major": each.get("major", 0),
         "minor": each.get("minor", 0)}
        for each in read.linux.get("devices", ()) if each["type"] != "p"
    ]  # fmt: skip
    device_rules.set_devices(group, read.resources.get("devices") or [{"allow": False}, *own])


def remove_groups(record: Record) -> None:
    """Remove the cgroups of a container and of LXC's process; OSError where one is in use."""
    for suffix in ("", configuration.MONITOR, configuration.LAST):
        Group(tuple(f"{folder}{suffix}" for folder in record.cgroups)).remove()


def forget(records: Records, container_id: str) -> None:
    """Remove the folder of a container; Unavailable where its root is still shown there, whose files aren't its own."""
    root = Path(records.path(container_id), _ROOT)
    try:
        with contextlib.suppress(FileNotFoundError):
            root.rmdir()
    except OSError as error:
        raise Unavailable(f"something is still at {root}: {error.strerror}", hint="unmount it") from error
    records.remove(container_id)


def remove_locks(folder: str, *, above: bool = False) -> None:
    """Remove the folder that LXC has made for a container's; with `above` those above it, too, that are empty."""
    path = Path(f"{liblxc.LOCKS}{folder}/lxc")
    for each in (path, path.parent, *(path.parent.parents if above else ())):
        with contextlib.suppress(OSError):
            each.rmdir()


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)


def add(record: Record, process: Mapping[str, Any], stdio: Stdio) -> Process:
    """Run another program in a container; as Runtime.exec."""
    guise = inside.guise_of({**record.seccomp, "process": process})
    ours, theirs = socket.socketpair()
    with ExitStack() as undo, ours, theirs:
        ours.settimeout(_PATIENCE_S)
        pid = _joined(record, lambda: inside.run_exec(guise, stdio, theirs.fileno()), guise.process.oom_score_adj)
        theirs.close()
        pidfd = os.pidfd_open(pid)
        undo.callback(discard, pid, pidfd)
        terminal = _terminal(ours) if stdio.terminal else -1
        undo.callback(_close, terminal)
        with doing("wait for the program"):
            answer = ours.recv(1 << 16)
        if answer:
            raise_of(Failure.decode(answer))
        undo.pop_all()
    return Process(pid, pidfd, terminal)


def _joined(record: Record, become: Callable[[], NoReturn], oom_score_adj: int | None) -> int:
    """Have a child of this process begin in a container, by a helper that joins it; return its pid."""
    with ExitStack() as lent:
        first, _ = lent.enter_context(record.first())
        flags = namespaces.differing(record.pid)
        read, write = os.pipe2(os.O_CLOEXEC)
        said, says = (lent.enter_context(os.fdopen(*each)) for each in ((read, "rb", 0), (write, "wb", 0)))
        with doing("enter the control group", "linux.cgroupsPath"):
            entrance = lent.enter_context(Group(record.cgroups).holding(record.pid).entrance())

        def join() -> NoReturn:
            code = 70
            try:
                entrance.enter_all()
                if oom_score_adj is not None:
                    Path("/proc/self/oom_score_adj").write_text(str(oom_score_adj), encoding="ascii")
                # From here on the container can watch it: it has the caller's memory, descriptors and arguments.
                processes.forget_arguments()
                processes.set_dumpable(False)
                namespaces.join(first, flags)
                pid, _ = processes.clone(become, processes.CLONE_PARENT)
                os.write(says.fileno(), b"%d" % pid)
                code = 0
            finally:
                os._exit(code)

        lent.callback(discard, *processes.fork(join))
        says.close()
        pid = int(said.read(32) or 0)
    if not pid:
        raise Failed(Failure("join the container", "linux.namespaces", 0, "its process ended meanwhile"))
    return pid


def _terminal(ours: socket.socket) -> int:
    """Take over the master of a terminal; Failed where something else comes."""
    room = socket.CMSG_SPACE(struct.calcsize("i")) + socket.CMSG_SPACE(_CREDENTIALS.size)
    with doing("take over the terminal", "process.terminal"):
        data, ancillary, _, _ = ours.recvmsg(1, room, socket.MSG_CMSG_CLOEXEC)
        for level, kind, raw in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                return int(struct.unpack_from("i", raw)[0])
        data += ours.recv(1 << 16)
    raise Failed(
        Failure.decode(data) if data else Failure("take over the terminal", "process.terminal", 0, "none came")
    )
