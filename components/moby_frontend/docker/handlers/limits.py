"""Which limits `info` says that containers can have here, and what it warns of."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from moby.host.cgroup_support import Support, support
from moby.host.cgroups import Hierarchy, hierarchies
from moby.host.files import read_text
from moby.host.user_maps import is_ordinary
from moby.values import evolve

__all__ = ["limits"]

_UNLIMITED = (
    "WARNING: Running in rootless-mode without cgroups. To enable cgroups in rootless-mode, you need to boot the "
    "system in cgroup v2, and to have a group of it delegated."
)
"""As dockerd says it, and what it takes besides."""
_FIELDS = {
    "MemoryLimit": ("memory", "memory limit"),
    "SwapLimit": ("swap", "swap limit"),
    "KernelMemoryTCP": ("kernel_tcp", "kernel memory TCP limit"),
    "OomKillDisable": ("oom_control", "oom kill disable"),
    "CpuCfsQuota": ("cpu_quota", "cpu cfs quota"),
    "CpuCfsPeriod": ("cpu_quota", "cpu cfs period"),
    "CPUShares": ("cpu", "cpu shares"),
    "CPUSet": ("cpuset", "cpuset"),
    "PidsLimit": ("pids", ""),
}
"""What each needs, and how dockerd calls it in its warning, in dockerd's order; of the last it doesn't warn."""
_FIRST_ALONE = ("KernelMemoryTCP", "OomKillDisable")
"""What version 2 has no more, which is no reason to warn."""
_IO = {
    "1": [f"blkio throttle.{way}_device" for way in ("read_bps", "write_bps", "read_iops", "write_iops")],
    "2": [f"io.max ({way})" for way in ("rbps", "wbps", "riops", "wiops")],
}
_LIMITING = frozenset({"cpu", "cpuset", "io", "memory", "pids"})
_WEIGHTS = {"io_weight": "io.weight", "io_weight_device": "io.weight (per device)"}


def limits(trees: Sequence[Hierarchy] | None = None, *, ordinary: bool | None = None) -> dict[str, Any]:
    """Return the fields of `info` about cgroups, its warnings among them; an ordinary user has what was delegated."""
    trees = hierarchies() if trees is None else trees
    version = "1" if any(each.version == 1 and each.controllers for each in trees) else "2"
    limited = True
    if is_ordinary() if ordinary is None else ordinary:
        trees = _delegated(trees)
        limited = bool(trees)
    found = support(trees)
    shown = {name: getattr(found, needs) for name, (needs, _) in _FIELDS.items()}
    told = [f"WARNING: No {each} support" for each in _lacking(shown, found, version)] if limited else [_UNLIMITED]
    driver = "cgroupfs" if limited else "none"
    return {**shown, "CgroupDriver": driver, "CgroupVersion": version, "Warnings": told or None}


def _delegated(trees: Sequence[Hierarchy]) -> Sequence[Hierarchy]:
    """Return the tree of version 2 with what the user's containers can be limited by there; nothing where that's none.

    They are made beside the engine's own group, where that is the user's too, else in it.
    """
    for tree in (each for each in trees if each.version == 2 and each.writable):
        own, top = Path(tree.folder(tree.own)), Path(tree.mount)
        for folder in (own.parent, own):
            if folder.is_relative_to(top) and os.access(folder / "cgroup.procs", os.W_OK):
                given = _LIMITING & set(read_text(str(folder / "cgroup.controllers")).split())
                return [evolve(tree, controllers=frozenset(given))] if given else []
    return []


def _lacking(shown: dict[str, bool], found: Support, version: str) -> list[str]:
    fields = [
        words
        for name, (_, words) in _FIELDS.items()
        if words and not shown[name] and (version == "1" or name not in _FIRST_ALONE)
    ]
    weights = [words for needs, words in _WEIGHTS.items() if version == "2" and not getattr(found, needs)]
    return [*fields, *weights, *([] if found.io_limits else _IO[version])]
