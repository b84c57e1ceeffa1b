"""Copies of folders, made by descriptor, as `tmpcopyup` wants them: a new tmpfs begins with what it covers."""

from __future__ import annotations

import errno
import os
import stat

from moby.host.blocks import Undo

TYPE_CHECKING = False

__all__ = ["copy_up"]

_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_XATTRS = frozenset({errno.ENOTSUP, errno.EPERM, errno.ENODATA, errno.EACCES})


def copy_up(source: int, target: int) -> None:
    """Copy a folder's content, owner and mode into another folder: files, links, pipes, devices, extended attributes.

    Both are descriptors of folders. No link is followed and no mount crossed. Depth costs two descriptors a level.
    """
    device = os.fstat(source).st_dev
    for name in os.listdir(source):
        found = os.stat(name, dir_fd=source, follow_symlinks=False)
        if found.st_dev != device:
            continue
        if stat.S_ISDIR(found.st_mode):
            _copy_folder(source, target, name)
        elif stat.S_ISREG(found.st_mode):
            _copy_file(source, target, name, found)
        elif not stat.S_ISSOCK(found.st_mode):
            _copy_other(source, target, name, found)
    _copy_attributes(source, target, os.fstat(source))


def _copy_folder(source: int, target: int, name: str) -> None:
    os.mkdir(name, 0o700, dir_fd=target)
    with Undo() as opened:
        inner = []
        for above in (source, target):
            fd = os.open(name, _FOLDER, dir_fd=above)
            opened.callback(os.close, fd)
            inner.append(fd)
        copy_up(inner[0], inner[1])


def _copy_file(source: int, target: int, name: str, found: os.stat_result) -> None:
    with Undo() as opened:
        old = os.open(name, os.O_RDONLY | _FLAGS, dir_fd=source)
        opened.callback(os.close, old)
        new = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=target)
        opened.callback(os.close, new)
        while os.sendfile(new, old, None, 1 << 20):
            pass
        _copy_attributes(old, new, found)


def _copy_other(source: int, target: int, name: str, found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
    else:
        os.mknod(name, found.st_mode, found.st_rdev, dir_fd=target)
    with _IfMapped():
        os.chown(name, found.st_uid, found.st_gid, dir_fd=target, follow_symlinks=False)
    os.utime(name, ns=(found.st_atime_ns, found.st_mtime_ns), dir_fd=target, follow_symlinks=False)


class _IfMapped:
    """Passes over an owner whom this user namespace has no number for."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        return isinstance(error, OSError) and error.errno in (errno.EINVAL, errno.EPERM)


def _copy_attributes(old: int, new: int, found: os.stat_result) -> None:
    """Copy owner, mode, times and extended attributes, as far as a tmpfs takes them."""
    with _IfMapped():
        os.fchown(new, found.st_uid, found.st_gid)
    os.fchmod(new, stat.S_IMODE(found.st_mode))
    try:
        for name in os.listxattr(old):
            os.setxattr(new, name, os.getxattr(old, name))
    except OSError as error:
        if error.errno not in _NO_XATTRS:
            raise
    os.utime(new, ns=(found.st_atime_ns, found.st_mtime_ns))
