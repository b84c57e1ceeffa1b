"""How the kernel treats a process: its turn at processors and disks, where its memory is, what it seems to run on.

Each is inherited by what the process starts, and outlives exec.
"""

import ctypes
from collections.abc import Collection, Mapping

from moby.host.syscalls import call, libc, syscall

__all__ = [
    "IO_CLASSES", "MEMORY_FLAGS", "MEMORY_MODES", "PERSONALITIES", "POLICIES", "POLICY_FLAGS", "set_io_priority",
    "set_memory_policy", "set_personality", "set_scheduler",
]  # fmt: skip

POLICIES: Mapping[str, int] = {
    "SCHED_OTHER": 0, "SCHED_FIFO": 1, "SCHED_RR": 2, "SCHED_BATCH": 3, "SCHED_ISO": 4, "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}  # fmt: skip
"""sched(7); no kernel has SCHED_ISO."""
POLICY_FLAGS: Mapping[str, int] = {
    f"SCHED_FLAG_{name}": 1 << bit
    for bit, name in enumerate(
        ("RESET_ON_FORK", "RECLAIM", "DL_OVERRUN", "KEEP_POLICY", "KEEP_PARAMS", "UTIL_CLAMP_MIN", "UTIL_CLAMP_MAX")
    )
}
"""sched_setattr(2)."""
IO_CLASSES: Mapping[str, int] = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
"""ioprio_set(2)."""
MEMORY_MODES: Mapping[str, int] = {
    f"MPOL_{name}": number
    for number, name in enumerate(
        ("DEFAULT", "PREFERRED", "BIND", "INTERLEAVE", "LOCAL", "PREFERRED_MANY", "WEIGHTED_INTERLEAVE")
    )
}
"""set_mempolicy(2)."""
MEMORY_FLAGS: Mapping[str, int] = {
    "MPOL_F_STATIC_NODES": 1 << 15, "MPOL_F_RELATIVE_NODES": 1 << 14, "MPOL_F_NUMA_BALANCING": 1 << 13,
}  # fmt: skip
PERSONALITIES: Mapping[str, int] = {"LINUX": 0x0000, "LINUX32": 0x0008}
"""personality(2)."""

_IOPRIO_WHO_PROCESS = 1
_IOPRIO_CLASS_SHIFT = 13
_WORD = 64


class _SchedulerAttributes(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_uint32), ("policy", ctypes.c_uint32), ("flags", ctypes.c_uint64), ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32), ("runtime", ctypes.c_uint64), ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64), ("least", ctypes.c_uint32), ("most", ctypes.c_uint32),
    )  # fmt: skip


def set_scheduler(
    policy: int, *, flags: int = 0, nice: int = 0, priority: int = 0, runtime_ns: int = 0, deadline_ns: int = 0,
    period_ns: int = 0,
) -> None:  # fmt: skip
    """Set how the calling thread is scheduled (sched_setattr(2))."""
    attributes = _SchedulerAttributes(
        ctypes.sizeof(_SchedulerAttributes), policy, flags, nice, priority, runtime_ns, deadline_ns, period_ns
    )  # fmt: skip
    syscall("sched_setattr", 0, ctypes.byref(attributes), 0)


def set_io_priority(kind: int, level: int) -> None:
    """Set the class and level, 0 the first and 7 the last, of the calling thread's input and output (ioprio_set(2))."""
    syscall("ioprio_set", _IOPRIO_WHO_PROCESS, 0, kind << _IOPRIO_CLASS_SHIFT | level)


def set_memory_policy(mode: int, nodes: Collection[int]) -> None:
    """Set on which nodes the calling thread gets memory (set_mempolicy(2)); `mode` may have flags in it."""
    if not nodes:
        syscall("set_mempolicy", mode, None, 0)
        return
    size = max(nodes) // _WORD + 1
    words = (ctypes.c_uint64 * size)()
    for node in nodes:
        words[node // _WORD] |= 1 << node % _WORD
    # The kernel takes one bit less than it is told (set_mempolicy(2), BUGS).
    syscall("set_mempolicy", mode, ctypes.byref(words), size * _WORD + 1)


def set_personality(persona: int) -> None:
    """Set what kind of system the calling thread sees (personality(2))."""
    call(libc.personality, persona)
