"""The caller's side of a start: clones the process into its namespaces, and tells how far it got."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import time

from moby.errors import HostUnfit
from moby.host import namespaces, processes
from moby.host.blocks import Undo, suppress
from moby.host.cgroups import NO_GROUP, Entrance, Group
from moby.host.files import read_text, write_text
from moby.host.lean import signals
from moby.values import frozen
from moby_runtime.native.inside import MADE_INSIDE, Channel
from moby_runtime.native.messages import GROUPS, MOUNTED, NO_GROUPS, READY, number_of
from moby_runtime.native.values import IdMapping, ProcessSpec, lines_of
from moby_runtime.records.failures import Failed, Failure, doing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn

    from moby_runtime.native.further import Further

    Body = Callable[[Channel], NoReturn]

__all__ = ["Child", "Entry", "into_new", "into_running", "map_ids", "spawn"]

_MOMENT_S = 0.01
"""More than a program takes to start on a machine that isn't busy."""
_PATIENCE_S = 60.0
"""Far more than any start needs, however busy the machine."""
_INNER = frozenset({"network", "uts", "ipc"})
_CGROUP = namespaces.FLAGS["cgroup"]
_ALONE = namespaces.FLAGS["user"] | namespaces.FLAGS["time"] | _CGROUP
"""Namespaces that only a process with its own memory joins, or that are in the way of joining a control group."""


@frozen
class Entry:
    """How a process gets into its namespaces: it joins some, then is cloned into new ones."""

    new: int = 0
    joined: tuple[tuple[int, int, str], ...] = ()
    """Descriptors (of namespaces, or a pidfd) with flags and what they are, in the order of joining."""
    oom_score_adj: int | None = None
    group: Entrance = NO_GROUP
    process: ProcessSpec | None = None
    """A further program, some of whose attributes only the host's /proc and processors can set."""
    root: int = -1
    """The folder that becomes its root; -1 where that is the root of its mount namespace."""
    inner: tuple[tuple[int, int, str], ...] = ()
    """As `joined`, but what the process joins itself."""
    waits: bool = False
    """Whether it may take long until the process is in its control group: that of a container which is paused."""

    @property
    def watched(self) -> bool:
        """Whether processes that are there already may look at this one, while it still is a copy of the caller.

        Not so in a new user namespace of an ordinary user, who couldn't write its maps if they might not.
        """
        return bool(self.joined) and not (self.new & namespaces.FLAGS["user"] and os.geteuid())


@frozen
class Child:
    """A process that was cloned and waits for its release."""

    pid: int
    pidfd: int
    release_fd: int
    """-1 where it waits for nothing."""
    report_fd: int
    released: bool = False
    """Whether it went on by itself."""

    def release(self, on_listener: Callable[[int], object] = lambda number: None, *, patient: bool = False) -> bool:
        """Let it go on, and wait for what it says: whether it is ready, else (an exec) it has become the program.

        `on_listener` gets the number of its seccomp listener, where there is one, and it waits for that. Failed tells
        the step that it didn't get through. A `patient` caller waits for as long as it takes.
        """
        if not self.released:
            self.go()
        return self._outcome(None if patient else _PATIENCE_S, on_listener)

    def ready(self) -> bool:
        """Wait until it is ready, once it may go on; as `release`."""
        return self._outcome(_PATIENCE_S)

    def mounted(self) -> bool:
        """Wait until its root is built, which it enters once told to; as `release`."""
        data = self._read(time.monotonic() + _PATIENCE_S)
        if data == MOUNTED:
            return True
        if data:
            raise Failed(Failure.decode(data + self._report(_PATIENCE_S)))
        return False

    def enter(self, hooks_s: float | None) -> bool:
        """Let it enter its root, after hooks that may take so long, and go on; as `release`."""
        with suppress(BrokenPipeError):
            os.write(self.release_fd, GROUPS)
        return self._outcome(None if hooks_s is None else hooks_s + _PATIENCE_S)

    def finish(self) -> None:
        """Tell it that all is done to it, without which it ends."""
        with suppress(BrokenPipeError):
            os.write(self.release_fd, GROUPS)

    def go(self) -> None:
        """Let it go on, which takes no time here."""
        with doing("let it go on"):
            # From here, since the process itself may have only the container's /proc.
            allowed = read_text(f"/proc/{self.pid}/setgroups").strip() == "allow"
        with suppress(BrokenPipeError):  # it was killed, which its end will tell
            os.write(self.release_fd, GROUPS if allowed else NO_GROUPS)

    def _outcome(self, patience_s: float | None, on_listener: Callable[[int], object] = lambda number: None) -> bool:
        data = self._report(patience_s, on_listener)
        if data.startswith(READY):
            data = data[len(READY) :]
            if not data:
                return True
        if data:
            raise Failed(Failure.decode(data))
        return False

    def _report(self, patience_s: float | None, on_listener: Callable[[int], object] = lambda number: None) -> bytes:
        """Read what it says, to the end."""
        deadline = None if patience_s is None else time.monotonic() + patience_s
        data = b""
        while chunk := self._read(deadline):
            data += chunk
            number = number_of(data)
            if number is not None:
                data = b""
                on_listener(number)
                with suppress(BrokenPipeError):
                    os.write(self.release_fd, GROUPS)
        return data

    def _read(self, deadline: float | None) -> bytes:
        """Read what it says next; a container may stop a process that comes into it, but not for ever."""
        if deadline is None or processes.readable(self.report_fd, deadline - time.monotonic()):
            return os.read(self.report_fd, 65536)
        raise Failed(Failure("reach the program: something stops or delays the process", "", errno.ETIMEDOUT))


def into_new(spec_namespaces: Mapping[str, str], oom_score_adj: int | None, group: Group, undo: Undo) -> Entry:
    """Return the entry of a new container: namespaces with a path are joined, the others made.

    `undo` closes what it is entered by.
    """
    new = 0
    joined = []
    # What shows no process of this one's needs no other process to go before it; so every container on a network.
    alone = os.geteuid() == 0 and "user" not in spec_namespaces
    inner = alone and all(name in _INNER for name, path in spec_namespaces.items() if path)
    for name, path in spec_namespaces.items():
        if path:
            with doing(f"open the {name} namespace {path}", "linux.namespaces"):
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            undo.callback(os.close, fd)
            joined.append((fd, namespaces.FLAGS[name], f"the {name} namespace {path}"))
        elif name not in MADE_INSIDE and name != "time":
            new |= namespaces.FLAGS[name]
    entrance = _entrance(group, undo)
    if inner:
        return Entry(new, (), oom_score_adj, entrance, inner=tuple(joined))
    return Entry(new, tuple(joined), oom_score_adj, entrance)


def into_running(
    first: tuple[int, int], process: ProcessSpec, group: Group, undo: Undo, *, chroot: bool, waits: bool
) -> Entry:
    """Return the entry of a further process: it joins all that the first process of a container has.

    `first` is its pid and a pidfd; `chroot` says that its root isn't that of its mount namespace; `waits` as Entry's.
    """
    pid, pidfd = first
    with doing("look at the container's namespaces"):
        flags = namespaces.differing(pid)
        late = _CGROUP if flags & _CGROUP and not flags & namespaces.FLAGS["user"] and flags != _CGROUP else 0
        joined = ((pidfd, flags & ~late, "the container's namespaces"),)
        inner = ((pidfd, late, "the container's control groups"),) if late else ()
        root = -1
        if chroot:
            root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            undo.callback(os.close, root)
    return Entry(0, joined, process.oom_score_adj, _entrance(group, undo), process, root, inner, waits)


def _entrance(group: Group, undo: Undo) -> Entrance:
    with doing("open the control group", "linux.cgroupsPath"):
        return undo.enter_context(group.entrance())


def spawn(entry: Entry, body: Body, undo: Undo, lent: Undo, console: int = -1, early: Further | None = None) -> Child:
    """Clone a process that runs `body` in its namespaces; `undo` kills and reaps it, and closes what came with it.

    `lent` waits for what else was started, which ends by itself. `console` is the child's end of the socket that a
    terminal's master comes by. Failed where the kernel refuses. The process is a child of the caller, and waits to be
    released; but `early` is what it is where it needs not, and can be prepared on the caller's memory.
    """
    forked = processes.has_threads()
    lends = _lends(entry, forked)
    at_once = early if lends else None
    release_read, release_write = _pipe(undo) if at_once is None or at_once.asks else (-1, -1)
    report_read, report_write = _pipe(undo)
    channel = Channel(
        release_read,
        report_write,
        _interpreter(),
        console,
        NO_GROUP if entry.joined and at_once is None else entry.group,
        os.geteuid() == 0,
        entry.inner,
    )

    def child() -> NoReturn:
        os.close(release_write)
        os.close(report_read)
        if lends:
            entry.group.enter()
        elif entry.joined:
            entry.group.enter_counted()
        body(channel)

    if lends:
        pid, pidfd = (
            _clone_lending(entry, child, lent) if at_once is None else _clone_at_once(entry, at_once, channel, lent)
        )
    elif entry.joined or forked:
        pid, pidfd = _clone(entry, child, lent, forked)
    else:
        pid, pidfd = _clone_directly(entry, child)
    undo.callback(_end, pidfd)
    if release_read >= 0:
        os.close(release_read)
    os.close(report_write)
    if at_once is not None:
        # What this process does now, it would do in the way of the copy, and with a page fault a page.
        processes.readable(report_read, _MOMENT_S)
    return Child(pid, pidfd, release_write, report_read, at_once is not None)


def _interpreter() -> tuple[int, int]:
    """Return the device and inode of the program that runs this, which stays the same."""
    if not _found:
        program = os.stat("/proc/self/exe")
        _found.append((program.st_dev, program.st_ino))
    return _found[0]


_found: list[tuple[int, int]] = []


def _lends(entry: Entry, forked: bool) -> bool:
    """Whether the process that joins needs no memory of its own."""
    if not entry.joined or forked or entry.waits or any(flags & _ALONE for _, flags, _ in entry.joined):
        return False
    from moby.host import vfork  # which most containers are made without

    return vfork.possible()


def _pipe(undo: Undo) -> tuple[int, int]:
    """Make a pipe whose numbers don't clash with the standard streams; `undo` closes what is still open of it."""
    ends = []
    for fd in os.pipe():
        if fd < 3:
            low, fd = fd, fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)  # noqa: PLW2901
            os.close(low)
        ends.append(fd)
    for fd in ends:
        undo.callback(_close, fd, os.fstat(fd).st_ino)
    return ends[0], ends[1]


def _close(fd: int, inode: int) -> None:
    """Close a pipe's descriptor unless that was done, and its number given to something else."""
    with suppress(OSError):
        if os.fstat(fd).st_ino == inode:
            os.close(fd)


def _end(pidfd: int) -> None:
    """Kill a process and reap it."""
    with suppress(ProcessLookupError):
        processes.send_signal(pidfd, signals.SIGKILL)
    processes.dismiss(pidfd)


def _clone_directly(entry: Entry, child: Callable[[], NoReturn]) -> tuple[int, int]:
    """Clone from here, as a caller with one thread may where nothing is joined."""
    with doing("make the namespaces"):
        pid, pidfd = processes.clone(child, entry.new | processes.sibling(), group=entry.group.folder)
    if entry.oom_score_adj is not None:
        try:
            with doing("set the score for want of memory", "process.oomScoreAdj"):
                write_text(f"/proc/{pid}/oom_score_adj", str(entry.oom_score_adj))
        except BaseException:
            _end(pidfd)
            raise
    return pid, pidfd


def _clone(entry: Entry, child: Callable[[], NoReturn], lent: Undo, forked: bool) -> tuple[int, int]:
    """Clone by way of a short-lived process, which makes the child its sibling, so the caller is the parent.

    That one joins namespaces that the caller couldn't leave again, and has one thread, as a raw clone must.
    """
    pid_read, pid_write = os.pipe()

    def between() -> NoReturn:
        code = 70
        try:
            os.write(pid_write, str(_clone_there(entry, child, forked)).encode())
            code = 0
        except Failed as error:
            os.write(pid_write, error.failure.encode())
        finally:
            os._exit(code)

    try:
        with doing("start a process"):
            if forked:
                _, pidfd = processes.fork(between)
            else:
                _, pidfd = processes.clone(between, processes.sibling(), group=entry.group.folder)
        os.close(pid_write)
        pid_write = -1
        # Its exit takes a while, as the end of a copy of this process does.
        lent.callback(processes.dismiss, pidfd)
        data = os.read(pid_read, 65536)
    finally:
        os.close(pid_read)
        if pid_write >= 0:
            os.close(pid_write)
    if not data.isdigit():
        raise Failed(Failure.decode(data) if data else Failure("join the namespaces", "", 0, "it ended early"))
    pid = int(data)
    # It is an unreaped child of ours, so the number can't have become somebody else's.
    return pid, os.pidfd_open(pid)


def _clone_there(entry: Entry, child: Callable[[], NoReturn], forked: bool) -> int:
    """Go where the child belongs, for good, and make it there, as this process's sibling; return its pid."""
    _prepare(entry)
    if entry.joined:
        with doing("enter the control group"):  # from here, since a namespace may not let it do so
            if forked:
                entry.group.enter_all(counted=False)
            else:
                entry.group.enter(counted=False)
    _join_all(entry)
    _enter_root(entry)
    with doing("make the namespaces"):
        group = -1 if entry.joined else entry.group.folder
        return processes.clone(child, entry.new | processes.CLONE_PARENT, group=group)[0]


def _enter_root(entry: Entry) -> None:
    if entry.root >= 0:
        with doing("enter the container's root"):
            os.fchdir(entry.root)
            os.chroot(".")


def _clone_lending(entry: Entry, child: Callable[[], NoReturn], lent: Undo) -> tuple[int, int]:
    """As `_clone`, where the process between needs no memory of its own."""

    def cloned() -> int:
        with doing("make the namespaces"):
            return processes.clone(child, entry.new | processes.CLONE_PARENT, group=entry.group.folder)[0]

    return _lending(entry, cloned, lent)


def _clone_at_once(entry: Entry, early: Further, channel: Channel, lent: Undo) -> tuple[int, int]:
    """As `_clone_lending`, where the process between does most of what the child would have to do."""
    may_set_groups = read_text("/proc/self/setgroups").strip() == "allow"
    kept: list[object] = []

    def cloned() -> int:
        own, child = early.prepare(channel, may_set_groups)
        kept.append(child)
        with doing("make the namespaces"):
            flags = entry.new | processes.CLONE_PARENT
            processes.settle_signals()
            return processes.clone(child, flags, group=own.group.folder, settled=True)[0]

    # What the copy was prepared with is freed once it is another program: until then each page of it costs a fault.
    lent.callback(kept.clear)
    return _lending(entry, cloned, lent)


def _lending(entry: Entry, cloned: Callable[[], int], lent: Undo) -> tuple[int, int]:
    """Have a process on this one's memory join what is joined, and clone there; return what it cloned."""
    from moby.host import vfork

    made = []
    finders = sys.meta_path.copy()

    def between() -> None:
        _prepare(entry, forget=False)
        sys.meta_path.clear()  # from here on the files that it sees may be the container's
        # It enters no group: of one that is frozen, or has no time left, it would wait, and the caller with it; and
        # what a group without memory kills takes with it all that share theirs.
        _join_all(entry)
        _enter_root(entry)
        made.append(cloned())

    shows = processes.is_dumpable()
    forgotten = processes.forget_arguments() if entry.watched else []
    try:
        with doing("start a process"):
            _, pidfd = vfork.run(between, processes.sibling())
    except BaseException:
        if made:  # what a handler of the caller's raised has waited until it was through
            _end(os.pidfd_open(made[0]))
        raise
    finally:
        sys.meta_path[:] = finders
        if entry.watched:
            processes.set_dumpable(shows)
            processes.remember_arguments(forgotten)
    lent.callback(processes.dismiss, pidfd)
    # It is an unreaped child of ours, or of who waits for our answer, so the number can't have become another's.
    return made[0], os.pidfd_open(made[0])


def _prepare(entry: Entry, *, forget: bool = True) -> None:
    """Do what the copy inherits, and what it could not do itself any more.

    A process that can be watched has nothing to show: no memory, environment, descriptors or program of the caller
    (CVE-2019-5736, CVE-2016-9962), nor its arguments.
    """
    if entry.oom_score_adj is not None:
        with doing("set the score for want of memory", "process.oomScoreAdj"):
            write_text("/proc/self/oom_score_adj", str(entry.oom_score_adj))
    if entry.process is not None:
        if entry.process.affinity[0]:
            with doing("choose processors", "process.execCPUAffinity.initial"):
                os.sched_setaffinity(0, entry.process.affinity[0])
        if entry.process.labelled:
            from moby_runtime.native import labels

            labels.apply(entry.process)
    if entry.watched:
        with doing("hide from the container"):
            if forget:
                processes.forget_arguments()
            processes.set_dumpable(False)


def _join_all(entry: Entry) -> None:
    """Join namespaces: what the caller may join as it is first, then the user namespace, then what that opens."""
    pending = sorted(entry.joined, key=lambda each: each[1] == namespaces.FLAGS["user"])
    late = []
    for fd, flags, name in pending:
        with doing(f"join {name}", "linux.namespaces"):
            try:
                namespaces.join(fd, flags)
            except PermissionError:
                if flags == namespaces.FLAGS["user"]:
                    raise
                late.append((fd, flags, name))
    for fd, flags, name in late:
        with doing(f"join {name}", "linux.namespaces"):
            namespaces.join(fd, flags)


def map_ids(pid: int, uids: tuple[IdMapping, ...], gids: tuple[IdMapping, ...]) -> None:
    """Write the maps of a process's new user namespace (user_namespaces(7))."""
    if os.geteuid() == 0:
        _write(pid, "uid_map", lines_of(uids))
        _write(pid, "gid_map", lines_of(gids))
        return
    if _just_own(uids, os.geteuid()) and _just_own(gids, os.getegid()):
        _write(pid, "setgroups", "deny")
        _write(pid, "uid_map", lines_of(uids))
        _write(pid, "gid_map", lines_of(gids))
        return
    _by_program("newuidmap", pid, uids)
    _by_program("newgidmap", pid, gids)


def _just_own(mappings: tuple[IdMapping, ...], own: int) -> bool:
    """Whether it is the one mapping that the kernel lets an ordinary user make."""
    return len(mappings) == 1 and mappings[0].outside == own and mappings[0].size == 1


def _write(pid: int, name: str, text: str) -> None:
    with doing(f"write {name}", "linux.uidMappings" if name == "uid_map" else "linux.gidMappings"):
        write_text(f"/proc/{pid}/{name}", text)


def _by_program(name: str, pid: int, mappings: tuple[IdMapping, ...]) -> None:
    """Have the host's set-uid program write a map, as /etc/subuid and /etc/subgid allow."""
    import shutil
    import subprocess

    program = shutil.which(name)
    if program is None:
        raise HostUnfit(
            f"to map more ids than its own, an ordinary user needs {name}, which isn't on PATH",
            hint="apt install uidmap, or map just your own user",
        )
    numbers = [str(number) for each in mappings for number in (each.inside, each.outside, each.size)]
    done = subprocess.run([program, str(pid), *numbers], capture_output=True, text=True, check=False, timeout=10)
    if done.returncode:
        raise HostUnfit(f"{name} refuses: {done.stderr.strip()}", hint="add a range to /etc/subuid and /etc/subgid")
