"""The kernel as a judge: a copy of this process installs a program, makes calls, and tells how each of them went.

The calls are of a kind that takes no arguments, so that letting one through does nothing, whatever it is given.
"""

import ctypes
import errno
import functools
import mmap
import os
import platform
import resource
import signal
import struct
from collections.abc import Sequence

import pytest
from seccomp_machine import Call, verdict

from moby.host import seccomp
from moby.host.syscalls import libc
from moby.oci.seccomp.architectures import ARCHITECTURES, call_numbers
from moby.oci.seccomp.bpf import RETURN
from moby.oci.seccomp.profile import ALLOW, ERRNO, KILL_PROCESS, KILL_THREAD, LOG, NOTIFY, TRACE, TRAP

HARMLESS = ("getppid", "getuid", "geteuid", "getgid", "getegid", "getpgrp", "sched_yield", "munlockall")
NEEDED = (
    "exit_group", "exit", "mmap", "munmap", "mremap", "brk", "madvise", "futex", "rt_sigaction", "rt_sigprocmask",
    "rt_sigreturn", "write", "read", "mprotect", "seccomp", "restart_syscall", "sigreturn", "tgkill", "getpid",
    "gettid",
)  # fmt: skip
"""What the copy itself may do, for profiles that refuse by default."""
TRAPPED, KILLED = "trapped", "killed"

needs_x86_64 = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="enters the kernel by machine code of x86_64; no guest has another machine"
)

# Arguments as the C ABI of x86_64 has them, moved to where the kernel wants those of a call by int 0x80.
_BY_INT_80 = bytes.fromhex("53 55 89f8 89f3 4189d2 89ca 4489d1 4489c6 4489cf 8b6c2418 cd80 5d 5b c3")


class _Entries:
    """The ways into the kernel; what they need is made before a filter is there."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._page.write(_BY_INT_80)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._page))
        self._old = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_uint] * 7)(address)

    def make(self, call: Call) -> int:
        """Make a call; return what the kernel does, an error as its negative number."""
        if call.token == ARCHITECTURES["X86"].token:
            return self._old(call.number, *(each & 0xFFFFFFFF for each in call.arguments))
        ctypes.set_errno(0)
        result = libc.syscall(ctypes.c_long(call.number), *(ctypes.c_ulong(each) for each in call.arguments))
        return -ctypes.get_errno() if result == -1 else result


def outcomes(program: bytes, calls: Sequence[Call], *, flags: Sequence[str] = ()) -> list[int | str]:
    """Return how each call went. One that the program kills for is made in a copy of its own."""
    mortal = [verdict(program, call) in (KILL_PROCESS, KILL_THREAD) for call in calls]
    together = iter(_in_copy(program, [call for call, kills in zip(calls, mortal, strict=True) if not kills], flags))
    return [
        _in_copy(program, [call], flags)[0] if kills else next(together)
        for call, kills in zip(calls, mortal, strict=True)
    ]  # fmt: skip


@functools.cache
def takes_int_80() -> bool:
    """Say whether the kernel runs programs of i386 (CONFIG_IA32_EMULATION)."""
    entries = _Entries()
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        entries.make(Call(call_numbers(ARCHITECTURES["X86"])["getpid"], ARCHITECTURES["X86"].token))
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


def expected(program: bytes, call: Call, unfiltered: int | str) -> int | str:
    """Return how a call must go by what the program says of it."""
    value = verdict(program, call)
    kind, data = value & 0xFFFF0000, value & 0xFFFF
    if kind in (ALLOW, LOG):
        return unfiltered
    if kind in (TRACE, NOTIFY):  # there is neither a tracer nor a listener
        return -errno.ENOSYS
    if kind == ERRNO:
        return -data
    return {TRAP: TRAPPED}.get(kind, KILLED)


def _in_copy(program: bytes, calls: Sequence[Call], flags: Sequence[str]) -> list[int | str]:
    """Make calls in one copy; from the one that it died of on, all are `killed`."""
    shared = mmap.mmap(-1, 16 * len(calls) + 16)
    entries = _Entries()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            _be_copy(entries, program, calls, flags, shared)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    done = [struct.unpack_from("qq", shared, 16 * index) for index in range(len(calls))]
    results: list[int | str] = [TRAPPED if state == 2 else value for state, value in done if state]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGSYS, f"it died of signal {os.WTERMSIG(status)}"
        results += [KILLED] * (len(calls) - len(results))
    else:
        assert os.WEXITSTATUS(status) == 0, "the copy failed"
    return results


def _be_copy(
    entries: _Entries, program: bytes, calls: Sequence[Call], flags: Sequence[str], shared: mmap.mmap
) -> None:  # fmt: skip
    trapped: list[int] = []
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGSYS, lambda number, frame: trapped.append(number))
    seccomp.install(program, flags)
    for index, call in enumerate(calls):
        result = entries.make(call)
        state = 2 if trapped else 1
        trapped.clear()
        struct.pack_into("qq", shared, 16 * index, state, result)


def unfiltered(calls: Sequence[Call]) -> list[int | str]:
    """Return how calls go in a copy whose program lets all of them through."""
    return _in_copy(struct.pack("=HBBI", RETURN, 0, 0, ALLOW), calls, ())


def harmless(architecture: str) -> list[int]:
    """Return the numbers of harmless calls of an architecture."""
    numbers = call_numbers(ARCHITECTURES[architecture])
    return [numbers[name] for name in HARMLESS if name in numbers]
