"""The architectures of seccomp: by what the kernel tells them apart, and the numbers of their system calls.

Sources: audit.h of Linux for the tokens, seccomp(2), config-linux.md of the runtime specification for the names.
"""

from __future__ import annotations

import os
import sys

from moby.errors import HostUnfit
from moby.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ARCHITECTURES", "Architecture", "call_numbers", "current", "native"]

_64BIT, _LITTLE, _N32 = 0x80000000, 0x40000000, 0x20000000
X32_BIT = 0x40000000

_SOCKET_CALLS = (
    "socket", "bind", "connect", "listen", "accept", "getsockname", "getpeername", "socketpair", "send", "recv",
    "sendto", "recvfrom", "shutdown", "setsockopt", "getsockopt", "sendmsg", "recvmsg", "accept4", "recvmmsg",
    "sendmmsg",
)  # fmt: skip
SOCKETCALL = {name: number for number, name in enumerate(_SOCKET_CALLS, 1)}
"""First argument of socketcall(2)."""
IPC = {
    "semop": 1, "semget": 2, "semctl": 3, "semtimedop": 4, "msgsnd": 11, "msgrcv": 12, "msgget": 13, "msgctl": 14,
    "shmat": 21, "shmdt": 22, "shmget": 23, "shmctl": 24,
}  # fmt: skip
"""First argument of ipc(2)."""


@frozen
class Architecture:
    """One way to make system calls."""

    name: str
    """As the specification has it, without SCMP_ARCH_."""
    token: int
    """AUDIT_ARCH_*, as the kernel says it in `seccomp_data.arch`."""
    table: str
    """Which table has its numbers; two byte orders share one."""
    base: int = 0
    """What is added to the table's numbers."""
    narrow: bool = False
    """Whether arguments have 32 bits."""
    multiplexed: bool = False
    """Whether socketcall(2) and ipc(2) make many calls in one."""

    @property
    def little(self) -> bool:
        """Whether its byte order is little-endian."""
        return bool(self.token & _LITTLE)


def _architectures() -> Mapping[str, Architecture]:
    rows = (
        Architecture("X86_64", 62 | _64BIT | _LITTLE, "X86_64"),
        Architecture("X86", 3 | _LITTLE, "X86", narrow=True, multiplexed=True),
        Architecture("X32", 62 | _64BIT | _LITTLE, "X32", base=X32_BIT, narrow=True),
        Architecture("ARM", 40 | _LITTLE, "ARM", narrow=True),
        Architecture("AARCH64", 183 | _64BIT | _LITTLE, "AARCH64"),
        Architecture("MIPS", 8, "MIPS", base=4000, narrow=True, multiplexed=True),
        Architecture("MIPS64", 8 | _64BIT, "MIPS64", base=5000),
        Architecture("MIPS64N32", 8 | _64BIT | _N32, "MIPS64N32", base=6000, narrow=True),
        Architecture("MIPSEL", 8 | _LITTLE, "MIPS", base=4000, narrow=True, multiplexed=True),
        Architecture("MIPSEL64", 8 | _64BIT | _LITTLE, "MIPS64", base=5000),
        Architecture("MIPSEL64N32", 8 | _64BIT | _LITTLE | _N32, "MIPS64N32", base=6000, narrow=True),
        Architecture("PPC", 20, "PPC", narrow=True, multiplexed=True),
        Architecture("PPC64", 21 | _64BIT, "PPC64", multiplexed=True),
        Architecture("PPC64LE", 21 | _64BIT | _LITTLE, "PPC64", multiplexed=True),
        Architecture("S390", 22, "S390", narrow=True, multiplexed=True),
        Architecture("S390X", 22 | _64BIT, "S390X", multiplexed=True),
        Architecture("PARISC", 15, "PARISC", narrow=True),
        Architecture("PARISC64", 15 | _64BIT, "PARISC64"),
        Architecture("RISCV64", 243 | _64BIT | _LITTLE, "RISCV64"),
        Architecture("LOONGARCH64", 258 | _64BIT | _LITTLE, "LOONGARCH64"),
        Architecture("M68K", 4, "M68K", narrow=True, multiplexed=True),
        Architecture("SH", 42 | _LITTLE, "SH", narrow=True, multiplexed=True),
        Architecture("SHEB", 42, "SH", narrow=True, multiplexed=True),
    )
    return {each.name: each for each in rows}


ARCHITECTURES = _architectures()

_MACHINES = {
    "x86_64": "X86_64", "aarch64": "AARCH64", "riscv64": "RISCV64", "ppc64le": "PPC64LE", "ppc64": "PPC64",
    "ppc": "PPC", "s390x": "S390X", "s390": "S390", "loongarch64": "LOONGARCH64", "parisc": "PARISC",
    "parisc64": "PARISC64", "m68k": "M68K",
}  # fmt: skip


def native(machine: str, *, little: bool, wide: bool = True) -> Architecture:
    """Return the architecture of a machine, as uname(2) has it; KeyError for one that there is no seccomp for.

    `little` is the byte order of this process and `wide` whether its pointers have 64 bits: a kernel of 64 bits says
    its own name to a process of 32, too.
    """
    if machine == "x86_64" or (machine.startswith("i") and machine.endswith("86")):
        return ARCHITECTURES["X86_64" if wide else "X86"]
    if machine.startswith("arm") or (machine == "aarch64" and not wide):
        return ARCHITECTURES["ARM"]
    if machine.startswith("mips"):
        return ARCHITECTURES[f"MIPS{'EL' if little else ''}{'64' if wide else ''}"]
    if machine.startswith("sh"):
        return ARCHITECTURES["SH" if little else "SHEB"]
    return ARCHITECTURES[_MACHINES[machine]]


def current() -> Architecture:
    """Return the architecture of this process; HostUnfit where there is no seccomp for it."""
    machine = os.uname().machine
    try:
        return native(machine, little=sys.byteorder == "little", wide=sys.maxsize > 2**32)
    except KeyError:
        raise HostUnfit(
            f"there are no seccomp filters for {machine}", hint="run containers without a seccomp profile"
        ) from None


_numbers: dict[str, Mapping[str, int]] = {}


def call_numbers(architecture: Architecture) -> Mapping[str, int]:
    """Return the numbers of system calls by name, which are read once."""
    if architecture.name not in _numbers:
        _numbers[architecture.name] = _read(architecture)
    return _numbers[architecture.name]


def _read(architecture: Architecture) -> Mapping[str, int]:
    from moby.oci.seccomp.tables import TABLES

    found = {}
    number = architecture.base
    for word in TABLES[architecture.table].split():
        if word.isdigit():
            number = architecture.base + int(word)
        else:
            found[word] = number
            number += 1
    return found
