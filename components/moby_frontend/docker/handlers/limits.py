"""Which limits `info` says that containers can have here, and what it warns of."""

from collections.abc import Sequence
from typing import Any

from moby.host.cgroup_support import Support, support
from moby.host.cgroups import Hierarchy, hierarchies
from moby.host.user_maps import is_ordinary

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
_WEIGHTS = {"io_weight": "io.weight", "io_weight_device": "io.weight (per device)"}


def limits(trees: Sequence[Hierarchy] | None = None, *, limited: bool | None = None) -> dict[str, Any]:
    """Return the fields of `info` about cgroups, its warnings among them."""
    trees = hierarchies() if trees is None else trees
    version = "1" if any(each.version == 1 and each.controllers for each in trees) else "2"
    limited = _limited() if limited is None else limited
    found = support(trees) if limited else Support()
    shown = {name: getattr(found, needs) for name, (needs, _) in _FIELDS.items()}
    told = [f"WARNING: No {each} support" for each in _lacking(shown, found, version)] if limited else [_UNLIMITED]
    driver = "cgroupfs" if limited else "none"
    return {**shown, "CgroupDriver": driver, "CgroupVersion": version, "Warnings": told or None}


def _limited() -> bool:
    """Whether containers can be limited: always by root, else where an ordinary user was given a cgroup."""
    if not is_ordinary():
        return True
    from moby.host.facts import probe

    return probe("user", "delegated-group").ok


def _lacking(shown: dict[str, bool], found: Support, version: str) -> list[str]:
    fields = [
        words
        for name, (_, words) in _FIELDS.items()
        if words and not shown[name] and (version == "1" or name not in _FIRST_ALONE)
    ]
    weights = [words for needs, words in _WEIGHTS.items() if version == "2" and not getattr(found, needs)]
    return [*fields, *weights, *([] if found.io_limits else _IO[version])]
