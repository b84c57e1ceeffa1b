"""Stubs: what a runtime makes so that something can be mounted there, and what isn't to stay in a layer."""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from attrs import frozen

from moby.host.mounts import open_in_root

__all__ = ["without_stubs"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY


@frozen
class _Missing:
    """A name that wasn't there, in the lowest folder that was."""

    folder: str
    names: tuple[str, ...]
    times_ns: tuple[int, int]


@contextmanager
def without_stubs(root_fd: int, targets: Iterable[str]) -> Iterator[None]:
    """Take away, afterwards, what was made at these places and is still empty; the folders above get their times back.

    Nothing else changes: what a step has put there stays. Links are followed inside the root.
    """
    missing = [found for each in targets if (found := _missing(root_fd, each)) is not None]
    try:
        yield
    finally:
        for each in reversed(missing):
            _remove(root_fd, each)


def _missing(root_fd: int, target: str) -> _Missing | None:
    with suppress(OSError):
        os.close(open_in_root(root_fd, target))
        return None
    names = [each for each in target.split("/") if each not in ("", ".")]
    for count in range(len(names) - 1, -1, -1):
        folder = "/" + "/".join(names[:count])
        try:
            fd = open_in_root(root_fd, folder, _FOLDER)
        except OSError:
            continue
        try:
            found = os.fstat(fd)
        finally:
            os.close(fd)
        return _Missing(folder, tuple(names[count:]), (found.st_atime_ns, found.st_mtime_ns))
    return None


def _remove(root_fd: int, missing: _Missing) -> None:
    """Remove what is empty, the innermost first; stop at what isn't, or isn't there any more."""
    for count in range(len(missing.names), 0, -1):
        above = "/".join((missing.folder.rstrip("/"), *missing.names[: count - 1])) or "/"
        try:
            fd = open_in_root(root_fd, above, _FOLDER)
        except OSError:
            continue
        try:
            if not _remove_empty(fd, missing.names[count - 1]):
                return
            if count == 1:
                os.utime(fd, ns=missing.times_ns)
        finally:
            os.close(fd)


def _remove_empty(fd: int, name: str) -> bool:
    try:
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return True
    try:
        if stat.S_ISDIR(found.st_mode):
            os.rmdir(name, dir_fd=fd)
        elif stat.S_ISREG(found.st_mode) and not found.st_size:
            os.unlink(name, dir_fd=fd)
        else:
            return False
    except OSError:
        return False
    return True
