"""Seccomp (seccomp(2), seccomp_unotify(2)): installing a filter, and what of it this kernel knows."""

from __future__ import annotations

import errno

from moby.host.syscalls import syscall

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from collections.abc import Collection
else:
    from moby.host import foreign as ctypes

__all__ = ["ACTIONS", "FLAGS", "actions", "flags", "install", "take_descriptor"]

ACTIONS = {
    "KILL_PROCESS": 0x80000000, "KILL_THREAD": 0x00000000, "TRAP": 0x00030000, "ERRNO": 0x00050000,
    "NOTIFY": 0x7FC00000, "TRACE": 0x7FF00000, "LOG": 0x7FFC0000, "ALLOW": 0x7FFF0000,
}  # fmt: skip
"""What a program may return, without the data in the lower half."""
FLAGS = {"TSYNC": 1, "LOG": 2, "SPEC_ALLOW": 4, "WAIT_KILLABLE_RECV": 32}
"""SECCOMP_FILTER_FLAG_*, of those that a caller chooses."""
_NEW_LISTENER, _TSYNC_ESRCH = 8, 16
_SET_MODE_FILTER, _GET_ACTION_AVAIL = 1, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def install(program: bytes, flags: Collection[str] = (), *, listen: bool = False) -> int:
    """Have the kernel run a program at every further system call of this thread and of all that comes of it.

    `program` is classic BPF, 8 bytes an instruction; `flags` are names of FLAGS. Return the descriptor that answers
    calls whose action is NOTIFY, with `listen`, else -1. It is closed on exec. There is no way back. OSError as
    seccomp(2): EACCES without both CAP_SYS_ADMIN and no_new_privs.
    """
    bits = sum(FLAGS[each] for each in set(flags))
    if listen:
        bits |= _NEW_LISTENER | (_TSYNC_ESRCH if bits & FLAGS["TSYNC"] else 0)
    else:
        bits &= ~FLAGS["WAIT_KILLABLE_RECV"]  # which is about the listener
    code = ctypes.create_string_buffer(program, len(program))
    wanted = _Program(len(program) // 8, ctypes.addressof(code))
    result = syscall("seccomp", _SET_MODE_FILTER, bits, ctypes.byref(wanted))
    return result if listen else -1


_known: dict[str, frozenset[str]] = {}
"""What was found out of the kernel once; functools would cost more than the questions."""


def flags() -> frozenset[str]:
    """Return which of FLAGS this kernel knows."""
    if "flags" not in _known:
        _known["flags"] = _flags()
    return _known["flags"]


def _flags() -> frozenset[str]:
    found = set()
    for name, bit in FLAGS.items():
        try:
            syscall("seccomp", _SET_MODE_FILTER, bit | (_NEW_LISTENER if name == "WAIT_KILLABLE_RECV" else 0), None)
        except OSError as error:  # it looks at the program, which isn't there, only after the flags
            if error.errno == errno.EFAULT:
                found.add(name)
    return frozenset(found)


def actions() -> frozenset[str]:
    """Return which of ACTIONS this kernel knows."""
    if "actions" not in _known:
        _known["actions"] = _actions()
    return _known["actions"]


def _actions() -> frozenset[str]:
    found = set()
    for name, value in ACTIONS.items():
        try:
            syscall("seccomp", _GET_ACTION_AVAIL, 0, ctypes.byref(ctypes.c_uint32(value)))
        except OSError:
            continue
        found.add(name)
    return frozenset(found)


def take_descriptor(pidfd: int, number: int) -> int:
    """Return a copy of another process's descriptor (pidfd_getfd(2)); OSError, EBADF where it hasn't such a one."""
    return syscall("pidfd_getfd", pidfd, number, 0)
