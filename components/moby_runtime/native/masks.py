"""What a container may not change, and may not see, of what is in its root."""

from __future__ import annotations

import os
import stat

from moby.host import mounts
from moby_runtime.records.failures import doing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moby_runtime.native.root import Root

__all__ = ["make_readonly", "mask"]


def make_readonly(root: Root, path: str) -> None:
    """Make a path and all below it read-only; fine where it isn't there."""

    def onto_itself(target: int) -> None:
        tree = mounts.clone_tree("", recursive=True, directory_fd=target)
        try:
            mounts.set_attributes(tree, on=mounts.ATTRIBUTES["ro"], recursive=True)
            mounts.attach(tree, target)
        finally:
            os.close(tree)

    with doing(f"make {path} read-only", "linux.readonlyPaths"):
        root.if_there(path, onto_itself)


def mask(root: Root, path: str) -> None:
    """Hide a path: a folder behind an empty one, a file behind /dev/null; fine where it isn't there."""

    def hide(target: int) -> None:
        if stat.S_ISDIR(os.stat(target).st_mode):
            mounts.mount("tmpfs", f"/proc/self/fd/{target}", "tmpfs", mounts.FLAGS["ro"], "size=0")
        else:
            _put_null(target)

    with doing(f"hide {path}", "linux.maskedPaths"):
        root.if_there(path, hide)


def _put_null(target: int) -> None:
    """Cover a file with the host's /dev/null, whose mode and times the container's root could else change."""
    tree = mounts.clone_tree("/dev/null", recursive=False)
    try:
        mounts.set_attributes(tree, on=mounts.ATTRIBUTES["ro"])
        mounts.attach(tree, target)
    finally:
        os.close(tree)
