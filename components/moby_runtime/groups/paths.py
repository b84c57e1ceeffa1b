"""Where a container's cgroup is."""

from __future__ import annotations

import os
import posixpath
from binascii import crc32

from moby.errors import Invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moby.host.cgroups import Hierarchy

__all__ = ["DELEGATION", "delegated", "path_of"]

DELEGATION = (
    "run as root, or have a control group delegated to your user: on a host with systemd and cgroup version 2, "
    "`systemctl set-property user-$UID.slice Delegate=yes` as root"
)

_LONGEST = 255
"""Of a folder's name."""


def path_of(run: str, engine: str, container_id: str, wanted: str, *, alone: bool = False) -> str:
    """Return the path of a container's group: as the bundle wants it, else one that no other engine root has.

    Groups of one engine are below one, but for those that are `alone`: as long as nothing else runs, the group above
    would be made, and removed, with each of them. No `..` leads out of where that is, as with other runtimes; Invalid
    where nothing is left of it.
    """
    cleaned = posixpath.normpath(f"/{wanted.lstrip('/')}")
    if wanted and cleaned == "/":
        raise Invalid(f"config.json: linux.cgroupsPath is {wanted!r}, which is the root cgroup", hint="name one below")
    if wanted.startswith("/"):
        return cleaned
    # No hash of hashlib, whose import takes as long as a third of a container's start.
    root = crc32(os.fsencode(os.path.abspath(run)))
    above = f"/moby-{engine or 'engine'}-{root:08x}"
    if wanted:
        return f"{above}{cleaned}"
    own = f"{above}-{container_id}"
    return own if alone and len(own) <= _LONGEST else f"{above}/{container_id}"


def delegated(trees: tuple[Hierarchy, ...]) -> tuple[Hierarchy, str] | None:
    """Return the tree of version 2, and the path there, that was given to this user: above its own group, or that."""
    for tree in trees:
        if tree.version != 2 or not tree.writable:
            continue
        own = tree.folder(tree.own)
        for folder in (os.path.dirname(own), own):
            inside = folder == tree.mount or folder.startswith(f"{tree.mount}/")
            if inside and os.access(folder, os.W_OK) and os.access(f"{folder}/cgroup.procs", os.W_OK):
                return tree, folder.removeprefix(tree.mount)
    return None
