"""Which limits this kernel's cgroups know, seen from the groups that the caller's own lies in."""

import os
from collections.abc import Iterable

from moby.host.cgroups import Hierarchy, hierarchies
from moby.values import frozen

__all__ = ["Support", "support"]


@frozen
class Support:
    """What can be limited."""

    memory: bool = False
    swap: bool = False
    swappiness: bool = False
    kernel_tcp: bool = False
    oom_control: bool = False
    pids: bool = False
    cpu: bool = False
    cpu_quota: bool = False
    realtime: bool = False
    cpuset: bool = False
    io_weight: bool = False
    io_weight_device: bool = False
    io_limits: bool = False


def support(trees: Iterable[Hierarchy] | None = None) -> Support:
    """Return what can be limited here; a version 2 tree is taken at its controllers' word.

    Sources: kernel, admin-guide/cgroup-v1 and cgroup-v2.rst.
    """
    found = tuple(hierarchies() if trees is None else trees)

    def tree(controller: str) -> Hierarchy | None:
        return next((each for each in found if controller in each.controllers), None)

    def has(controller: str, file: str) -> bool:
        which = tree(controller)
        if which is None:
            return False
        if which.version == 2:
            return not file.startswith("v1:")
        return any(
            os.path.exists(f"{each}/{file.removeprefix('v1:')}") for each in (which.folder(which.own), which.mount)
        )

    def weighs(file: str) -> bool:
        # The root group has none of bfq's weights, but other files of it (bfq_blkcg_legacy_files).
        return has(io, file) or has(io, f"blkio.bfq.{file.rpartition('.')[2]}") or has(io, "blkio.bfq.io_service_bytes")

    io = "io" if tree("io") else "blkio"
    swap_v2 = tree("memory") is not None and os.path.exists("/proc/swaps")
    return Support(
        memory=has("memory", "memory.limit_in_bytes"),
        swap=has("memory", "memory.memsw.limit_in_bytes") and swap_v2,
        swappiness=has("memory", "v1:memory.swappiness"),
        kernel_tcp=has("memory", "v1:memory.kmem.tcp.limit_in_bytes"),
        oom_control=has("memory", "v1:memory.oom_control"),
        pids=has("pids", "cgroup.procs"),
        cpu=has("cpu", "cpu.shares"),
        cpu_quota=has("cpu", "cpu.cfs_quota_us"),
        realtime=has("cpu", "v1:cpu.rt_runtime_us"),
        cpuset=has("cpuset", "cpuset.cpus"),
        io_weight=weighs("blkio.weight"),
        io_weight_device=weighs("blkio.weight_device"),
        io_limits=has(io, "blkio.throttle.read_bps_device"),
    )
