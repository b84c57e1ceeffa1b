"""Which capabilities a container's first process ends up with (capabilities(7))."""

import os

from moby.errors import HostUnfit

from bwrap_runtime.bundle import Bundle
from bwrap_runtime.processes import status_field
from bwrap_runtime.refusals import unsupported

__all__ = ["NAMES", "asked", "held"]

NAMES = tuple(
    f"CAP_{name}"
    for name in (
        "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
        "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
        "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
        "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
        "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
        "CHECKPOINT_RESTORE",
    )
)  # fmt: skip
"""By number."""


def held() -> tuple[str, ...]:
    """Return what this process may use itself."""
    mask = int(status_field(os.getpid(), "CapPrm"), 16)
    return tuple(name for number, name in enumerate(NAMES) if mask >> number & 1)


def asked(bundle: Bundle, *, own: bool) -> tuple[tuple[str, ...], int]:
    """Return the set that the program has once it runs, by name and as a mask.

    A program of user 0 gets the bounding set when it is executed, any other one the ambient set; and since
    bubblewrap forbids new privileges, that is all that it can ever have. `own` is
    whether it has a user namespace, in which all can be had.
    """
    where = "process.capabilities"
    root = bundle.get("process.user.uid", int, 0) == 0
    sets = {name: bundle.strings(f"{where}.{name}") for name in ("bounding", "effective", "permitted", "ambient")}
    for name, members in sets.items():
        for index, member in enumerate(members):
            if member not in NAMES:
                raise bundle.wrong(f"{where}.{name}[{index}]", f"is {member!r}, which is no capability")
    if root and not set(sets["bounding"]) >= set(sets["effective"]) | set(sets["permitted"]):
        raise unsupported(f"{where}.bounding", "it can't be smaller than the effective and permitted sets")
    chosen = set(sets["bounding"] if root else sets["ambient"])
    if not own:
        missing = chosen - set(held())
        if missing:
            raise HostUnfit(f"{where}: the caller itself lacks {min(missing)}", hint="ask for less, or give it more")
    return tuple(name for name in NAMES if name in chosen), sum(1 << NAMES.index(name) for name in chosen)
