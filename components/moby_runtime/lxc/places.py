"""Where mounts go: places that are made before LXC mounts there, by ways that no link in an image leads out of.

LXC's own `create=` follows links of the image to the host's files.
"""

from __future__ import annotations

import os
import posixpath
import stat

from moby.errors import Invalid
from moby.host import mounts
from moby.values import frozen

__all__ = ["Places"]

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_KERNELS = ("proc", "sysfs")


@frozen
class _Mounted:
    """What is mounted, in order: its place, and the host's folder that is seen there; empty where nothing of it is."""

    place: str
    source: str


class Places:
    """The places of a container's mounts, resolved one after the other."""

    def __init__(self, rootfs: str) -> None:
        self._mounted = [_Mounted("", rootfs)]

    def add(self, destination: str, kind: str, source: str, where: str) -> tuple[str, bool]:
        """Return the place of a mount, and whether LXC is to make it, where nobody's links are; Invalid.

        `source` is what a bind shows. What isn't there yet is made: a folder, or an empty file for a file.
        """
        place = posixpath.normpath(f"/{destination.lstrip('/')}").strip("/")
        base = next(each for each in reversed(self._mounted) if _is_below(place, each.place))
        if base.source:
            inside = self._made(base, place, folder=not source or os.path.isdir(source), where=where)
            if kind in _KERNELS and inside != place:
                raise Invalid(f"config.json: {where}.destination is a link in the image: {destination}")
            place = inside
        if kind != "proc" and _is_below(place, "proc"):
            raise Invalid(f"config.json: {where}.destination is below /proc, which nothing but the kernel's may cover")
        self._mounted.append(_Mounted(place, source if os.path.isdir(source or "/dev/null") else ""))
        return place, not base.source

    @staticmethod
    def _made(base: _Mounted, place: str, *, folder: bool, where: str) -> str:
        """Make a place below what is mounted, and return it as it is without links."""
        root = os.open(base.source, _DIRECTORY)
        try:
            rest = place[len(base.place) :].strip("/")
            above, _, name = rest.rpartition("/")
            fd = _folder(root, above)
            try:
                if not _is_there(root, rest):
                    _make(fd, name, folder=folder)
            finally:
                os.close(fd)
            fd = mounts.open_in_root(root, rest)
            try:
                found = os.readlink(f"/proc/self/fd/{fd}").removeprefix(os.readlink(f"/proc/self/fd/{root}"))
            finally:
                os.close(fd)
        except OSError as error:
            raise Invalid(f"config.json: {where}.destination can't be made: {error.strerror}: {place}") from error
        finally:
            os.close(root)
        return "/".join(filter(None, (base.place, found.strip("/"))))


def _is_below(place: str, above: str) -> bool:
    return not above or place == above or place.startswith(f"{above}/")


def _is_there(root: int, path: str) -> bool:
    try:
        os.close(mounts.open_in_root(root, path))
    except FileNotFoundError:
        return False
    return True


def _folder(root: int, path: str) -> int:
    """Open a folder, made with those above it where they aren't there."""
    names = [name for name in path.split("/") if name]
    for depth, name in enumerate(names):
        if not _is_there(root, "/".join(names[: depth + 1])):
            above = mounts.open_in_root(root, "/".join(names[:depth]) or "/", _DIRECTORY)
            try:
                _make(above, name, folder=True)
            finally:
                os.close(above)
    fd = mounts.open_in_root(root, path or "/", _DIRECTORY)
    if not stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotADirectoryError(path)
    return fd


def _make(above: int, name: str, *, folder: bool) -> None:
    if folder:
        os.mkdir(name, 0o755, dir_fd=above)
    else:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=above))
