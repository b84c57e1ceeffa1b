"""Folders of volumes: locked, taken away whole, measured; and errors of the host's as users get them."""

import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from moby.errors import Conflict, MobyError
from moby.host import claims, mounts, tree
from moby.host.refusals import host_errors

__all__ = ["discard", "is_mounted", "locked", "mounted_below", "size_bytes", "sweep", "told"]


def told(doing: str) -> AbstractContextManager[None]:
    """Turn what the kernel refuses into HostUnfit: `can't make the volume x at /y: No space left on device`."""
    return host_errors(doing, hint="see that there is room on that disk, and that the engine's user may write there")


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Hold the lock of a folder, against threads and processes; False where there is no such folder."""
    while True:
        try:
            fd = os.open(folder, tree.DIRECTORY_FLAGS)
        except FileNotFoundError:
            yield False
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if _is_at(fd, folder):
                yield True
                return
        finally:
            os.close(fd)


def _is_at(fd: int, folder: Path) -> bool:
    """Whether a folder that was waited for is still there."""
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(fd), found)


def is_mounted(folder: Path) -> bool:
    """Whether something is mounted right at a folder."""
    ids = []
    for each in (folder, folder.parent):
        fd = os.open(each, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)  # what is mounted there may not answer
        try:
            ids.append(tree.mount_id(fd))
        finally:
            os.close(fd)
    return ids[0] != ids[1]


def mounted_below(folder: Path) -> tuple[str, ...]:
    """Return where in a folder something is mounted (proc_pid_mountinfo(5))."""
    within = f"{folder.resolve()}/"
    with open("/proc/self/mountinfo", "rb") as file:  # noqa: PTH123  # as short as it gets
        points = [line.split(b" ")[4].decode("unicode_escape").encode("latin-1") for line in file]
    return tuple(point for point in map(os.fsdecode, points) if point.startswith(within))


def discard(folder: Path, aside: Path) -> None:
    """Take a folder away at once, and remove it then; what a kill leaves of that is for `sweep`.

    Conflict where something is mounted below. `aside` lies on the same file system.
    """
    below = mounted_below(folder)
    if below:
        raise Conflict(f"{below[0]} is mounted in it", hint="unmount that first")
    aside.mkdir(mode=0o700, parents=True, exist_ok=True)
    gone = aside / secrets.token_hex(16)
    fd = os.open(folder, tree.DIRECTORY_FLAGS)
    try:
        # Where it is somebody's already, that is this very call's own caller.
        with suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder.rename(gone)
        _remove(gone)
    finally:
        os.close(fd)


def sweep(aside: Path) -> None:
    """Remove what a process that was killed had put aside; what can't be removed stays."""
    for each in claims.abandoned(aside):
        with suppress(MobyError):
            _remove(each.path)
        os.close(each.descriptor)


def _remove(folder: Path) -> None:
    parent = os.open(folder.parent, tree.DIRECTORY_FLAGS)
    try:
        tree.remove(parent, folder.name)
    finally:
        os.close(parent)


def size_bytes(folder: Path) -> int:
    """Return the sizes of all files in a folder, each file once whatever its names; mounts below are left out.

    What vanishes meanwhile, and what a rename would lead out to, counts nothing. Depth costs no stack; a path longer
    than the kernel takes is left out.
    """
    total, seen = 0, set()
    waiting = ["."]
    root = os.open(folder, tree.DIRECTORY_FLAGS)
    try:
        device = os.fstat(root).st_dev
        while waiting:
            name = waiting.pop()
            for entry, found in _entries(root, name):
                if stat.S_ISDIR(found.st_mode):
                    waiting += [f"{name}/{entry}"] if found.st_dev == device else []
                elif found.st_ino not in seen:
                    total += found.st_size
                    seen |= {found.st_ino} if found.st_nlink > 1 else set()
    finally:
        os.close(root)
    return total


def _entries(root: int, name: str) -> Iterator[tuple[str, os.stat_result]]:
    with suppress(OSError):
        fd = mounts.open_in_root(root, name, tree.DIRECTORY_FLAGS)
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):
                        yield entry.name, entry.stat(follow_symlinks=False)
        finally:
            os.close(fd)
