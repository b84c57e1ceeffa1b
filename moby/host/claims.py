"""Folders that belong to a living process: what is in one whose maker was killed can be told, and cleared up."""

import contextlib
import fcntl
import os
import shutil
from pathlib import Path

from moby.errors import Conflict
from moby.host.locks import locked
from moby.values import frozen

__all__ = ["Claim", "abandoned", "claim"]

_GATE = ".gate"


@frozen
class Claim:
    """A folder that is ours until we release it or end; the kernel lets go of its lock however we end."""

    path: Path
    descriptor: int

    def release(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.descriptor)


def claim(parent: Path, name: str) -> Claim:
    """Make a folder for as long as this process lives; Conflict where the name is taken. Thread-safe."""
    with _gate(parent):
        path = parent / name
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            raise Conflict(
                f"{name} is in use: {path} is there", hint="wait for it to end, or take another name"
            ) from None
        descriptor = _locked(path)
        if descriptor is None:
            raise Conflict(f"{path} was taken by another process", hint="try again")
        return Claim(path, descriptor)


def abandoned(parent: Path) -> tuple[Claim, ...]:
    """Take over every folder whose maker has ended without releasing it, sorted by name."""
    if not parent.is_dir():
        return ()
    with _gate(parent):
        folders = sorted(each for each in parent.iterdir() if each.is_dir() and not each.is_symlink())
        found = ((path, _locked(path)) for path in folders)
        return tuple(Claim(path, descriptor) for path, descriptor in found if descriptor is not None)


def _gate(parent: Path) -> contextlib.AbstractContextManager[bool]:
    """Let one at a time make or look for claims, so that none is seen between its making and its locking."""
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return locked(parent / _GATE)


def _locked(path: Path) -> int | None:
    """Return a descriptor that holds the folder's lock; None where another one holds it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
