"""A container's own clocks (config-linux.md, Offset for Time Namespace; time_namespaces(7))."""

from __future__ import annotations

import errno
import os

from moby.host import namespaces
from moby_runtime.records.failures import doing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["enter_time"]

_TIME = namespaces.FLAGS["time"]


def enter_time(offsets: Mapping[str, Any]) -> None:
    """Move this process into a time namespace of its own, whose clocks are ahead as config.json says.

    /proc must be the host's still. HostUnfit comes of a kernel without them.
    """
    with doing("make a time namespace", "linux.namespaces"):
        try:
            namespaces.unshare(_TIME)
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise OSError(errno.EOPNOTSUPP, "this kernel has none") from error
            raise
    with doing("set the clocks", "linux.timeOffsets"):
        if offsets:
            lines = (f"{clock} {each.get('secs', 0)} {each.get('nanosecs', 0)}\n" for clock, each in offsets.items())
            fd = os.open("/proc/self/timens_offsets", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, "".join(lines).encode())
            finally:
                os.close(fd)
    with doing("enter the time namespace", "linux.namespaces"):
        # So far it is only for children, and for what it executes, on newer kernels alone.
        fd = os.open("/proc/self/ns/time_for_children", os.O_RDONLY | os.O_CLOEXEC)
        try:
            namespaces.join(fd, _TIME)
        finally:
            os.close(fd)
