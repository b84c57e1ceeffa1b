"""Looking for files in a fresh copy of this process, which touches as little of Python as can be (moby.host.bare).

Each function here returns one that has all it needs in its own cells, and is called in the copy. What isn't plain these
leave to others.
"""

from __future__ import annotations

import errno
import os
import sys

from moby.host import mounts
from moby.host.bare import any_call
from moby.host.syscalls import NUMBERS, holding_gil

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable, Sequence
    from typing import Any
else:
    from moby.host import foreign as ctypes

__all__ = ["prepared_program", "prepared_text"]

_close, _faccessat, _openat, _read, _readlinkat = [
    holding_gil[name] for name in ("close", "faccessat", "openat", "read", "readlinkat")
]
_AT_SYMLINK_NOFOLLOW = 0x100
_AT_EMPTY_PATH = 0x1000
_WANTED = 0x001 | 0x002 | 0x100
"""STATX_TYPE, STATX_MODE and STATX_INO."""
_STATX = 256
"""Bytes of struct statx."""
_KIND = 29 if sys.byteorder == "little" else 28
"""Where it has the kind of a file, in four bits of a byte."""
_INODE, _DEVICE = slice(32, 40), slice(136, 144)
_REGULAR, _LINK = 0x80, 0xA0
_MOST = 4096
_MOST_LINKS = 40
_TO_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_TO_READ_AS_IT_IS = _TO_READ | os.O_NOFOLLOW
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR)


def _buffer(size: int) -> tuple[bytearray, Any]:
    """Return memory, and its address for a call."""
    memory = bytearray(size)
    return memory, ctypes.byref((ctypes.c_char * size).from_buffer(memory))


def prepared_program(
    root: int, places: Sequence[tuple[bytes, bytes]], refused: tuple[int, int]
) -> Callable[[], tuple[int, bytes, int]]:
    """Return what finds the first of some places at which there is a program, and no script.

    Each is a folder's path below the root, and a name. The answer is a descriptor of the folder that it is in, its name
    there, and which of the places that was; the descriptor is -1 where it isn't so plain. `refused` is the device and
    inode of what it may not be.
    """
    found, found_at = _buffer(_STATX)
    text, text_at = _buffer(_MOST)
    asked, size = mounts.how(os.O_PATH | os.O_DIRECTORY)
    openat2, statx, call, close, readlinkat = NUMBERS["openat2"], NUMBERS["statx"], any_call, _close, _readlinkat
    number_of_error, runs = ctypes.get_errno, _prepared_check(found, refused)

    def program() -> tuple[int, bytes, int]:
        index = -1
        for above, name in places:
            index += 1
            for _ in range(_MOST_LINKS):
                folder = call(openat2, root, above, asked, size)
                if folder < 0 or call(statx, folder, name, _AT_SYMLINK_NOFOLLOW, _WANTED, found_at) < 0:
                    if number_of_error() not in _NOT_THERE:
                        return -1, name, index
                    if folder >= 0:
                        close(folder)
                    break
                if found[_KIND] & 0xF0 != _LINK:
                    return (folder if runs(folder, name) else -1), name, index
                length = readlinkat(folder, name, text_at, _MOST)
                close(folder)
                target = bytes(text[: max(length, 0)])
                head, _, name = target.rpartition(b"/")  # noqa: PLW2901
                above = (head.lstrip(b"/") or b".") if target[:1] == b"/" else above + b"/" + head  # noqa: PLW2901
                if name in (b"", b".", b"..") or length == _MOST:
                    return -1, name, index
        return -1, b"", index

    return program


def _prepared_check(found: bytearray, refused: tuple[int, int]) -> Callable[[int, bytes], bool]:
    """Return what tells whether what was found by a name may be run, is that file still, and no script."""
    again, again_at = _buffer(_STATX)
    text, text_at = _buffer(2)
    statx, call, close, faccessat, openat, read = NUMBERS["statx"], any_call, _close, _faccessat, _openat, _read
    inode = refused[1].to_bytes(8, sys.byteorder)
    device = b"".join([half(refused[0]).to_bytes(4, sys.byteorder) for half in (os.major, os.minor)])

    def runs(folder: int, name: bytes) -> bool:
        kind = found[_KIND] & 0xF0
        if kind != _REGULAR or (found[_INODE] == inode and found[_DEVICE] == device):
            return False
        file = openat(folder, name, _TO_READ_AS_IT_IS) if faccessat(folder, name, os.X_OK, 0) == 0 else -1
        if file < 0:
            return False
        same = call(statx, file, b"", _AT_EMPTY_PATH, _WANTED, again_at) == 0 and again[_KIND] & 0xF0 == kind
        length = read(file, text_at, 2) if same else -1
        close(file)
        return length == 2 and text != b"#!" and found[_INODE] == again[_INODE] and found[_DEVICE] == again[_DEVICE]

    return runs


def prepared_text(root: int, path: bytes) -> Callable[[], bytes | None]:
    """Return what reads a small file of a path below the root; it returns None for what is none, or isn't there."""
    found, found_at = _buffer(_STATX)
    text, text_at = _buffer(_MOST)
    asked, size = mounts.how(_TO_READ)
    openat2, statx, call, close, read = NUMBERS["openat2"], NUMBERS["statx"], any_call, _close, _read

    def read_text() -> bytes | None:
        file = call(openat2, root, path, asked, size)
        if file < 0:
            return None
        plain = call(statx, file, b"", _AT_EMPTY_PATH, _WANTED, found_at) == 0 and found[_KIND] & 0xF0 == _REGULAR
        length = read(file, text_at, _MOST) if plain else -1
        close(file)
        return bytes(text[:length]) if 0 <= length < _MOST else None

    return read_text
