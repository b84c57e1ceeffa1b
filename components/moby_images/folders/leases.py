"""Leases: folders that are their holder's while it lives, and anybody's to sweep once it is gone.

A lease is a locked (flock(2)) folder; the kernel gives the lock up with its holder, however that ended.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from moby.errors import MobyError
from moby.host import tree
from moby.host.locks import locked

__all__ = ["lease"]


@contextmanager
def lease(parent: Path, lock: Path) -> Iterator[Path]:
    """Lend a new folder, which goes when the caller leaves, and sweep those that dead holders left.

    `lock` keeps a sweeper from a folder that is made but not yet locked.
    """
    with ExitStack() as held:
        with locked(lock, exclusive=True):
            abandoned = _abandoned(parent, held)
            name = secrets.token_hex(8)
            path = parent / name
            held.callback(_remove, parent, name)  # said before it is made: a signal's exception may come at any time
            path.mkdir(mode=0o700)
            held.callback(os.close, fd := os.open(path, tree.DIRECTORY_FLAGS))
            fcntl.flock(fd, fcntl.LOCK_EX)
        for each in abandoned:
            with suppress(MobyError):  # what can't go now is tried again next time
                _remove(parent, each)
        held.callback(_remove, parent, name)  # and again, so that it goes while it is still locked
        yield path


def _abandoned(parent: Path, held: ExitStack) -> list[str]:
    """Take over the folders whose holders are gone."""
    names = []
    for each in sorted(parent.iterdir()):
        with suppress(OSError):  # held, or swept by another one
            fd = os.open(each, tree.DIRECTORY_FLAGS)
            held.callback(os.close, fd)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            names.append(each.name)
    return names


def _remove(parent: Path, name: str) -> None:
    fd = os.open(parent, tree.DIRECTORY_FLAGS)
    try:
        tree.remove(fd, name)
    finally:
        os.close(fd)
