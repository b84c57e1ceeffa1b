"""Being told when the kernel kills a process of a cgroup for want of memory."""

import ctypes
import errno
import os
from contextlib import ExitStack

from moby.host.cgroups import Group
from moby.host.syscalls import call, libc

__all__ = ["watch"]

_IN_MODIFY = 0x2


def watch(group: Group) -> int:
    """Return a descriptor that becomes readable at an OOM kill; FileNotFoundError without a memory controller.

    It never blocks. With version 1 it is an eventfd, which becomes readable when the group is removed, too (kernel,
    admin-guide/cgroup-v1/memory.rst, OOM Control); with version 2 an inotify(7) of memory.events and cgroup.events,
    which also change at other limits, and when no process is left.
    """
    control = group.file("memory.oom_control")
    if control is not None:
        return _by_eventfd(control)
    events = group.file("memory.events")
    if events is not None:
        return _by_inotify(events)
    raise FileNotFoundError(errno.ENOENT, "no memory controller", "memory.events")


def _by_eventfd(control: str) -> int:
    fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    try:
        with ExitStack() as undo:
            source = os.open(control, os.O_RDONLY | os.O_CLOEXEC)
            undo.callback(os.close, source)
            asked = os.open(f"{_folder(control)}/cgroup.event_control", os.O_WRONLY | os.O_CLOEXEC)
            undo.callback(os.close, asked)
            os.write(asked, f"{fd} {source}".encode())
    except BaseException:
        os.close(fd)
        raise
    return fd


def _by_inotify(events: str) -> int:
    fd = call(libc.inotify_init1, os.O_NONBLOCK | os.O_CLOEXEC, what="inotify_init1")
    try:
        for path in (events, f"{_folder(events)}/cgroup.events"):
            call(libc.inotify_add_watch, fd, ctypes.c_char_p(os.fsencode(path)), _IN_MODIFY, what=path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
