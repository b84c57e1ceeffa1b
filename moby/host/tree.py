"""Trees of files, walked and removed by descriptor, so that no link leads out and no mount is entered.

Names that are given here come from containers and images; nothing about them is trusted.
"""

import os
import stat
from collections.abc import Callable
from contextlib import suppress

from moby.errors import Conflict, HostUnfit

__all__ = ["DIRECTORY_FLAGS", "mount_id", "open_below", "remove", "set_mode"]

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OWNER = stat.S_IRWXU


def mount_id(fd: int) -> int:
    """Return the id of the mount that a descriptor is on (proc_pid_fdinfo(5), mnt_id)."""
    with open(f"/proc/self/fdinfo/{fd}", "rb") as file:  # Path costs more than the read
        return next(int(line[7:]) for line in file if line.startswith(b"mnt_id:"))


def open_below(root_fd: int, path: str) -> int:
    """Open a folder below another, by no link; an OSError where a name on the way is none. Empty is that one itself."""
    fd = os.dup(root_fd)
    for name in filter(None, path.split("/")):
        try:
            inner = os.open(name, DIRECTORY_FLAGS, dir_fd=fd)
        finally:
            os.close(fd)
        fd = inner
    return fd


def set_mode(parent_fd: int, name: str, mode: int) -> None:
    """Set the mode of what has a name, which isn't opened for it; a link has none, nor is its target touched.

    chmod(2) would follow one that somebody puts there meanwhile.
    """
    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent_fd)
    try:
        if not stat.S_ISLNK(os.fstat(handle).st_mode):
            os.chmod(f"/proc/self/fd/{handle}", mode)
    finally:
        os.close(handle)


class _Level:
    """A folder on the way down: its name in the one above, which file it is, and which folders in it are left."""

    def __init__(self, name: str, identity: tuple[int, int]) -> None:
        self.name = name
        self.identity = identity
        self.folders: list[str] = []


def remove(parent_fd: int, name: str, open_up: Callable[[int], object] = lambda fd: None) -> None:
    """Remove a file, link or whole tree; nothing there is fine. No link is followed, and no mount crossed.

    `open_up` is called with a descriptor of each folder before anything in it is removed. Conflict at a mount point,
    with what lay before it gone already; HostUnfit where the files are another user's. Folders that their owner may
    not write are made writable. Depth costs no stack and no descriptors.
    """
    try:
        if not stat.S_ISDIR(os.lstat(name, dir_fd=parent_fd).st_mode):
            os.unlink(name, dir_fd=parent_fd)
            return
        _remove_folder(parent_fd, name, open_up)
    except FileNotFoundError:
        return
    except PermissionError as error:
        raise HostUnfit(
            f"can't remove {error.filename or name!r}: {error.strerror}",
            hint="its files are another user's; remove it as that user or as root",
        ) from error
    except OSError as error:
        raise Conflict(f"can't remove {error.filename or name!r}: {error.strerror}", hint="end what uses it") from error


def _remove_folder(parent_fd: int, name: str, open_up: Callable[[int], object]) -> None:
    mount = mount_id(parent_fd)
    fd = os.dup(parent_fd)
    levels: list[_Level] = []
    try:
        fd = _enter(fd, name, mount, levels, open_up)
        while levels:
            level = levels[-1]
            if level.folders:
                fd = _enter(fd, level.folders.pop(), mount, levels, open_up)
                continue
            above = os.dup(parent_fd) if len(levels) == 1 else _up(fd, levels[-2].identity)
            os.close(fd)
            fd = above
            os.rmdir(level.name, dir_fd=fd)
            levels.pop()
    finally:
        os.close(fd)


def _enter(fd: int, name: str, mount: int, levels: list[_Level], open_up: Callable[[int], object]) -> int:
    """Go down into a folder, remove what isn't a folder in it, and return its descriptor in place of `fd`."""
    inner = _open_folder(fd, name)
    try:
        if mount_id(inner) != mount:
            raise Conflict(f"can't remove {name!r}: it is a mount point", hint="unmount it first")
        open_up(inner)
        found = os.fstat(inner)
        if found.st_mode & _OWNER != _OWNER:
            os.fchmod(inner, stat.S_IMODE(found.st_mode) | _OWNER)
        level = _Level(name, (found.st_dev, found.st_ino))
        with os.scandir(inner) as entries:
            names = [(each.name, each.is_dir(follow_symlinks=False)) for each in entries]
        for each, is_folder in names:
            if is_folder:
                level.folders.append(each)
            else:
                with suppress(FileNotFoundError):
                    os.unlink(each, dir_fd=inner)
    except BaseException:
        os.close(inner)
        raise
    levels.append(level)
    os.close(fd)
    return inner


def _open_folder(fd: int, name: str) -> int:
    """Open a folder for listing, one that its own user may not list included."""
    try:
        return os.open(name, DIRECTORY_FLAGS, dir_fd=fd)
    except PermissionError:
        handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        try:
            os.chmod(f"/proc/self/fd/{handle}", _OWNER)  # the one way to chmod what can't be opened
        finally:
            os.close(handle)
        return os.open(name, DIRECTORY_FLAGS, dir_fd=fd)


def _up(fd: int, expected: tuple[int, int]) -> int:
    """Go to the folder above, which somebody may have moved meanwhile."""
    above = os.open("..", DIRECTORY_FLAGS, dir_fd=fd)
    found = os.fstat(above)
    if (found.st_dev, found.st_ino) != expected:
        os.close(above)
        raise Conflict("can't remove a folder that is moved meanwhile", hint="end what uses it")
    return above
