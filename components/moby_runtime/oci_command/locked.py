"""What a user namespace can't take from mounts that it was given (mount_namespaces(7), restrictions)."""

import os
from collections.abc import Mapping
from typing import Any

__all__ = ["keep_locked"]

_FLAGS = (
    (os.ST_RDONLY, "ro", "rw"),
    (os.ST_NOSUID, "nosuid", "suid"),
    (os.ST_NODEV, "nodev", "dev"),
    (os.ST_NOEXEC, "noexec", "exec"),
)
"""By flag of statvfs(3): the option that sets it, and the one that takes it away."""


def keep_locked(mount: Mapping[str, Any]) -> dict[str, Any]:
    """Return a bind mount with the options that its source has, which commands take away with the first that is set.

    What the bundle itself wants to have taken away is left to fail.
    """
    options = list(mount.get("options") or ())
    try:
        flags = os.statvfs(mount["source"]).f_flag
    except OSError:
        return dict(mount)
    kept = [on for flag, on, off in _FLAGS if flags & flag and on not in options and off not in options]
    return {**mount, "options": [*options, *kept]}
