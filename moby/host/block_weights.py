"""Which block devices can be shared out by weight: those whose scheduler does so, or that are weighed by cost."""

import os
import stat
from collections.abc import Iterable

from moby.host.cgroups import Hierarchy, hierarchies
from moby.host.files import read_text

__all__ = ["can_weigh", "weighs"]

_SCHEDULERS = ("[bfq]", "[cfq]")
"""Those that weigh, as they are shown where they are in use."""


def can_weigh(path: str) -> bool:
    """Whether what is at a path can be weighed; also where it is no block device, or nothing is known of it."""
    try:
        found = os.stat(path)
    except OSError:
        return True
    number = found.st_rdev
    return not stat.S_ISBLK(found.st_mode) or weighs(f"{os.major(number)}:{os.minor(number)}")


def weighs(device: str, sys: str = "/sys", trees: Iterable[Hierarchy] | None = None) -> bool:
    """Whether a device (`MAJOR:MINOR`) can be weighed, else the kernel refuses to (EOPNOTSUPP).

    Sources: kernel, block/bfq-iosched.rst and admin-guide/cgroup-v2.rst (io.cost.qos).
    """
    queue = f"{sys}/dev/block/{device}/queue/scheduler"
    part_of = f"{sys}/dev/block/{device}/../queue/scheduler"
    text = _read(queue) or _read(part_of)
    if not text or any(each in text.split() for each in _SCHEDULERS):
        return True
    unified = [each.mount for each in (hierarchies() if trees is None else trees) if each.version == 2]
    costs = [line.split() for mount in unified for line in _read(f"{mount}/io.cost.qos").splitlines()]
    return any(words[0] == device and "enable=1" in words for words in costs if words)


def _read(path: str) -> str:
    try:
        return read_text(path)
    except OSError:
        return ""
