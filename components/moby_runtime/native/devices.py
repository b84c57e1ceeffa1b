"""The device nodes of a container, and the links beside them (config-linux.md, Devices; runtime-linux.md)."""

from __future__ import annotations

import errno
import os
import stat

from moby.host.blocks import suppress
from moby_runtime.native.root import DIRECTORY, Root, bind, parts_of
from moby_runtime.native.values import Device
from moby_runtime.records.failures import doing

__all__ = ["make_devices"]

_DEFAULT = tuple(
    Device(f"/dev/{name}", "c", major, minor)
    for name, major, minor in (
        ("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0),
    )
)  # fmt: skip
_LINKS = (
    ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx"),
)  # fmt: skip
_KINDS = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}


def make_devices(root: Root, console: str) -> None:
    """Make the nodes that every container has, those that it asks for, and links beside them.

    `console` is the path of its terminal, which becomes /dev/console.
    """
    with doing("make /dev", "root"):
        os.close(root.target("/dev", folder=True))
    asked = {device.path for device in root.spec.devices}
    for device in _DEFAULT:
        if device.path not in asked:
            with doing(f"make the device {device.path}", "root"):
                _make_default(root, device)
    for index, device in enumerate(root.spec.devices):
        if device.path == "/dev/ptmx":
            continue  # which is of the container's own devpts always: a link
        with doing(f"make the device {device.path}", f"linux.devices[{index}]"):
            _make(root, device)
    with doing("make the links in /dev", "root"):
        fd = root.open("/dev", DIRECTORY)
        try:
            for name, target in _LINKS:
                _link(fd, name, target)
        finally:
            os.close(fd)
    if console:
        with doing("make /dev/console", "process.terminal"):
            _bind(root, console, "/dev/console")


def _link(fd: int, name: str, target: str) -> None:
    if name == "ptmx":
        with suppress(FileNotFoundError, IsADirectoryError):
            os.unlink(name, dir_fd=fd)
    with suppress(FileExistsError):
        os.symlink(target, name, dir_fd=fd)


def _make_default(root: Root, device: Device) -> None:
    """Make a node; another file of the image is covered, but a link stays, since who knows where it leads."""

    def cover(fd: int) -> None:
        if root.is_itself(fd, device.path):
            bind(device.path, fd, recursive=False)

    try:
        _make(root, device)
    except FileExistsError:
        root.if_there(device.path, cover)


def _make(root: Root, device: Device) -> None:
    """Make a node; FileExistsError where another file is in its place."""
    *folders, name = parts_of(device.path)
    if root.spec.user_namespace and device.type != "p":
        _bind_same(root, device)
        return
    fd = root.target("/".join(folders), folder=True)
    kind, number = _KINDS[device.type], os.makedev(device.major, device.minor)
    try:
        os.mknod(name, kind | stat.S_IMODE(device.mode), number, dir_fd=fd)
        os.chown(name, device.uid, device.gid, dir_fd=fd, follow_symlinks=False)
    except FileExistsError:
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if stat.S_IFMT(found.st_mode) != kind or (device.type != "p" and found.st_rdev != number):
            raise OSError(errno.EEXIST, "another file is there", device.path) from None
    except PermissionError:  # a root that may not make nodes, as one in a container
        if device.type == "p":
            raise
        _bind_same(root, device)
    finally:
        os.close(fd)


def _bind_same(root: Root, device: Device) -> None:
    """Put the host's own node there, which is as good where mknod(2) isn't allowed."""
    found = os.stat(device.path)
    wanted = (_KINDS[device.type], os.makedev(device.major, device.minor))
    if (stat.S_IFMT(found.st_mode), found.st_rdev) != wanted:
        raise OSError(errno.ENXIO, "the host has another device there", device.path)
    _bind(root, device.path, device.path)


def _bind(root: Root, source: str, path: str) -> None:
    target = root.target(path, folder=False)
    try:
        bind(source, target, recursive=False)
    finally:
        os.close(target)
