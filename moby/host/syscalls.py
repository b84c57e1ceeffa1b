"""System calls that Python's standard library lacks: the C library, numbers by architecture, and errors.

Whatever has a function in glibc and musl is called by name; numbers are only for the rest. Numbers from 424 on are
the same on every architecture.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from typing import Any
else:
    from moby.host import foreign as ctypes

__all__ = [
    "NUMBERS", "call", "current_folder", "fork_quietly", "holding_gil", "libc", "prepared", "syscall",
]  # fmt: skip

libc = ctypes.CDLL(None, use_errno=True)
holding_gil = ctypes.PyDLL(None, use_errno=True)
"""Its functions keep the interpreter's lock, for what goes on in another process."""

_PIVOT_ROOT = {"x86_64": 155, "i686": 217, "armv7l": 218, "ppc64le": 203, "s390x": 217}
_BPF = {"x86_64": 321, "i686": 357, "armv7l": 386, "ppc64le": 361, "s390x": 351}
_EXECVEAT = {"x86_64": 322, "i686": 358, "armv7l": 387, "ppc64le": 362, "s390x": 354}
_GETCWD = {"x86_64": 79, "i686": 183, "armv7l": 183, "ppc64le": 182, "s390x": 183}
_KEYCTL = {"x86_64": 250, "i686": 288, "armv7l": 311, "ppc64le": 271, "s390x": 280}
_SECCOMP = {"x86_64": 317, "i686": 354, "armv7l": 383, "ppc64le": 358, "s390x": 348}
_SCHED_SETATTR = {"x86_64": 314, "i686": 351, "armv7l": 380, "ppc64le": 355, "s390x": 345}
_IOPRIO_SET = {"x86_64": 251, "i686": 289, "armv7l": 314, "ppc64le": 273, "s390x": 282}
_SET_MEMPOLICY = {"x86_64": 238, "i686": 276, "armv7l": 321, "ppc64le": 261, "s390x": 270}
_STATX = {"x86_64": 332, "i686": 383, "armv7l": 397, "ppc64le": 383, "s390x": 379}
_MACHINE = os.uname().machine

NUMBERS = {
    "pivot_root": _PIVOT_ROOT.get(_MACHINE, 41),
    "bpf": _BPF.get(_MACHINE, 280),
    "execveat": _EXECVEAT.get(_MACHINE, 281),
    "getcwd": _GETCWD.get(_MACHINE, 17),
    "keyctl": _KEYCTL.get(_MACHINE, 219),
    "seccomp": _SECCOMP.get(_MACHINE, 277),
    "sched_setattr": _SCHED_SETATTR.get(_MACHINE, 274),
    "ioprio_set": _IOPRIO_SET.get(_MACHINE, 30),
    "set_mempolicy": _SET_MEMPOLICY.get(_MACHINE, 237),
    "statx": _STATX.get(_MACHINE, 291),
    "pidfd_send_signal": 424,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "pidfd_open": 434,
    "clone3": 435,
    "close_range": 436,
    "openat2": 437,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
}
"""Numbers of this machine; the defaults are those of the generic table (aarch64, riscv64)."""


def prepared(name: str, count: int, library: ctypes.CDLL = libc) -> Any:
    """Return a function of the C library for `call`, with so many arguments: integers, bytes, addresses.

    It is found here and now, as each copy of this process would have to find it anew, and called in half the time.
    """
    function = library[name]
    function.argtypes = (ctypes.c_void_p,) * count  # which is any of them, an integer as wide as a register
    return function


_MOST = 6
"""Arguments of a system call."""
_NOTHING = (0,) * _MOST
_Folder = ctypes.c_char * 4096
"""PATH_MAX."""
_syscall = prepared("syscall", 1 + _MOST)


def call(function: Any, *arguments: Any, what: str = "") -> int:
    """Call a function of the C library; OSError where it returns -1, with `what` as its file name."""
    if function.argtypes is None:
        # Integers are widened to a register, since variadic arguments carry no type.
        arguments = tuple([ctypes.c_long(each) if isinstance(each, int) else each for each in arguments])
    result: int = function(*arguments)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what or function.__name__)
    return result


def syscall(name: str, *arguments: Any, what: str = "") -> int:
    """Make a system call by name; OSError as `call`."""
    return call(_syscall, NUMBERS[name], *arguments, *_NOTHING[len(arguments) :], what=what or name)


def current_folder() -> str:
    """Return the working folder as the kernel says it: one outside this process's root starts with "(unreachable)".

    The C library's getcwd(3) would look for a path of its own instead.
    """
    buffer = _Folder()
    length = syscall("getcwd", buffer, len(buffer))
    return os.fsdecode(buffer.raw[: length - 1])


def fork_quietly() -> int:
    """Fork with all locks of the C library and the interpreter usable in the copy, and without os.fork's warning.

    It warns where there are threads, since few copies do with so little of Python as those of this project do. No
    bytecode may run between the fork and the interpreter's own repairs after it, so this can't be done by ctypes.
    """
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()
