"""Which of the host's users and groups the ids of this process's user namespace are (user_namespaces(7))."""

from __future__ import annotations

import os

from moby.host.files import read_text

__all__ = ["IDS", "is_host_root", "is_ordinary", "keeps_owners"]

_WHOLE = ["0", "0", "4294967295"]
IDS = 65536
"""How many, from 0 on, images take for granted."""


def is_host_root() -> bool:
    """Whether this process is root, and not just in a user namespace."""
    return os.geteuid() == 0 and read_text("/proc/self/uid_map").split() == _WHOLE


def keeps_owners() -> bool:
    """Whether files can be given to any user and group that an image may have."""
    return os.geteuid() == 0 and all(_covers(read_text(f"/proc/self/{each}_map")) for each in ("uid", "gid"))


def is_ordinary() -> bool:
    """Whether this process is an ordinary user's: that user, or root of a user namespace whose root that user is."""
    if os.geteuid():
        return True
    first = read_text("/proc/self/uid_map").split()[:3]
    return first[:1] == ["0"] and first[1:2] != ["0"] and first[2:] == ["1"]


def _covers(text: str) -> bool:
    """Whether a map has all the usual ids, without a hole."""
    rows = sorted(tuple(map(int, line.split())) for line in text.splitlines())
    reached = 0
    for inside, _, size in rows:
        if inside > reached:
            break
        reached = max(reached, inside + size)
    return reached >= IDS
