"""The folder of a log's files: which of them were rotated, and who may rename them."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from moby.values import frozen

__all__ = ["Rotated", "folder_locked", "rotated"]


@frozen
class Rotated:
    """A file that was rotated."""

    number: int
    path: Path
    compressed: bool


@contextlib.contextmanager
def folder_locked(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Keep others from renaming this folder's files; they hold it for a few renames, never longer.

    One who only opens them shares it with others who do.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def rotated(path: Path) -> list[Rotated]:
    """Return the rotated files of a log, the oldest first; where a number is there twice, the one uncompressed."""
    start = f"{path.name}."
    found: dict[int, Rotated] = {}
    for each in path.parent.iterdir():
        name = each.name
        if not name.startswith(start):
            continue
        digits = name[len(start) :].removesuffix(".gz")
        if digits.isascii() and digits.isdigit() and digits[0] != "0" and len(digits) < 10:
            compressed = name.endswith(".gz")
            if not compressed or int(digits) not in found:
                found[int(digits)] = Rotated(int(digits), each, compressed)
    return [found[number] for number in sorted(found, reverse=True)]
