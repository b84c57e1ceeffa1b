"""Subvolumes of btrfs: made empty or like another one, at once, and removed (btrfs-ioctl(2), linux/btrfs.h)."""

import errno
import fcntl
import os
import struct

__all__ = ["create", "delete", "open_up", "snapshot"]

_SUBVOL_CREATE = 0x5000940E
_SNAP_DESTROY = 0x5000940F
_SNAP_CREATE_V2 = 0x50009417
_SUBVOL_SETFLAGS = 0x4008941A
_ROOT = 256
"""The inode of each subvolume's root."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LONGEST = 255


def create(folder: str, name: str) -> None:
    """Make an empty subvolume in a folder; OSError (ENOTTY) where that is on another file system."""
    _ask(folder, _SUBVOL_CREATE, struct.pack("=q4088s", 0, _bytes(name)))


def snapshot(folder: str, name: str, origin: str) -> None:
    """Make a subvolume that shows, and shares, what another one has now; each is written for itself from then on."""
    fd = os.open(origin, _FOLDER)
    try:
        _ask(folder, _SNAP_CREATE_V2, struct.pack("=qQQ4Q4040s", fd, 0, 0, 0, 0, 0, 0, _bytes(name)))
    finally:
        os.close(fd)


def delete(folder: str, name: str) -> None:
    """Remove a subvolume with all that is in it; OSError (ENOTEMPTY) where another one is in it."""
    _ask(folder, _SNAP_DESTROY, struct.pack("=q4088s", 0, _bytes(name)))


def open_up(fd: int) -> None:
    """Let a folder be written that is the root of a subvolume which can't; nothing for any other folder."""
    if os.fstat(fd).st_ino == _ROOT:
        fcntl.ioctl(fd, _SUBVOL_SETFLAGS, struct.pack("=Q", 0))


def _bytes(name: str) -> bytes:
    found = os.fsencode(name)
    if not found or len(found) > _LONGEST or b"/" in found:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name)
    return found


def _ask(folder: str, request: int, argument: bytes) -> None:
    fd = os.open(folder, _FOLDER)
    try:
        fcntl.ioctl(fd, request, bytearray(argument))
    except OSError as error:
        raise OSError(error.errno, error.strerror, folder) from error
    finally:
        os.close(fd)
