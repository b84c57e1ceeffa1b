"""Files that may be archives: tar, plain or compressed."""

import os
import stat
from contextlib import closing, suppress
from pathlib import Path
from typing import BinaryIO

from moby.errors import Invalid
from moby.oci import compression, layer
from moby_builder.dockerfile.effects.beneath import opened
from moby_builder.dockerfile.effects.matches import Match

__all__ = ["is_archive", "is_archive_file", "open_file"]

_READ = os.O_RDONLY | os.O_NONBLOCK


def open_file(root_fd: int, match: Match) -> BinaryIO:
    """Open a file that a source means, to be read."""
    return os.fdopen(opened(root_fd, match.path, _READ), "rb")


def is_archive(root_fd: int, match: Match) -> bool:
    """Whether a file is a tar archive, perhaps a compressed one."""
    if not stat.S_ISREG(match.found.st_mode) or not match.found.st_size:
        return False
    with open_file(root_fd, match) as file:
        return _begins_as_one(file)


def is_archive_file(path: Path) -> bool:
    """Whether a file of one's own is a tar archive, perhaps a compressed one."""
    with path.open("rb") as file:
        return _begins_as_one(file)


def _begins_as_one(file: BinaryIO) -> bool:
    with closing(compression.plain(file)) as plain, suppress(Invalid):
        return next(layer.read(plain), None) is not None
    return False
