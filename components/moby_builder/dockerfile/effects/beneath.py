"""Paths beneath a root that nobody vouches for: found as a process would that had it as its root.

The names of what is found have no symbolic links in them; what is opened by them is opened inside the root whatever
they lead to by then (openat2(2)).
"""

import errno
import os
import stat
from contextlib import suppress
from pathlib import PurePosixPath

from attrs import frozen

from moby.host.mounts import open_in_root

__all__ = ["FOLDER", "Made", "canonical", "look", "make_folders", "opened", "parts_of", "set_times"]

FOLDER = os.O_RDONLY | os.O_DIRECTORY
"""How a folder is opened for what is in it."""
_MOST_LINKS = 255


@frozen
class Made:
    """What folders get that are made on the way."""

    mode: int = 0o755
    owner: tuple[int, int] = (0, 0)
    time_ns: int | None = None


def parts_of(path: str) -> list[str]:
    """Return the names in a path, without empty ones and `.`."""
    return [each for each in path.split("/") if each not in ("", ".")]


def canonical(root_fd: int, path: str, *, last: bool = True) -> str:
    """Return where a path leads, from the root, links resolved; of what isn't there the names stay.

    Without `last` a link at its end is what is meant. OSError (ELOOP) where links lead round.
    """
    left = parts_of(path)[::-1]
    done: list[str] = []
    links = 0
    while left:
        name = left.pop()
        if name == "..":
            del done[-1:]
            continue
        here = "/".join([*done, name])
        try:
            link = os.readlink(here, dir_fd=root_fd) if left or last else ""
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT, errno.ENOTDIR):
                raise
            link = ""
        if not link:
            done.append(name)
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        done = [] if link.startswith("/") else done
        left.extend(reversed(parts_of(link)))
    return "/" + "/".join(done)


def opened(root_fd: int, path: str, flags: int = FOLDER) -> int:
    """Open a canonical path, which is the caller's to close."""
    return open_in_root(root_fd, path, flags | os.O_NOFOLLOW)


def look(root_fd: int, path: str) -> os.stat_result | None:
    """Return what is at a canonical path, links not followed; None for nothing."""
    above, name = str(PurePosixPath(path).parent), PurePosixPath(path).name
    try:
        fd = opened(root_fd, above)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise
    try:
        return os.lstat(name, dir_fd=fd) if name else os.fstat(fd)
    except FileNotFoundError:
        return None
    finally:
        os.close(fd)


def make_folders(root_fd: int, path: str, made: Made) -> list[str]:
    """Make a folder with those above it, as far as they aren't there, and return which; the lowest is the last.

    OSError as mkdir(2) where something else is.
    """
    fd, fresh_ones = os.dup(root_fd), list[str]()
    try:
        done = ""
        for name in parts_of(canonical(root_fd, path)):
            done += f"/{name}"
            fresh = False
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=fd)
                fresh = True
            try:
                inner = os.open(name, FOLDER | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            except OSError:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), done) from None
            os.close(fd)
            fd = inner
            if fresh:
                os.fchown(fd, *made.owner)
                os.fchmod(fd, stat.S_IMODE(made.mode))
                fresh_ones.append(done)
    finally:
        os.close(fd)
    set_times(root_fd, fresh_ones, made.time_ns)
    return fresh_ones


def set_times(root_fd: int, folders: list[str], time_ns: int | None) -> None:
    """Set the times of folders in which nothing is made any more."""
    for path in folders if time_ns is not None else ():
        fd = opened(root_fd, path)
        try:
            os.utime(fd, ns=(time_ns, time_ns))  # type: ignore[arg-type]
        finally:
            os.close(fd)
