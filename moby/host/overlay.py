"""Root file systems of several mounts, overlays among them, at one place.

An overlay of many layers has options longer than the page that mount(2) takes; its paths are then given relative to
the folder that they share, from a thread with a working folder of its own (unshare(2), CLONE_FS).
"""

import errno
import os
import threading
from collections.abc import Sequence
from contextlib import suppress

from moby.contracts.types import Mount
from moby.errors import HostUnfit
from moby.host import mounts as kernel
from moby.host.syscalls import call, libc

__all__ = ["FUSE", "escape", "mount_root", "paths_of", "unmount_root"]

FUSE = "fuse.fuse-overlayfs"
"""Type of a mount that the program in its source shows."""
_CLONE_FS = 0x200
_PAGE = 4096
_PATHS = ("lowerdir", "upperdir", "workdir")


def escape(path: str) -> str:
    """Return a path as it stands in an overlay's options: `\\`, `:` and `,` with a backslash before them."""
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


def paths_of(options: Sequence[str]) -> dict[str, list[str]]:
    """Return the paths in an overlay's options, as they are on disk."""
    return {
        key: _split(value)
        for key, equals, value in (each.partition("=") for each in options)
        if equals and key in _PATHS
    }


def mount_root(mounts: Sequence[Mount], target: str) -> None:
    """Mount what a snapshotter or an image store returned at a folder, in order; HostUnfit, and nothing stays, else."""
    done = 0
    try:
        for each in mounts:
            _mount(each, target)
            done += 1
    except (OSError, HostUnfit) as error:
        for _ in range(done):
            with suppress(OSError):
                kernel.unmount(target, detach=True)
        if isinstance(error, HostUnfit):
            raise
        hint = ""
        if error.errno in (errno.EPERM, errno.EACCES):
            hint = "mounting takes root, or an enclosure, as the assembly `rootless` has one"
        elif error.errno in (errno.ENODEV, errno.EINVAL):
            hint = "this host's kernel or file system may lack overlays; the part snapshotter/copy needs none"
        raise HostUnfit(f"can't mount a root at {target}: {error.strerror}", hint=hint) from error


def unmount_root(target: str, mounts: Sequence[Mount]) -> None:
    """Take away what `mount_root` mounted, also where it is in use; nothing mounted is fine."""
    for _ in mounts:
        with suppress(OSError):
            kernel.unmount(target, detach=True)


def _mount(mount: Mount, target: str) -> None:
    flags = sum(kernel.FLAGS[each] for each in mount.options if each in kernel.FLAGS)
    data = ",".join(each for each in mount.options if each not in kernel.FLAGS and each not in ("rw", "rbind"))
    if mount.type == "bind" or "bind" in mount.options or "rbind" in mount.options:
        recursive = kernel.FLAGS["rec"] if "rbind" in mount.options else 0
        kernel.mount(mount.source, target, "", kernel.FLAGS["bind"] | recursive)
        if flags & ~kernel.FLAGS["bind"]:
            kernel.mount("none", target, "", flags | kernel.FLAGS["bind"] | kernel.FLAGS["remount"])
    elif mount.type == FUSE:
        from moby.host import fuse_overlay  # which starts processes, as few engines do for their mounts

        shared, options = _relative(mount)
        fuse_overlay.show(mount.source, os.path.abspath(target), options, shared, flags)
    elif mount.type == "overlay" and len(data.encode()) >= _PAGE:
        _mount_relative(mount, target, flags)
    else:
        kernel.mount(mount.source or mount.type, target, mount.type, flags, data)


def _relative(mount: Mount) -> tuple[str, list[str]]:
    """Return the folder that an overlay's paths share, and its options with paths below that."""
    paths = paths_of(mount.options)
    shared = os.path.commonpath([path for each in paths.values() for path in each])
    short = [
        f"{key}={':'.join(escape(os.path.relpath(path, shared)) for path in values)}" for key, values in paths.items()
    ]
    others = [
        each for each in mount.options if each.partition("=")[0] not in _PATHS and each not in (*kernel.FLAGS, "rw")
    ]
    return shared, [*short, *others]


def _mount_relative(mount: Mount, target: str, flags: int) -> None:
    shared, options = _relative(mount)
    data = ",".join(options)
    if len(data.encode()) >= _PAGE:
        raise OSError(errno.E2BIG, f"{len(paths_of(mount.options)['lowerdir'])} layers are too many for one mount")
    failed: list[OSError] = []
    absolute = os.path.abspath(target)  # text in, text out

    def work() -> None:
        try:
            call(libc.unshare, _CLONE_FS)
            os.chdir(shared)
            kernel.mount(mount.source or "overlay", absolute, "overlay", flags, data)
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def _split(value: str) -> list[str]:
    """Split at colons that have no backslash before them, and take the backslashes away."""
    parts, current, characters = [], "", iter(value)
    for character in characters:
        if character == "\\":
            current += next(characters, "")
        elif character == ":":
            parts.append(current)
            current = ""
        else:
            current += character
    return [*parts, current]
