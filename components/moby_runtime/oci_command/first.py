"""What the kernel says of processes that the command has left behind."""

import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

from moby.errors import Unavailable
from moby.host.cgroups import Group, hierarchies
from moby.host.processes import process_stat, reap, send_signal

__all__ = ["becomes_program", "discard", "groups_of", "remove_groups"]

_STEP_S = 0.001
_PATIENCE_S = 60.0
_UNIFIED = Path("/sys/fs/cgroup/unified")


def becomes_program(pid: int, *, waits: bool = False) -> bool:
    """Wait until a process is the user's program; False where it ends without ever having become one.

    Until then it is a copy of the command's, which tells nobody whether the kernel takes the program. With `waits` it
    may take as long as hooks do.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        stat = process_stat(pid)
        if stat is None or not stat.copied:
            return True
        if stat.ended or stat.exiting:
            return False
        if not waits and time.monotonic() > deadline:
            raise Unavailable("the program doesn't begin: something stops or delays its process")
        time.sleep(_STEP_S)


def discard(pidfd: int) -> None:
    """Kill a process, and take its exit status where it is ours."""
    with suppress(ProcessLookupError):
        send_signal(pidfd, signal.SIGKILL)
    reap(pidfd)
    os.close(pidfd)


def groups_of(pid: int, path: str) -> Group:
    """Return the cgroup of a path, or one below it, that a process is in, in every tree where it is.

    Where it is elsewhere it is among others, who have nothing to do with its container.
    """
    if not path:
        return Group(())
    membership = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8", errors="surrogateescape")
    trees = hierarchies(membership=membership)
    return Group(tuple(tree.folder(tree.own) for tree in trees if path.strip("/") in tree.own))


def remove_groups(path: str) -> None:
    """Remove the group of a path in all trees, with those above it that are empty and named by an engine.

    OSError (EBUSY) where a process stays in it.
    """
    if not path.startswith("/"):
        return
    trees = hierarchies()
    Group(tuple(tree.folder(path) for tree in trees)).remove()
    if not os.path.ismount(_UNIFIED):
        # crun makes folders for version 2 also where that isn't mounted, and puts a file into them.
        shutil.rmtree(_UNIFIED / path.lstrip("/"), ignore_errors=True)
        Group((str(_UNIFIED / path.lstrip("/")),)).remove()
