"""A process for a moment on the memory of its maker, who waits: a copy of this process takes twenty times as long.

As vfork(2), in a way that the interpreter bears: the process has a stack of its own, begins in a function of Python
and ends by returning from it, with the interpreter as it found it. It has its own descriptors, namespaces, ids,
control group and folder; memory, and so whether it can be looked into, it shares.
"""

from __future__ import annotations

import gc
import mmap
import os
import sys

from moby.host.lean import signals
from moby.host.syscalls import call, holding_gil

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable
else:
    from moby.host import foreign as ctypes

__all__ = ["possible", "run"]

_CLONE_VM = 0x00000100
_CLONE_VFORK = 0x00004000
_CLONE_PIDFD = 0x00001000
_MAP_NORESERVE = 0x04000
_MAP_STACK = 0x20000
_STACK = 8 << 20
"""As much as a first thread has; what isn't touched takes nothing."""
_Body = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
_ALL = signals.valid_signals()


def possible() -> bool:
    """Whether the interpreter can do it: from 3.14 on it looks where its stack is, and some hosts deny it."""
    if sys.version_info >= (3, 14) or sys.implementation.name != "cpython":
        return False
    try:
        _Body(int)
    except (MemoryError, OSError):  # memory that is written and run, which SELinux may deny
        return False
    return True


def run(body: Callable[[], None], flags: int = 0) -> tuple[int, int]:
    """Have another process call `body`, and return its pid and a pidfd once it has; what `body` raises is raised.

    What it has opened is closed by then, whatever numbers it left in this one's memory. The caller must be
    single-threaded, and reaps it. `flags` may be CLONE_PARENT. OSError as clone(2). Where somebody kills the other
    process amid `body`, the caller ends at once with code 137.
    """
    if not _stacks:
        stack = mmap.mmap(-1, _STACK, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE | _MAP_STACK)
        _stacks.append((stack, ctypes.addressof(ctypes.c_char.from_buffer(stack)) + _STACK))
    return _run(body, flags, _stacks[0][1])


_stacks: list[tuple[mmap.mmap, int]] = []
"""Kept for the next time, with its end: what was touched of it needn't be made again."""


def _run(body: Callable[[], None], flags: int, top: int) -> tuple[int, int]:
    failed: list[BaseException] = []
    through: list[bool] = []

    def guarded(_: object) -> int:
        try:
            body()
        except BaseException as error:
            failed.append(error)
        through.append(True)
        return 0

    function, pidfd = _Body(guarded), ctypes.c_int(-1)
    flags |= _CLONE_VM | _CLONE_VFORK | _CLONE_PIDFD | signals.SIGCHLD
    collects = gc.isenabled()
    before = signals.pthread_sigmask(signals.SIG_BLOCK, ())
    try:
        gc.disable()  # what is collected there would be closed only there
        signals.pthread_sigmask(signals.SIG_SETMASK, _ALL)  # which may raise what a handler of the caller's does
        pid = call(holding_gil.clone, function, ctypes.c_void_p(top), flags, None, ctypes.byref(pidfd), what="clone")
        if not through:
            os._exit(137)  # somebody killed it in the middle of what this interpreter is: nothing of it holds any more
        if failed:
            raise failed[0]
        signals.pthread_sigmask(signals.SIG_SETMASK, before)
    except BaseException:
        if pidfd.value >= 0:
            from moby.host import processes

            processes.dismiss(pidfd.value)
        raise
    finally:
        if collects:
            gc.enable()
        signals.pthread_sigmask(signals.SIG_SETMASK, before)
    return pid, pidfd.value
