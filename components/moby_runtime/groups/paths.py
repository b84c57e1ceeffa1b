"""Where a container's control group is."""

from __future__ import annotations

import os
import posixpath
from binascii import crc32

from moby.errors import Invalid

__all__ = ["path_of"]


def path_of(run: str, engine: str, container_id: str, wanted: str) -> str:
    """Return the path of a container's group: as the bundle wants it, else one that no other engine root has.

    No `..` leads out of where that is, as with other runtimes; Invalid where nothing is left of it.
    """
    cleaned = posixpath.normpath(f"/{wanted.lstrip('/')}")
    if wanted and cleaned == "/":
        raise Invalid(f"config.json: linux.cgroupsPath is {wanted!r}, which is the group of all", hint="name one below")
    if wanted.startswith("/"):
        return cleaned
    # No hash of hashlib, whose import takes as long as a third of a container's start.
    root = crc32(os.fsencode(os.path.abspath(run)))
    above = f"/moby-{engine or 'engine'}-{root:08x}"
    return f"{above}{cleaned}" if wanted else f"{above}/{container_id}"
