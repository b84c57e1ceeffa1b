"""How a process ended, as the kernel tells those who are not its parent."""

import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path

__all__ = ["code_of", "pid_of", "reaped_status", "zombie_status"]

_INFO = struct.Struct("=QQ11Ii")
"""struct pidfd_info, its first version (linux/pidfd.h)."""
_GET_INFO = 0xC000FF0B | _INFO.size << 16
_WITH_EXIT = 1 << 3


def code_of(status: int) -> int:
    """Return an exit code as a shell sees it, 128+n for signal n, of a status as wait(2) has it."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def reaped_status(pidfd: int) -> int | None:
    """Return the status of a process that has ended and was reaped, by whomever.

    None where it hasn't, and where the kernel, before 6.15, can't tell (pidfd_open(2), PIDFD_GET_INFO).
    """
    buffer = bytearray(_INFO.pack(_WITH_EXIT, *(0,) * 13))
    try:
        fcntl.ioctl(pidfd, _GET_INFO, buffer)
    except OSError:
        return None
    mask, *_, status = _INFO.unpack(buffer)
    return int(status) if mask & _WITH_EXIT else None


def zombie_status(pid: int) -> int | None:
    """Return the status of a process that has ended and waits to be reaped (proc_pid_stat(5), exit_code).

    None for any other, and where this user may not know, of whom the kernel would say 0.
    """
    with suppress(FileNotFoundError, ProcessLookupError, IndexError):
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        fields = text.rpartition(")")[2].split()
        if fields[0] == "Z" and _may_look(pid):
            return int(fields[49])
    return None


def _may_look(pid: int) -> bool:
    try:
        os.readlink(f"/proc/{pid}/exe")
    except FileNotFoundError:
        return True  # it is a zombie, and we were let through to see that
    except OSError:
        pass
    return False


def pid_of(pidfd: int) -> int:
    """Return whose a pidfd is; -1 where it was reaped (pidfd_open(2), fdinfo), 0 where it is no pidfd."""
    text = Path(f"/proc/self/fdinfo/{pidfd}").read_text(encoding="ascii")
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pid:")), 0)
