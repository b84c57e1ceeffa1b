"""Containers restored from a checkpoint: their surroundings are made here, and CRIU puts the processes into them."""

from __future__ import annotations

import fcntl
import os
import socket

from moby.contracts.runtime_values import Process
from moby.host import keyrings, links, mounts, namespaces, processes
from moby.host.blocks import Undo, suppress
from moby.host.cgroups import Group, hierarchies
from moby.host.files import read_text
from moby.host.lean import send_descriptor, signals
from moby.values import frozen
from moby_runtime.images import folders
from moby_runtime.native import criu, dumping, mount_options, outside, placement
from moby_runtime.native.root import DIRECTORY, Root, bind
from moby_runtime.native.values import CREATING
from moby_runtime.records.failures import Failed, Failure, doing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from typing import NoReturn

    from moby.contracts.streams import Stdio
    from moby.host.cgroups import Entrance
    from moby_runtime.native.dumping import Wishes
    from moby_runtime.native.hooks import Hooks
    from moby_runtime.native.outside import Outside
    from moby_runtime.native.values import Spec

__all__ = ["ROOT", "Restorer"]

ROOT = "root"
"""The folder beside the record on which CRIU finds the root: a mount, as it must be."""
_END_S = 60.0
_SOCKET, _IMAGES, _WORK, _FIRST = 3, 4, 5, 6
"""Descriptors of CRIU's process; from the last on streams and namespaces."""
_CONNECTED = b"."


@frozen
class Restorer:
    """Makes the processes of one container."""

    spec: Spec
    folder: str
    """Of the container's record."""
    image: Path
    wishes: Wishes
    told: Hooks | None
    write: Callable[[int], None]
    """Writes down the pid of the first process."""

    def restore(self, stdio: Stdio, entered: Group, group: Group, enter: Callable[[int], None], undo: Undo) -> Process:
        """Make them in a group, which CRIU's process enters by itself, or else `enter` brings it there.

        `undo` ends them, and closes what is returned. Failed, or the error of CRIU.
        """
        left_out = outside.read(self.image)
        os.mkdir(f"{self.folder}/{ROOT}")
        work = dumping.log_folder(self.wishes, self.folder)
        with Undo() as lent:
            given = self._given(left_out, stdio, lent)
            worker = self._worker(entered, (self.image, work), tuple(given.values()), lent)
            enter(worker.pid())
            connection = worker.go()
            lent.callback(connection.close)
            made = _Made(self, group, undo)
            try:
                pid = criu.Conversation(connection).ask(
                    criu.RESTORE, self._wanted(left_out, group, given), made.notified
                )
            except criu.Refused as error:
                raise dumping.failed(f"make the container of {self.image}", work, error) from error
            except criu.Endless as error:
                worker.kill()
                raise dumping.endless(f"make the container of {self.image}") from error
            worker.end(connection)
            pidfd = made.kept(pid)
        if stdio.terminal and made.terminal < 0:
            raise Failed(Failure("take over the terminal", "process.terminal", 0, "the image has none"))
        return Process(pid, pidfd, made.terminal)

    def _given(self, left_out: Outside, stdio: Stdio, undo: Undo) -> Mapping[str, int]:
        """Return descriptors by CRIU's keys: streams of the caller's, and namespaces that a path names."""
        found: dict[str, int] = {}
        streams = () if stdio.terminal else (stdio.stdin, stdio.stdout, stdio.stderr)
        numbered = dict(enumerate(streams)) | dict(enumerate(stdio.extra, 3))
        for number, fd in numbered.items():
            if key := left_out.streams.get(str(number)):
                found.setdefault(key, fd)
        for name, kind in dumping.EXTERNAL.items():
            if path := self.spec.namespaces.get(name, ""):
                with doing(f"open the {name} namespace {path}", "linux.namespaces"):
                    found[kind] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                undo.callback(os.close, found[kind])
        return found

    def _wanted(self, left_out: Outside, group: Group, given: Mapping[str, int]) -> bytes:
        """Return what CRIU is asked for."""
        sources = {name: outside.source_of(name, self.spec, group.folders) for name in left_out.mounts.values()}
        named = {name: path for name, path in self.spec.namespaces.items() if path and name not in dumping.EXTERNAL}
        return criu.options(
            images_dir_fd=_IMAGES,
            work_dir_fd=_WORK,
            log_file="restore.log",
            root=f"{self.folder}/{ROOT}",
            evasive_devices=True,
            ext_mnt=[dumping.message_of(name, path) for name, path in sources.items()],
            inherit_fd=[dumping.message_of(key, number) for number, key in enumerate(given, _FIRST)],
            join_ns=[dumping.message_of(name, path) for name, path in named.items()],
            cg_root=[dumping.message_of(*each) for each in _roots(group)],
            **dumping.common(self.spec, self.wishes),
        )

    def _worker(self, entered: Group, paths: tuple[Path, ...], given: tuple[int, ...], undo: Undo) -> _Worker:
        """Start what becomes the parent of CRIU's process, and of what that makes until all is made."""
        program = folders.find_criu()
        with doing("open the control group", "linux.cgroupsPath"):
            entrance = undo.enter_context(entered.entrance())
        ours, theirs = socket.socketpair()
        undo.callback(theirs.close)

        def become() -> NoReturn:
            ours.close()
            processes.set_child_subreaper()
            pid = os.fork()
            if pid:
                theirs.close()
                _attend(pid)
            try:
                theirs.send(str(os.getpid()).encode())
                if theirs.recv(1):
                    self._become(program, entrance, theirs, paths, given)
            except Failed as error:
                theirs.send(error.failure.encode())
            finally:
                os._exit(70)

        with doing("start criu"):
            _, pidfd = processes.fork(become)
        undo.callback(_reaped, pidfd, _END_S)
        undo.callback(ours.close)
        theirs.close()
        return _Worker(pidfd, ours)

    def _become(
        self, program: str, entrance: Entrance, caller: socket.socket, paths: tuple[Path, ...], given: tuple[int, ...]
    ) -> NoReturn:
        """Become CRIU, in the container's cgroup, with its root at hand; the caller gets the other socket.

        CRIU looks for descriptors at who made the socket, and mounts something in the folder of its log. So that is
        itself, and all are opened in its own mount namespace.
        """
        with doing("enter the control group", "linux.cgroupsPath"):
            entrance.enter_all()
        if self.spec.keyring:
            with doing("make a session keyring"):
                keyrings.join_new_session()
        self._mount_root()
        with doing("start criu"):
            null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            opened = [os.open(path, flags) for path in paths]
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            descriptors = (null, null, null, theirs.fileno(), *opened, *given)
            above = max(len(descriptors), caller.fileno() + 1, ours.fileno() + 1)
            copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above) for fd in descriptors]
            told, ours_above = (fcntl.fcntl(each.fileno(), fcntl.F_DUPFD_CLOEXEC, above) for each in (caller, ours))
            for number, fd in enumerate(copies):
                os.dup2(fd, number)
            send_descriptor(socket.socket(fileno=told), _CONNECTED, ours_above)
            os.execve(program, (program, "swrk", str(_SOCKET)), os.environ)  # noqa: S606 - no line for a shell
        raise AssertionError("execve returned")

    def _mount_root(self) -> None:
        """Mount the root where nobody else sees it, with places for the mounts that CRIU makes on it."""
        with doing("bind the root file system", "root.path"):
            namespaces.unshare(namespaces.FLAGS["mount"])
            mounts.set_propagation("/", "rslave")
            below = os.open(f"{self.folder}/{ROOT}", DIRECTORY | os.O_CLOEXEC)
            bind(self.spec.rootfs, below)
            os.close(below)
            root = Root(os.open(f"{self.folder}/{ROOT}", DIRECTORY | os.O_CLOEXEC), self.spec)
        fresh: list[str] = []
        for point in self.spec.mounts:
            path = point.destination.rstrip("/")
            if not any(path.startswith(f"{each}/") for each in fresh):
                with doing(f"make {path}", point.where):
                    source = os.path.join(self.spec.bundle, point.source)
                    binds = mount_options.binds(point)
                    os.close(root.mount_target(point, folder=not binds or os.path.isdir(source)))
            fresh.append(path)


class _Worker:
    """CRIU's process, from the copy of this one that it begins as, and its parent."""

    def __init__(self, pidfd: int, caller: socket.socket) -> None:
        self._pidfd = pidfd
        self._caller = caller
        self._pid = 0

    def pid(self) -> int:
        """Return the pid of CRIU's process."""
        data = self._caller.recv(32)
        if not data.isdigit():
            raise _early()
        self._pid = int(data)
        return self._pid

    def kill(self) -> None:
        """End CRIU's process, whose parent then ends what it has left."""
        with suppress(ProcessLookupError):
            os.kill(self._pid, signals.SIGKILL)

    def go(self) -> socket.socket:
        """Let it become that, and return the socket to ask it by; Failed where it can't."""
        with suppress(BrokenPipeError):
            self._caller.send(b".")
        data, found, _, _ = socket.recv_fds(self._caller, 65536, 1)
        connection = socket.socket(fileno=found[0]) if found else None
        while chunk := self._caller.recv(65536):
            data += chunk
        failure = data.removeprefix(_CONNECTED)
        if connection is not None and not failure:
            return connection
        if connection is not None:
            connection.close()
        raise Failed(Failure.decode(failure)) if failure else _early()

    def end(self, connection: socket.socket) -> None:
        """Hang up, and wait until what was made is the caller's, or its subreaper's."""
        connection.close()
        processes.wait_ended(self._pidfd, _END_S)


def _early() -> Failed:
    return Failed(Failure("start criu", "", 0, "it ended early"))


def _attend(pid: int) -> NoReturn:
    """Wait for CRIU; where it fails end and reap what it has left, so that nobody else need to."""
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(ChildProcessError):
        while code:
            for each in read_text(f"/proc/self/task/{os.getpid()}/children").split():
                with suppress(ProcessLookupError):
                    os.kill(int(each), signals.SIGKILL)
            os.waitpid(-1, 0)
    os._exit(1 if code else 0)


def _reaped(pidfd: int, patience_s: float = 0.0) -> None:
    """Wait for the end of a process for a time, then end it, and reap it."""
    processes.wait_ended(pidfd, patience_s)
    with suppress(ProcessLookupError):
        processes.send_signal(pidfd, signals.SIGKILL)
    processes.reap(pidfd)
    os.close(pidfd)


class _Made:
    """What there is of the container while CRIU makes it."""

    def __init__(self, restorer: Restorer, group: Group, undo: Undo) -> None:
        self._restorer = restorer
        self._group = group
        self._undo = undo
        self._pidfd = -1
        self.terminal = -1

    def notified(self, step: str, pid: int, fd: int) -> None:
        """Do what belongs to a step."""
        if step == "orphan-pts-master" and fd >= 0:
            self.terminal = fd
            self._undo.callback(os.close, fd)
            return
        if fd >= 0:
            os.close(fd)
        spec, told = self._restorer.spec, self._restorer.told
        if step == "setup-namespaces":
            if spec.new("network"):
                _bring_up(pid)
            if told is not None:
                for name in ("prestart", "createRuntime"):
                    told.run(name, CREATING, pid)
        elif step == "post-restore":
            self.kept(pid)
            self._restorer.write(pid)
            placement.ruling(self._group, spec)()

    def kept(self, pid: int) -> int:
        """Return a descriptor of the first process; `undo` ends it."""
        if self._pidfd < 0:
            with doing("take over the first process"):
                self._pidfd = os.pidfd_open(pid)
            self._undo.callback(_reaped, self._pidfd)
        return self._pidfd


def _bring_up(pid: int) -> None:
    """Bring up the loopback device in the network of a process."""

    def inside() -> NoReturn:
        fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        namespaces.join(fd, namespaces.FLAGS["network"])
        links.bring_up_loopback()
        os._exit(0)

    with doing("bring up the loopback device", "linux.namespaces"):
        _, pidfd = processes.fork(inside)
    failed = processes.reap(pidfd)
    os.close(pidfd)
    if failed:
        raise Failed(Failure("bring up the loopback device", "linux.namespaces", 0, "its network can't be joined"))


def _roots(group: Group) -> Iterator[tuple[str, str]]:
    """Yield the group's path by each controller, as CRIU wants to know where an image's groups go."""
    for folder in group.folders:
        for tree in hierarchies():
            if folder.startswith(f"{tree.mount}/"):
                for name in sorted(tree.controllers) if tree.version == 1 else ("",):
                    yield name, folder.removeprefix(tree.mount)
