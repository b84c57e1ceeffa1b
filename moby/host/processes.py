"""Processes: cloning, pidfds, and the attributes that only prctl(2) sets."""

from __future__ import annotations

import os
import select

from moby.host.bare import any_call
from moby.host.files import read_text
from moby.host.lean import signals
from moby.host.syscalls import NUMBERS, call, fork_quietly, libc, prepared, syscall
from moby.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable, Collection, Sequence
    from typing import NoReturn
else:
    from moby.host import foreign as ctypes

__all__ = [
    "CLONE_PARENT", "LONGEST_POLL_MS", "ProcessStat", "act_for_parent", "clone", "close_other_descriptors", "dismiss",
    "execute", "execute_path", "forget_arguments", "fork", "has_threads", "is_dumpable", "prctl", "prepared_start",
    "process_stat", "readable", "reap", "remember_arguments", "send_signal", "set_child_subreaper", "set_domain_name",
    "set_dumpable", "set_keep_capabilities", "set_no_new_privileges", "set_parent_death_signal", "settle_signals",
    "sibling", "take_dismissed", "wait_ended",
]  # fmt: skip

CLONE_PARENT = 0x00008000
_AT_SYMLINK_NOFOLLOW = 0x100
_CLONE_PIDFD = 0x00001000
_CLONE_CLEAR_SIGHAND = 0x100000000
_CLONE_INTO_CGROUP = 0x200000000
_ALL = signals.valid_signals()
_SIGNALS = tuple(_ALL - {signals.SIGKILL, signals.SIGSTOP})
_WALL = 0x40000000
LONGEST_POLL_MS = 2**31 - 1
"""What poll(2) takes, some 24 days."""
_PF_EXITING = 0x4
_PF_FORKNOEXEC = 0x40
_PR_SET_PDEATHSIG = 1
_PR_GET_DUMPABLE = 3
_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37
_PR_SET_NO_NEW_PRIVS = 38
_prctl = prepared("prctl", 5)

_FEW = 64
_Few = ctypes.c_char_p * _FEW
"""Of most programs' arguments and environments: a class for just so many takes longer to make than all else."""
_Variable = ctypes.c_char * 4096


class _Kin:
    """Whose children this process makes."""

    parents = False
    dismissed: list[int] = []  # noqa: RUF012 - of the whole process, as children are


class _CloneArguments(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            "flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls", "set_tid",
            "set_tid_size", "cgroup",
        )
    )  # fmt: skip


def clone(child: Callable[[], NoReturn], flags: int = 0, *, group: int = -1, settled: bool = False) -> tuple[int, int]:
    """Run `child` in a copy of this process, in new namespaces by `flags`; return its pid and a pidfd.

    `group` is a descriptor of a control group's folder (version 2), in which the copy then begins. `settled` says that
    this process has been through `settle_signals`, so the copy has nothing to do but unblock them.

    `child` starts with every signal at its default and unblocked, and must end in an exec or `os._exit`; should it
    return or raise, the copy exits with 70. The caller must be single-threaded: another thread's locks stay locked
    in the copy for ever. With CLONE_PARENT the copy becomes a child of the caller's parent. OSError as clone3(2).
    """
    pidfd = ctypes.c_int(-1)
    arguments = _CloneArguments(
        flags=flags | _CLONE_PIDFD | _CLONE_CLEAR_SIGHAND | (_CLONE_INTO_CGROUP if group >= 0 else 0),
        cgroup=max(group, 0),
        pidfd=ctypes.addressof(pidfd),
        # CLONE_PARENT takes the exit signal over from the caller, and refuses one of its own.
        exit_signal=0 if flags & CLONE_PARENT else signals.SIGCHLD,
    )
    if settled:
        return _cloned(arguments, child), pidfd.value
    # Until it has given up the caller's handlers, the copy must not run one of them.
    before = signals.pthread_sigmask(signals.SIG_SETMASK, _ALL)
    try:
        return _cloned(arguments, lambda: _become(child, caught=False)), pidfd.value
    finally:
        signals.pthread_sigmask(signals.SIG_SETMASK, before)


def _cloned(arguments: _CloneArguments, child: Callable[[], NoReturn]) -> int:
    given = NUMBERS["clone3"], ctypes.byref(arguments), ctypes.sizeof(arguments)  # which the copy needn't let go of
    pid: int = any_call(*given)
    if pid == 0:
        try:
            child()
        finally:
            os._exit(70)
    if pid < 0:
        raise OSError(number := ctypes.get_errno(), os.strerror(number), "clone3")
    return pid


def settle_signals() -> None:
    """Have every signal that is ignored do its default, which a copy then needn't see to.

    The kernel alone is told: this is for a process on another's memory (vfork), whose handlers of its own they aren't.
    """
    for number in _SIGNALS:
        if signals.getsignal(number) is signals.SIG_IGN:
            libc.signal(number, None)


def fork(child: Callable[[], NoReturn]) -> tuple[int, int]:
    """Run `child` in a copy of this process; return its pid and a pidfd. OSError as fork(2).

    As `clone`, but the caller may have threads: the C library's locks are free in the copy, which has one thread.
    The copy must touch no lock of Python's own; to have namespaces, it clones again.
    """
    before = signals.pthread_sigmask(signals.SIG_SETMASK, _ALL)
    try:
        pid = fork_quietly()
        if pid == 0:
            _become(child)
    finally:
        signals.pthread_sigmask(signals.SIG_SETMASK, before)
    return pid, os.pidfd_open(pid)


def _become(child: Callable[[], NoReturn], *, caught: bool = True) -> NoReturn:
    """Turn a fresh copy into a process of its own; never returns.

    `caught` says that the caller's handlers are still there, and not just what it ignores.
    """
    try:
        signals.set_wakeup_fd(-1)
        for number in _SIGNALS:
            handler = signals.getsignal(number)
            if handler is signals.SIG_IGN or (caught and handler is not signals.SIG_DFL):
                try:
                    signals.signal(number, signals.SIG_DFL)
                except (OSError, ValueError):
                    continue
        signals.pthread_sigmask(signals.SIG_SETMASK, ())
        child()
    finally:
        os._exit(70)


def has_threads() -> bool:
    """Whether this process has more threads than the calling one."""
    return os.stat("/proc/self/task").st_nlink > 3


def reap(pidfd: int) -> int | None:
    """Wait for a child to end and return its exit code, 128+n for signal n; None where it isn't ours any more."""
    try:
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | _WALL)
    except ChildProcessError:
        return None
    if result is None:
        return None
    return result.si_status if result.si_code == os.CLD_EXITED else 128 + result.si_status


def act_for_parent() -> None:
    """Have what is cloned with `sibling` be the children of this process's parent, who reaps them, from here on."""
    _Kin.parents = True


def sibling() -> int:
    """Return the flag by which `clone` makes a child of whom this process acts for: itself, or its parent."""
    return CLONE_PARENT if _Kin.parents else 0


def dismiss(pidfd: int) -> None:
    """Wait for the end of a process that `clone` made with `sibling`, and have it reaped; closes the descriptor.

    Where this process acts for its parent, that one does it, who is given what `take_dismissed` returns.
    """
    if _Kin.parents:
        readable(pidfd, LONGEST_POLL_MS / 1000)
        _Kin.dismissed.append(pidfd)
        return
    reap(pidfd)
    os.close(pidfd)


def take_dismissed() -> list[int]:
    """Return pidfds of what has ended and is the parent's to reap, and forget them."""
    found, _Kin.dismissed = _Kin.dismissed, []
    return found


def send_signal(pidfd: int, number: int) -> None:
    """Send a signal to exactly the process of a pidfd; ProcessLookupError where it has ended."""
    syscall("pidfd_send_signal", pidfd, number, None, 0)


@frozen
class ProcessStat:
    """What /proc says of a process (proc_pid_stat(5))."""

    pid: int
    state: str
    """One letter; Z and X are ended."""
    parent: int
    start_ticks: int
    """Since boot; with the pid it names a process for as long as this boot lasts."""
    exiting: bool = False
    """Whether it has left its program for good (PF_EXITING)."""
    copied: bool = False
    """Whether it still is the copy of its parent that it began as, and has never become a program (PF_FORKNOEXEC)."""

    @property
    def ended(self) -> bool:
        """Whether only its exit status is left."""
        return self.state in "ZX"


def process_stat(pid: int) -> ProcessStat | None:
    """Read /proc/PID/stat; None where there is no such process."""
    try:
        text = read_text(f"/proc/{pid}/stat")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    flags = int(fields[6])
    return ProcessStat(
        pid, fields[0], int(fields[1]), int(fields[19]), bool(flags & _PF_EXITING), bool(flags & _PF_FORKNOEXEC)
    )


def close_other_descriptors(keep: Collection[int]) -> None:
    """Close every descriptor from 3 on except those to keep (close_range(2))."""
    first = 3
    for fd in sorted({fd for fd in keep if fd >= 3}):
        if fd > first:
            syscall("close_range", first, fd - 1, 0)
        first = fd + 1
    syscall("close_range", first, 0x7FFFFFFF, 0)


def prctl(option: int, argument: int = 0, second: int = 0) -> int:
    """Call prctl(2)."""
    return call(_prctl, option, argument, second, 0, 0, what=f"prctl({option})")


def set_no_new_privileges() -> None:
    """Keep this process and all that it starts from gaining privileges by exec; there is no way back."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def set_parent_death_signal(number: int) -> None:
    """Have the kernel send this process a signal when the thread that made it ends."""
    prctl(_PR_SET_PDEATHSIG, number)


def set_child_subreaper(on: bool = True) -> bool:
    """Become the parent of descendants whose own parent has ended; return whether this process was that before."""
    before = ctypes.c_int()
    call(_prctl, _PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0, what="PR_GET_CHILD_SUBREAPER")
    prctl(_PR_SET_CHILD_SUBREAPER, int(on))
    return bool(before.value)


def set_keep_capabilities(on: bool) -> None:
    """Keep permitted capabilities over a change from root to another user."""
    prctl(_PR_SET_KEEPCAPS, int(on))


def set_dumpable(on: bool) -> None:
    """Say whether others of the same user may look into this process by /proc."""
    prctl(_PR_SET_DUMPABLE, int(on))


def is_dumpable() -> bool:
    """Return whether others of the same user may look into this process by /proc."""
    return prctl(_PR_GET_DUMPABLE) == 1


def forget_arguments() -> list[tuple[int, bytes]]:
    """Blank this process's command line and first environment, which /proc shows to whoever sees the process.

    What `remember_arguments` puts back is returned.
    """
    fields = read_text("/proc/self/stat").rpartition(")")[2].split()
    found = []
    for start, end in ((int(first), int(last)) for first, last in (fields[45:47], fields[47:49])):
        if 0 < start < end:
            shown = (ctypes.c_char * (end - start)).from_address(start)
            found.append((start, shown.raw))
            shown.raw = bytes(end - start)
    return found


def remember_arguments(forgotten: list[tuple[int, bytes]]) -> None:
    """Undo `forget_arguments`."""
    for start, data in forgotten:
        (ctypes.c_char * len(data)).from_address(start).raw = data


def execute(folder: int, name: str, arguments: Sequence[str], environment: Sequence[str]) -> NoReturn:
    """Become the program of a name in a folder, with the environment exactly as given (execveat(2)).

    OSError where the kernel refuses it, where the name is a link, and, for a `folder` that closes on exec, where it
    is a script.
    """
    flags = _AT_SYMLINK_NOFOLLOW
    syscall("execveat", folder, os.fsencode(name), _strings(arguments), _strings(environment), flags)
    raise AssertionError("execveat returned")


def prepared_start(
    arguments: Sequence[str], environment: Sequence[str], *, more: bool
) -> tuple[Callable[[int, bytes, str], NoReturn], bytearray]:
    """Return what does as `execute` in a copy of this process, and names a path where it fails.

    With `more` the environment has what the copy writes into the memory that comes with it, which ends with a null.
    """
    words, variables = _strings(arguments), _strings([*environment, *([""] if more else ())])
    variable = bytearray(ctypes.sizeof(_Variable))
    if more:
        address = ctypes.addressof(_Variable.from_buffer(variable))
        place = len(environment) * ctypes.sizeof(ctypes.c_void_p)
        ctypes.c_void_p.from_buffer(variables, place).value = address
    lists = (ctypes.byref(words), ctypes.byref(variables), _AT_SYMLINK_NOFOLLOW)
    number, start = NUMBERS["execveat"], any_call

    def execute(folder: int, name: bytes, path: str) -> NoReturn:
        start(number, folder, name, *lists)
        raise OSError(error := ctypes.get_errno(), os.strerror(error), path)

    return execute, variable


def execute_path(path: str, arguments: Sequence[str], environment: Sequence[str]) -> NoReturn:
    """Become the program of a path, as `execute`, where execveat(2) can't be used; OSError as execve(2)."""
    call(libc.execve, os.fsencode(path), _strings(arguments), _strings(environment))
    raise AssertionError("execve returned")


def _strings(items: Sequence[str]) -> ctypes.Array[ctypes.c_char_p]:
    size = len(items) + 1
    kind = _Few if size <= _FEW else ctypes.c_char_p * size
    return kind(*[os.fsencode(item) for item in items])  # what is left of it is null


def set_domain_name(name: str) -> None:
    """Set the NIS domain name of this UTS namespace (setdomainname(2))."""
    data = os.fsencode(name)
    call(libc.setdomainname, data, len(data))


def readable(fd: int, timeout_s: float) -> bool:
    """Wait until a descriptor can be read, or has come to its end; False where it hasn't in time."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(min(max(0.0, timeout_s) * 1000, LONGEST_POLL_MS)))


def wait_ended(pidfd: int, timeout_s: float) -> bool:
    """Wait until any process has ended, child or not; False where it hasn't in time."""
    return readable(pidfd, timeout_s)
