"""Capabilities (capabilities(7)): names, and the five sets of the calling process."""

from __future__ import annotations

import errno
import os

from moby.host.processes import prctl
from moby.host.syscalls import call, holding_gil, prepared

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from collections.abc import Collection, Iterable

    from moby.host.bare import Calls
else:
    from moby.host import foreign as ctypes

__all__ = [
    "NAMES", "Sets", "apply", "bounding", "clear_ambient", "drop_bounding", "effective", "numbers", "permitted",
    "raise_ambient", "raise_effective",
]  # fmt: skip

NAMES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip
"""In the order of their numbers."""

_VERSION_3 = 0x20080522
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT = 47
_AMBIENT_RAISE = 2
_AMBIENT_CLEAR_ALL = 4
_capget, _capset = prepared("capget", 2), prepared("capset", 2)
_bare_capset, _bare_prctl = holding_gil["capset"], holding_gil["prctl"]


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Words(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


_Sets = _Words * 2
"""Made once: a class takes a copy of this process longer than all else here."""


def numbers(names: Iterable[str]) -> frozenset[int]:
    """Return the numbers of capabilities; KeyError for a name that there is none of."""
    known = {name: number for number, name in enumerate(NAMES)}
    return frozenset(known[name] for name in names)


def _current() -> tuple[int, int, int]:
    """Read the effective, permitted and inheritable sets as bit masks."""
    words = _Sets()
    call(_capget, ctypes.byref(_Header(_VERSION_3, 0)), ctypes.byref(words), what="capget")
    return (
        words[0].effective | words[1].effective << 32,
        words[0].permitted | words[1].permitted << 32,
        words[0].inheritable | words[1].inheritable << 32,
    )


def _members(mask: int) -> frozenset[int]:
    return frozenset([number for number in range(mask.bit_length()) if mask >> number & 1])


def effective() -> frozenset[int]:
    """Return the effective set of this process."""
    return _members(_current()[0])


def permitted() -> frozenset[int]:
    """Return the permitted set of this process."""
    return _members(_current()[1])


def bounding() -> frozenset[int]:
    """Return the bounding set of this process."""
    found = set()
    for number in range(64):
        try:
            if prctl(_PR_CAPBSET_READ, number):
                found.add(number)
        except OSError:  # past the last one that this kernel knows
            break
    return frozenset(found)


def drop_bounding(keep: Collection[int]) -> None:
    """Take everything but `keep` out of the bounding set."""
    for number in sorted(frozenset(range(64)) - frozenset(keep)):
        # Some forty calls, and at the end one that fails: by `prctl` and its error they would take thrice as long.
        if _bare_prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) == 0:
            continue
        error = ctypes.get_errno()
        if error == errno.EINVAL:  # past the last one that this kernel knows
            return
        if number in bounding():  # who may not drop any may still lack it
            raise OSError(error, os.strerror(error), f"prctl({_PR_CAPBSET_DROP})")


class Sets:
    """Three of a process's sets as the kernel takes them, made before it is the moment to."""

    __slots__ = ("_words",)

    def __init__(self, *, effective: Collection[int], permitted: Collection[int], inheritable: Collection[int]) -> None:
        self._words = words = _Sets()
        for name, members in (("effective", effective), ("permitted", permitted), ("inheritable", inheritable)):
            mask = sum([1 << number for number in members])
            for index in range(2):
                setattr(words[index], name, mask >> 32 * index & 0xFFFFFFFF)

    @property
    def calls(self) -> Calls:
        """What applies them, for a copy of this process."""
        return ((_bare_capset, (ctypes.byref(_Header(_VERSION_3, 0)), ctypes.byref(self._words)), 0),)

    def apply(self) -> None:
        """Have this process have them (capset(2))."""
        call(_capset, ctypes.byref(_Header(_VERSION_3, 0)), ctypes.byref(self._words), what="capset")


def apply(*, effective: Collection[int], permitted: Collection[int], inheritable: Collection[int]) -> None:
    """Set three of this process's sets (capset(2))."""
    Sets(effective=effective, permitted=permitted, inheritable=inheritable).apply()


def raise_effective(members: Collection[int]) -> None:
    """Add permitted ones to the effective set; nothing is done for those that are there."""
    had, permitted, inheritable = (_members(mask) for mask in _current())
    if not had.issuperset(members):
        apply(effective=had.union(members), permitted=permitted, inheritable=inheritable)


def clear_ambient() -> None:
    """Empty the ambient set."""
    prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)


def raise_ambient(members: Collection[int]) -> None:
    """Add to the ambient set; each must be permitted and inheritable."""
    for number in sorted(members):
        prctl(_PR_CAP_AMBIENT, _AMBIENT_RAISE, number)
