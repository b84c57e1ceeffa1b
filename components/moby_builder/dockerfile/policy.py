"""What is kept without being asked: rules that are applied one after the other, first to what is cheapest to lose."""

import os
from pathlib import Path

from moby.contracts.builder import Keep

__all__ = ["rules"]

_HOUR_NS = 3600 * 10**9
_DAY_NS = 24 * _HOUR_NS
_CHEAP = ("source.local", "source.git.checkout", "exec.cachemount")
_CHEAP_BYTES = 512 << 20
_OF_A_DISK = 10
"""The part of it that is kept where nothing is said."""


def rules(keep_bytes: int, folder: Path) -> tuple[Keep, ...]:
    """Return the rules for so many bytes; 0 is a tenth of the disk that a folder is on."""
    most = keep_bytes or _tenth(folder)
    return (
        Keep(filters={"type": _CHEAP}, age_ns=2 * _DAY_NS, reserved_bytes=min(_CHEAP_BYTES, most)),
        Keep(age_ns=60 * _DAY_NS, reserved_bytes=most),
        Keep(reserved_bytes=most),
        Keep(all=True, reserved_bytes=most),
    )


def _tenth(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_blocks * found.f_frsize // _OF_A_DISK
