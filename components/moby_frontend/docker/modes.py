"""Modes of files as Go's fs.FileMode has them, which docker's protocols carry."""

import stat as modes
from functools import lru_cache

__all__ = ["go_mode", "mode_of"]

_KINDS = {
    modes.S_IFDIR: 1 << 31, modes.S_IFLNK: 1 << 27, modes.S_IFBLK: 1 << 26, modes.S_IFIFO: 1 << 25,
    modes.S_IFSOCK: 1 << 24, modes.S_IFCHR: (1 << 26) | (1 << 21),
}  # fmt: skip
_TYPE = (1 << 31) | (1 << 27) | (1 << 26) | (1 << 25) | (1 << 24) | (1 << 21)
_OURS = {0: modes.S_IFREG, **{theirs: ours for ours, theirs in _KINDS.items()}}
_BITS = ((modes.S_ISUID, 1 << 23), (modes.S_ISGID, 1 << 22), (modes.S_ISVTX, 1 << 20))


def go_mode(mode: int) -> int:
    """Return a mode as Go has it."""
    found = (mode & 0o777) | _KINDS.get(modes.S_IFMT(mode), 0)
    return found | sum(theirs for ours, theirs in _BITS if mode & ours)


@lru_cache(maxsize=256)  # a folder's many files have few
def mode_of(found: int) -> int:
    """Return a mode of Go's as stat(2) has it; one of an unknown type is a regular file's."""
    mode = (found & 0o777) | _OURS.get(found & _TYPE, modes.S_IFREG)
    return mode | sum(ours for ours, theirs in _BITS if found & theirs)
