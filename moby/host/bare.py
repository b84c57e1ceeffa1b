"""System calls that a fresh copy of this process makes, prepared before there is one.

Whatever a copy touches first costs it a page fault, and the interpreter's own way to a system call leads over dozens
of pages. These are functions with arguments that need no conversion, called from one loop.

A call is a function, its arguments, and what it returns, where 0 stands for anything but an error. A step is some
calls, or None, and what does the same in the usual way, and says what is wrong.
"""

from __future__ import annotations

import os
import sys

from moby.host.lean import signals
from moby.host.syscalls import NUMBERS, holding_gil

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable, Collection, Iterable
    from typing import Any

    Call = tuple[Any, tuple[Any, ...], int]
    Calls = tuple[Call, ...]
    Step = tuple[Calls | None, Callable[[], object]]
else:
    from moby.host import foreign as ctypes

__all__ = [
    "any_call", "close", "close_others", "ends_with", "enter_folder", "expect_folder", "hide", "join", "lowest_free",
    "set_user", "start_session", "take", "take_usual", "unblock_signals", "write",
]  # fmt: skip

any_call = holding_gil["syscall"]
"""By its number; integers are no wider than C's."""
_close, _fchdir, _poll, _prctl, _setns, _setresuid, _setsid, _sigprocmask, _write = [
    holding_gil[name]
    for name in ("close", "fchdir", "poll", "prctl", "setns", "setresuid", "setsid", "sigprocmask", "write")
]
_PR_SET_DUMPABLE = 4
_NO_SIGNALS = bytes(128)
"""As large as any C library's set."""
_LAST = 0x7FFFFFFF
_LONGEST = 4096


def take(steps: Iterable[Step]) -> None:
    """Take steps; each in the usual way where a call of it fails, or returns what wasn't foreseen."""
    for calls, usual in steps:
        if calls is None:
            usual()
            continue
        for function, arguments, foreseen in calls:
            result = function(*arguments)
            if result != foreseen and (foreseen or result < 0):
                usual()
                break


def take_usual(steps: Iterable[Step]) -> None:
    """Take steps in the usual way, as fits a process that has done such things before."""
    for _, usual in steps:
        usual()


def lowest_free(taken: Collection[int]) -> int:
    """Return the number that the next descriptor gets."""
    return next(number for number in range(len(taken) + 1) if number not in taken)


def unblock_signals() -> Calls:
    """Let all signals through."""
    return ((_sigprocmask, (int(signals.SIG_SETMASK), _NO_SIGNALS, None), 0),)


def write(fd: int, data: bytes) -> Call:
    """Write something."""
    return (_write, (fd, data, len(data)), len(data))


def join(fd: int, flags: int) -> Call:
    """Enter namespaces, as namespaces.join."""
    return (_setns, (fd, flags), 0)


def close(fd: int) -> Call:
    """Close one descriptor."""
    return (_close, (fd,), 0)


def ends_with(report: int) -> Callable[[], None]:
    """Return what ends this process where nobody has the other end of a pipe any more, as after its maker's death."""
    asked = bytearray(report.to_bytes(4, sys.byteorder) + bytes(4))  # struct pollfd, by which POLLERR is always told
    at, poll, end = ctypes.byref((ctypes.c_char * 8).from_buffer(asked)), _poll, os._exit

    def look() -> None:
        if poll(at, 1, 0) > 0:
            end(70)

    return look


def close_others(keep: Collection[int]) -> Calls:
    """Close descriptors, as processes.close_other_descriptors."""
    calls, first, number = [], 3, NUMBERS["close_range"]
    for fd in sorted({fd for fd in keep if fd >= 3}):
        if fd > first:
            calls.append((any_call, (number, first, fd - 1, 0), 0))
        first = fd + 1
    return (*calls, (any_call, (number, first, _LAST, 0), 0))


def start_session() -> Calls:
    """Lead a new session, which a process that was only just made doesn't."""
    return ((_setsid, (), 0),)


def set_user(uid: int) -> Calls:
    """Become a user, by all three ids."""
    _setresuid(-1, -1, -1)  # changes nothing, but has the linker look for it here, and not in each copy
    return ((_setresuid, (uid, uid, uid), 0),)


def hide() -> Calls:
    """Have nobody look into this process, as processes.set_dumpable."""
    return ((_prctl, (_PR_SET_DUMPABLE, 0, 0, 0, 0), 0),)


def enter_folder(fd: int) -> Calls:
    """Make a folder the working one."""
    _fchdir(-1)  # as with `set_user`; it fails, and nobody minds
    return ((_fchdir, (fd,), 0),)


def expect_folder(path: str) -> Call:
    """See that the kernel's name of the working folder is as long as a path; the usual way looks at it whole.

    A name of that length may still be another: what keeps it inside the root is how it was opened.
    """
    return (
        any_call,
        (NUMBERS["getcwd"], ctypes.byref(ctypes.create_string_buffer(_LONGEST)), _LONGEST),
        len(os.fsencode(path)) + 1,
    )
