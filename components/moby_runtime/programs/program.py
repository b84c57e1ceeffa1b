"""The last steps of a process before its user's program: who it is, what it may, and what it has open."""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from moby.host import bare, capabilities, mounts, processes
from moby.host.blocks import suppress
from moby.host.lean import structs
from moby.host.syscalls import current_folder
from moby.values import frozen
from moby_runtime.records.failures import doing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moby.contracts.streams import Stdio
    from moby.host.bare import Calls, Step
    from moby_runtime.programs.values import ProcessSpec

__all__ = [
    "Room", "above", "become_user", "is_above", "prepare_user", "set_limit", "take_stdio", "take_terminal",
]  # fmt: skip

_UNLIMITED = 2**63 - 1


@frozen
class Room:
    """What a copy of this process finds."""

    root: int
    """A descriptor of its root."""
    free: int
    """The number that its next descriptor gets."""


# `resource` and `termios` are imported where a limit or a terminal is asked for: half a millisecond of a command. Whose
# files are a container's by then has imported them before.


def above(fd: int, first: int) -> int:
    """Return the descriptor, or a copy of it, whose number isn't below `first`."""
    return fd if fd >= first else fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, first)


def take_stdio(stdio: Stdio) -> range:
    """Make the caller's descriptors 0, 1, 2 and so on, whatever their numbers are; return those from 3."""
    given = (stdio.stdin, stdio.stdout, stdio.stderr, *stdio.extra)
    with doing("take over the standard streams"):
        if min(given) >= len(given):  # none is in another's place
            for number, fd in enumerate(given):
                os.dup2(fd, number)
            return range(3, len(given))
        copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, len(given)) for fd in given]
        for number, fd in enumerate(copies):
            os.dup2(fd, number)
            os.close(fd)
    return range(3, len(given))


def take_terminal(process: ProcessSpec) -> None:
    """Start a session, and make the terminal that 0 is its controlling one."""
    with doing("start a session"):
        if os.getsid(0) != os.getpid():
            os.setsid()
    if not process.terminal:
        return
    import termios

    with doing("take the controlling terminal", "process.terminal"):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        if process.window:
            fcntl.ioctl(0, termios.TIOCSWINSZ, structs.pack("HHHH", *process.window, 0, 0))


def is_above(value: int, other: int) -> bool:
    """Whether a limit of the specification's lets more than one of this process's, where -1 lets all."""
    import resource

    return other != resource.RLIM_INFINITY and (value >= _UNLIMITED or value > other)


def set_limit(pid: int, number: int, soft: int, hard: int) -> None:
    """Set one limit of a process (0: this one), in the specification's unsigned numbers."""
    import resource

    wanted = tuple(-1 if value >= _UNLIMITED else value for value in (soft, hard))
    with doing("set a limit", "process.rlimits"):
        try:
            resource.prlimit(pid, number, (wanted[0], wanted[1]))
        except (ValueError, OverflowError) as error:
            raise OSError(errno.EINVAL, str(error)) from error


def become_user(process: ProcessSpec, *, may_set_groups: bool = True, kept: frozenset[int] = frozenset()) -> None:
    """Take on the process's user, groups, capabilities and working folder; those of `kept` stay permitted."""
    bare.take_usual(prepare_user(process, may_set_groups=may_set_groups, kept=kept))


def prepare_user(
    process: ProcessSpec, *, may_set_groups: bool = True, kept: frozenset[int] = frozenset(), room: Room | None = None
) -> list[Step]:
    """Take on what a copy of this process has then, too, and what keeps it from nothing; return the steps to the rest.

    Until these are taken it is who it was, may do all that it could, and has touched no file of the container's.
    `room` is known where they are a copy's.
    """
    with doing("set no_new_privs", "process.noNewPrivileges"):
        if process.no_new_privileges:
            processes.set_no_new_privileges()
    with doing("limit the bounding set", "process.capabilities.bounding"):
        capabilities.drop_bounding(process.capabilities.get("bounding", frozenset()))
    _own_stdio(process)
    with doing("change user and groups", "process.user"):
        processes.set_keep_capabilities(True)  # until the next program
        if may_set_groups:
            os.setgroups(process.groups)
        elif process.groups:
            raise OSError(errno.EPERM, "a namespace of one user has no other groups", "additionalGids")
        os.setresgid(process.gid, process.gid, process.gid)
    if process.umask is not None:
        os.umask(process.umask)
    steps: list[Step] = [(None, process.traits.apply)] if process.traits is not None else []
    if process.rlimits:
        steps.append((None, lambda: _limit(process)))
    folder = _Folder(process)
    return [
        *steps,
        (_into(process.cwd, room), folder.enter),
        # Hidden while it may do more than the user's other processes, which could look into it where fs.suid_dumpable
        # is 1.
        ((*bare.set_user(process.uid), *(bare.hide() if room else ())), lambda: _become(process.uid, hides=bool(room))),
        *([(None, folder.enter_as_user)] if process.uid else ()),
        _limited(process, kept),
    ]


def _limit(process: ProcessSpec) -> None:
    for limit in process.rlimits:
        set_limit(0, *limit)


def _become(uid: int, *, hides: bool) -> None:
    with doing("change user and groups", "process.user"):
        os.setresuid(uid, uid, uid)
    if hides:
        processes.set_dumpable(False)


def _into(cwd: str, room: Room | None) -> Calls | None:
    """Return the calls that change to a folder inside the root, where no link is on the way to it."""
    if room is None:
        return None
    if cwd == "/":
        return bare.enter_folder(room.root)
    entered = (
        mounts.prepared_open(room.root, cwd, os.O_PATH | os.O_DIRECTORY, room.free),
        *bare.enter_folder(room.free),
    )
    return (*entered, bare.close(room.free), bare.expect_folder(cwd))


class _Folder:
    """The working folder, which root enters for its user, as images have some that only root may; or else the user."""

    def __init__(self, process: ProcessSpec) -> None:
        self._process = process
        self._denied = False

    def enter(self) -> None:
        """Enter it as who this process still is."""
        with doing(f"change to the folder {self._process.cwd}", "process.cwd"):
            try:
                _enter(self._process)
            except PermissionError:
                if not self._process.uid:
                    raise
                self._denied = True

    def enter_as_user(self) -> None:
        """Enter it where root may not, as on a file system of others' that is the user's own."""
        if self._denied:
            with doing(f"change to the folder {self._process.cwd}", "process.cwd"):
                _enter(self._process)


def _limited(process: ProcessSpec, kept: frozenset[int]) -> Step:
    """Return the step to the capabilities to end with; what can't be granted is left out, as the specification asks."""
    with doing("set capabilities", "process.capabilities"):
        sets = process.capabilities
        granted = capabilities.permitted()
        permitted = sets.get("permitted", frozenset()) & granted
        inheritable = sets.get("inheritable", frozenset()) & granted
        effective = sets.get("effective", frozenset()) & permitted
        ambient = sets.get("ambient", frozenset()) & permitted & inheritable
        capabilities.clear_ambient()
        wanted = capabilities.Sets(effective=effective, permitted=permitted | kept & granted, inheritable=inheritable)

    def usual() -> None:
        with doing("set capabilities", "process.capabilities"):
            wanted.apply()
            capabilities.raise_ambient(ambient)

    return (None if ambient else wanted.calls, usual)


def _enter(process: ProcessSpec) -> None:
    """Change the folder, by no link of /proc, and see that it is inside the root (CVE-2024-21626)."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        folder = mounts.open_in_root(root, process.cwd, os.O_PATH | os.O_DIRECTORY)
    finally:
        os.close(root)
    try:
        os.fchdir(folder)
    finally:
        os.close(folder)
    if not current_folder().startswith("/"):
        raise OSError(errno.ENOENT, "the working folder is outside the root", process.cwd)


def _own_stdio(process: ProcessSpec) -> None:
    """Give the user the streams, so that it can open them again by /dev/stdout."""
    if process.uid == 0:
        return
    for fd in range(3):
        found = os.fstat(fd)
        if found.st_uid == process.uid or (stat.S_ISCHR(found.st_mode) and found.st_rdev == os.makedev(1, 3)):
            continue
        with suppress(OSError):  # a host's file that isn't ours to give
            os.fchown(fd, process.uid, -1)
