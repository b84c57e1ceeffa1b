"""From linux.resources (runtime-spec, config-linux.md) to lines for the files of a cgroup.

Each controller by itself is in a tree of version 1 or 2, so that both can be meant at once. What is 0 and no limit
in Go's structures, from which most bundles are written, asks for nothing, as with other runtimes.
"""

from __future__ import annotations

import math
import os

from moby.host.files import read_text
from moby.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from moby.host.cgroups import Group

__all__ = ["Files", "Write", "writes"]

_PATH = "linux.resources"
_THROTTLES = (
    ("throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"),
    ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"),
    ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops"),
    ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops"),
)
_LEAST_SHARES, _MOST_SHARES = 2, 262144
_DEFAULT_PERIOD_US = 100000
_NO_SUCH_THING = "there is nothing like it in version 2 of control groups"


@frozen
class Write:
    """One line for the first of some files that is there; `field` is what of config.json asks for it."""

    files: tuple[str, ...]
    text: str
    field: str
    optional: bool = False
    """Whether nothing is lost where none of the files is there."""
    wrong: str = ""
    """Why it can't be, whatever the host has: the value's own fault."""
    lacking: str = ""
    """Why it can't be on this host."""
    unified: bool = False
    """Whether only the tree of version 2 is meant."""


class Files:
    """Finds the files of a group; those of one controller are in one folder."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self._folders = group.folders
        self._unified = group.unified or ""
        self._known: dict[str, tuple[str, ...]] = {}

    def find(self, name: str, *, unified: bool = False) -> str:
        """Return the path of a file; empty where it isn't there."""
        controller = name.partition(".")[0]
        folders = (self._unified,) if unified else self._known.get(controller, self._folders)
        for folder in folders:
            path = f"{folder}/{name}"
            if folder and os.access(path, os.F_OK):
                if not unified:
                    self._known[controller] = (folder,)
                return path
        return ""

    def read(self, name: str) -> str:
        """Return what is in a file; empty where it isn't there."""
        path = self.find(name)
        return read_text(path).strip() if path else ""


def writes(files: Files, resources: Mapping[str, Any]) -> Iterator[Write]:
    """Yield what is to be written, in an order in which most of it can be."""
    for name, of_controller in _CONTROLLERS.items():
        if part := resources.get(name):
            yield from of_controller(files, part)


def shares_to_weight(shares: int) -> int:
    """Turn shares (2 to 262144, 1024 is usual) into a weight (1 to 10000, 100 is usual).

    A curve through these three points: its logarithm is a quadratic function, as with runc and crun.
    """
    if shares <= _LEAST_SHARES:
        return 1
    if shares >= _MOST_SHARES:
        return 10000
    log = math.log2(shares)
    return math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34))


def _weight_of_io(weight: int) -> int:
    """Turn a weight of blkio (10 to 1000) into one of io (1 to 10000)."""
    return 1 + (weight - 10) * 9999 // 990


def _limit(value: int) -> str:
    return "max" if value < 0 else str(value)


# --- memory ---------------------------------------------------------------------------------------------------------


def _memory(files: Files, memory: Mapping[str, Any]) -> Iterator[Write]:
    of_version = _memory_v1 if files.find("memory.limit_in_bytes") else _memory_v2
    yield from of_version(files, memory)
    # Limits of kernel memory are no more (Linux 5.16), and were bad ones before: they ask for nothing.


def _memory_v1(files: Files, memory: Mapping[str, Any]) -> Iterator[Write]:
    path = f"{_PATH}.memory"
    limit, swap = memory.get("limit", 0), memory.get("swap", 0)
    if limit:
        yield Write(("memory.limit_in_bytes",), str(limit), f"{path}.limit")
    if swap or limit == -1:
        # Whoever takes the limit away takes that of both together away; there may be no swap to limit.
        swap = swap or -1
        yield Write(("memory.memsw.limit_in_bytes",), str(swap), f"{path}.swap", optional=swap == -1)
    if reservation := memory.get("reservation"):
        yield Write(("memory.soft_limit_in_bytes",), str(reservation), f"{path}.reservation")
    if memory.get("swappiness", -1) != -1:
        yield Write(("memory.swappiness",), str(memory["swappiness"]), f"{path}.swappiness")
    if "disableOOMKiller" in memory:
        off = memory["disableOOMKiller"]
        yield Write(("memory.oom_control",), str(int(off)), f"{path}.disableOOMKiller", optional=not off)
    if "useHierarchy" in memory:
        yield Write(("memory.use_hierarchy",), str(int(memory["useHierarchy"])), f"{path}.useHierarchy")


def _memory_v2(files: Files, memory: Mapping[str, Any]) -> Iterator[Write]:
    path = f"{_PATH}.memory"
    limit, swap = memory.get("limit", 0), memory.get("swap", 0)
    if memory.get("checkBeforeUpdate") and limit > 0:
        used = int(files.read("memory.current") or 0)
        if used > limit:
            yield Write((), "", f"{path}.limit", wrong=f"{limit} is less than the {used} bytes that are in use")
    if swap or limit == -1:
        yield _swap_v2(files, limit, swap)
    if limit:
        yield Write(("memory.max",), _limit(limit), f"{path}.limit")
    if reservation := memory.get("reservation"):
        yield Write(("memory.low",), _limit(reservation), f"{path}.reservation")
    if memory.get("swappiness", -1) != -1:
        yield Write((), "", f"{path}.swappiness", lacking=_NO_SUCH_THING)
    if memory.get("disableOOMKiller"):
        yield Write((), "", f"{path}.disableOOMKiller", lacking=_NO_SUCH_THING)
    if memory.get("useHierarchy") is False:
        yield Write((), "", f"{path}.useHierarchy", lacking="version 2 of control groups always has a hierarchy")


def _swap_v2(files: Files, limit: int, swap: int) -> Write:
    """Version 1, and so the specification, counts memory and swap together; version 2 swap alone."""
    path = f"{_PATH}.memory.swap"
    if swap <= 0 or limit < 0:
        alone = swap or -1
    else:
        known = limit or int(files.read("memory.max").replace("max", "0") or 0)
        if not known:
            return Write((), "", path, wrong="is of memory and swap together, so it needs linux.resources.memory.limit")
        if swap < known:
            return Write((), "", path, wrong=f"is of memory and swap together, so {swap} can't be less than {known}")
        alone = swap - known
    return Write(("memory.swap.max",), _limit(alone), path, optional=alone <= 0)


# --- cpu ------------------------------------------------------------------------------------------------------------


def _cpu(files: Files, cpu: Mapping[str, Any]) -> Iterator[Write]:
    of_version = _cpu_v1 if files.find("cpu.shares") else _cpu_v2
    yield from of_version(files, cpu)
    for name in ("cpus", "mems"):
        if cpu.get(name):
            yield Write((f"cpuset.{name}",), cpu[name], f"{_PATH}.cpu.{name}")


def _cpu_v1(files: Files, cpu: Mapping[str, Any]) -> Iterator[Write]:
    path = f"{_PATH}.cpu"
    if shares := cpu.get("shares"):
        yield Write(("cpu.shares",), str(shares), f"{path}.shares", wrong=_wrong_shares(shares))
    for name, file in (
        ("period", "cpu.cfs_period_us"), ("quota", "cpu.cfs_quota_us"), ("realtimePeriod", "cpu.rt_period_us"),
        ("realtimeRuntime", "cpu.rt_runtime_us"),
    ):  # fmt: skip
        if value := cpu.get(name):
            yield Write((file,), str(value), f"{path}.{name}")
    yield from _burst_and_idle(cpu, "cpu.cfs_burst_us")


def _wrong_shares(shares: int) -> str:
    if _LEAST_SHARES <= shares <= _MOST_SHARES:
        return ""
    return f"must be from {_LEAST_SHARES} to {_MOST_SHARES}, not {shares}"


def _burst_and_idle(cpu: Mapping[str, Any], burst_file: str) -> Iterator[Write]:
    for name, file in (("burst", burst_file), ("idle", "cpu.idle")):
        if name in cpu:
            yield Write((file,), str(cpu[name]), f"{_PATH}.cpu.{name}", optional=not cpu[name])


def _cpu_v2(files: Files, cpu: Mapping[str, Any]) -> Iterator[Write]:
    path = f"{_PATH}.cpu"
    if shares := cpu.get("shares"):
        yield Write(("cpu.weight",), str(shares_to_weight(shares)), f"{path}.shares")
    quota, period = cpu.get("quota"), cpu.get("period")
    if quota or period:
        # One of them alone leaves the other as it is.
        now_quota, now_period = (files.read("cpu.max") or f"max {_DEFAULT_PERIOD_US}").split()
        text = f"{_limit(quota) if quota else now_quota} {period or now_period}"
        yield Write(("cpu.max",), text, f"{path}.{'quota' if quota else 'period'}")
    for name in ("realtimeRuntime", "realtimePeriod"):
        if cpu.get(name):
            yield Write((), "", f"{path}.{name}", lacking=_NO_SUCH_THING)
    yield from _burst_and_idle(cpu, "cpu.max.burst")


# --- the rest -------------------------------------------------------------------------------------------------------


def _pids(files: Files, pids: Mapping[str, Any]) -> Iterator[Write]:
    if "limit" in pids:
        # With none at all nothing would start; systemd takes 1 for it, too.
        limit = pids["limit"] or 1
        yield Write(("pids.max",), _limit(limit), f"{_PATH}.pids.limit", optional=limit < 0)


def _block_io(files: Files, block: Mapping[str, Any]) -> Iterator[Write]:
    path = f"{_PATH}.blockIO"
    one = bool(files.find("blkio.reset_stats"))
    of_version = _weights_v1 if one else _weights_v2
    yield from of_version(files, block)
    for name, file, key in _THROTTLES:
        for index, each in enumerate(block.get(name) or ()):
            device, where = f"{each['major']}:{each['minor']}", f"{path}.{name}[{index}]"
            if one:
                yield Write((file,), f"{device} {each['rate']}", where)
            else:
                yield Write(("io.max",), f"{device} {key}={each['rate'] or 'max'}", where)


def _weights_v1(files: Files, block: Mapping[str, Any]) -> Iterator[Write]:
    # Which files there are depends on the scheduler; only the one that is gone (CFQ) had weights of leaves.
    path = f"{_PATH}.blockIO"
    if weight := block.get("weight"):
        yield Write(("blkio.weight", "blkio.bfq.weight"), str(weight), f"{path}.weight")
    if weight := block.get("leafWeight"):
        yield Write(("blkio.leaf_weight",), str(weight), f"{path}.leafWeight")
    for index, each in enumerate(block.get("weightDevice") or ()):
        device, where = f"{each['major']}:{each['minor']}", f"{path}.weightDevice[{index}]"
        if weight := each.get("weight"):
            yield Write(("blkio.weight_device", "blkio.bfq.weight_device"), f"{device} {weight}", f"{where}.weight")
        if weight := each.get("leafWeight"):
            yield Write(("blkio.leaf_weight_device",), f"{device} {weight}", f"{where}.leafWeight")


def _weights_v2(files: Files, block: Mapping[str, Any]) -> Iterator[Write]:
    path = f"{_PATH}.blockIO"
    bfq = bool(files.find("io.bfq.weight"))
    file = "io.bfq.weight" if bfq else "io.weight"
    if weight := block.get("weight"):
        yield Write((file,), str(weight if bfq else _weight_of_io(weight)), f"{path}.weight")
    if block.get("leafWeight"):
        yield Write((), "", f"{path}.leafWeight", lacking=_NO_SUCH_THING)
    for index, each in enumerate(block.get("weightDevice") or ()):
        where = f"{path}.weightDevice[{index}]"
        if weight := each.get("weight"):
            text = f"{each['major']}:{each['minor']} {weight if bfq else _weight_of_io(weight)}"
            yield Write((file,), text, f"{where}.weight")
        if each.get("leafWeight"):
            yield Write((), "", f"{where}.leafWeight", lacking=_NO_SUCH_THING)


def _huge_pages(files: Files, limits: Sequence[Mapping[str, Any]]) -> Iterator[Write]:
    for index, each in enumerate(limits):
        where, size, text = f"{_PATH}.hugepageLimits[{index}]", each["pageSize"], str(each["limit"])
        yield Write((f"hugetlb.{size}.limit_in_bytes", f"hugetlb.{size}.max"), text, where)
        # What is reserved is limited too where the kernel counts it (5.7).
        rsvd = (f"hugetlb.{size}.rsvd.limit_in_bytes", f"hugetlb.{size}.rsvd.max")
        yield Write(rsvd, text, where, optional=True)


def _network(files: Files, network: Mapping[str, Any]) -> Iterator[Write]:
    if number := network.get("classID"):
        yield Write(("net_cls.classid",), str(number), f"{_PATH}.network.classID")
    for index, each in enumerate(network.get("priorities") or ()):
        text = f"{each['name']} {each['priority']}"
        yield Write(("net_prio.ifpriomap",), text, f"{_PATH}.network.priorities[{index}]")


def _rdma(files: Files, devices: Mapping[str, Mapping[str, int]]) -> Iterator[Write]:
    for name, each in devices.items():
        limits = [
            f"{key}={each[field]}" for field, key in (("hcaHandles", "hca_handle"), ("hcaObjects", "hca_object"))
            if field in each
        ]  # fmt: skip
        yield Write(("rdma.max",), " ".join([name, *limits]), f"{_PATH}.rdma.{name}")


def _unified(files: Files, lines: Mapping[str, str]) -> Iterator[Write]:
    for name, text in lines.items():
        for line in text.splitlines() or [""]:
            yield Write((name,), line, f"{_PATH}.unified.{name}", unified=True)


_CONTROLLERS: Mapping[str, Callable[[Files, Any], Iterator[Write]]] = {
    "memory": _memory,
    "cpu": _cpu,
    "pids": _pids,
    "blockIO": _block_io,
    "hugepageLimits": _huge_pages,
    "network": _network,
    "rdma": _rdma,
    "unified": _unified,
}
