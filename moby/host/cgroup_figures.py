"""What a cgroup uses and has used, from files of version 1 or 2, each controller where it is.

Sources: kernel, admin-guide/cgroup-v2.rst, admin-guide/cgroup-v1, accounting/psi.rst.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from moby.contracts.runtime_values import DeviceIo, HugePages, Stall, Stats
from moby.host.cgroups import Group
from moby.host.files import read_text

__all__ = ["figures", "huge_page_sizes", "oom_kills", "reached_limit"]

_NO_LIMIT = 2**63 - 2**16
"""From here on version 1 means none; what it shows is rounded to pages, which may have 64 KiB."""


def figures(group: Group) -> Stats:
    """Read all of a group's figures; what vanishes meanwhile is None."""
    return Stats(
        time.time_ns(), **_cpu(group), **_memory(group), **_pids(group), io=_io(group), huge_pages=_huge_pages(group),
        rdma=_rdma(group), pressure=_pressure(group), oom_kills=oom_kills(group),
    )  # fmt: skip


def _text(path: str | None) -> str:
    try:
        return read_text(path) if path else ""
    except OSError:
        return ""


def _number(group: Group, name: str) -> int | None:
    """Read a file that has one number; `max` and what version 1 has for it are 0."""
    text = _text(group.file(name)).strip()
    if text == "max":
        return 0
    return None if not text else 0 if int(text) >= _NO_LIMIT else int(text)


def _pairs(text: str) -> dict[str, int]:
    """Read lines of a name and a number."""
    found = {}
    for line in text.splitlines():
        name, _, number = line.rpartition(" ")
        if name:
            found[name] = int(number)
    return found


def _cpu(group: Group) -> dict[str, Any]:
    used = _number(group, "cpuacct.usage")
    if used is None:
        stat = _pairs(_text(_unified(group, "cpu.stat")))
        names = {"cpu_ns": "usage_usec", "cpu_user_ns": "user_usec", "cpu_system_ns": "system_usec"}
        found = {name: stat[key] * 1000 if key in stat else None for name, key in names.items()}
    else:
        found = {"cpu_ns": used, "cpu_user_ns": _number(group, "cpuacct.usage_user")}
        found["cpu_system_ns"] = _number(group, "cpuacct.usage_sys")
    bandwidth = _pairs(_text(group.file("cpu.stat")))
    throttled_us = bandwidth.get("throttled_usec")
    return {
        **found,
        "cpu_periods": bandwidth.get("nr_periods"),
        "cpu_throttled_periods": bandwidth.get("nr_throttled"),
        "cpu_throttled_ns": bandwidth.get("throttled_time") if throttled_us is None else throttled_us * 1000,
    }


def _unified(group: Group, name: str) -> str | None:
    return f"{group.unified}/{name}" if group.unified else None


def _memory(group: Group) -> dict[str, Any]:
    if group.file("memory.usage_in_bytes"):
        used, limit = _number(group, "memory.usage_in_bytes"), _number(group, "memory.limit_in_bytes")
        both, both_limit = _number(group, "memory.memsw.usage_in_bytes"), _number(group, "memory.memsw.limit_in_bytes")
        swap = None if both is None or used is None else max(both - used, 0)
        swap_limit = 0 if both_limit == 0 else max((both_limit or 0) - (limit or 0), 0) or None
        peak = _number(group, "memory.max_usage_in_bytes")
    else:
        used, limit = _number(group, "memory.current"), _number(group, "memory.max")
        swap, swap_limit = _number(group, "memory.swap.current"), _number(group, "memory.swap.max")
        if _text(group.file("memory.swap.max")).strip() == "0":
            swap_limit = None
        peak = _number(group, "memory.peak")
    return {
        "memory_bytes": used, "memory_limit_bytes": limit, "memory_peak_bytes": peak,
        "memory_detail": _pairs(_text(group.file("memory.stat"))), "swap_bytes": swap, "swap_limit_bytes": swap_limit,
    }  # fmt: skip


def oom_kills(group: Group) -> int | None:
    """Return how many processes of a group, and of those below it, the kernel has killed for want of memory."""
    control = group.file("memory.oom_control")
    if control is None:
        return _pairs(_text(group.file("memory.events"))).get("oom_kill")
    below = Path(control).parent.rglob("*/memory.oom_control")
    counts = [_pairs(_text(path)).get("oom_kill") for path in (control, *map(str, below))]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def reached_limit(group: Group) -> bool:
    """Whether a group has ever had all the memory that its own limit lets it, rather than one above; also if unknown.

    Sources: kernel, admin-guide/cgroup-v2.rst (memory.events, oom) and cgroup-v1/memory.rst (memory.failcnt).
    """
    if group.file("memory.oom_control") is not None:
        counts = [_text(group.file(f"memory.{kind}failcnt")).strip() for kind in ("", "memsw.", "kmem.")]
        return any(count not in ("", "0") for count in counts) or not any(counts)
    return _pairs(_text(group.file("memory.events"))).get("oom", 1) > 0


def _pids(group: Group) -> dict[str, Any]:
    return {"pids": _number(group, "pids.current"), "pids_limit": _number(group, "pids.max")}


# --- devices --------------------------------------------------------------------------------------------------------

_V1_IO = (
    ("io_service_bytes_recursive", {"Read": "read_bytes", "Write": "written_bytes"}),
    ("io_serviced_recursive", {"Read": "reads", "Write": "writes"}),
)
_V2_IO = {"rbytes": "read_bytes", "wbytes": "written_bytes", "rios": "reads", "wios": "writes"}


def _io(group: Group) -> tuple[DeviceIo, ...] | None:
    found: dict[tuple[int, int], dict[str, int]] = {}
    prefix = next((name for name in ("blkio.throttle", "blkio.bfq") if group.file(f"{name}.io_serviced_recursive")), "")
    stat = group.file("io.stat")
    if not prefix and stat is None:
        return None
    for device, name, number in _io_v1(group, prefix) if prefix else _io_v2(_text(stat)):
        major, minor = device.split(":")
        found.setdefault((int(major), int(minor)), {})[name] = number
    return tuple(DeviceIo(*device, **values) for device, values in sorted(found.items()))


def _io_v1(group: Group, prefix: str) -> Iterator[tuple[str, str, int]]:
    for file, names in _V1_IO:
        for line in _text(group.file(f"{prefix}.{file}")).splitlines():
            words = line.split()
            if len(words) == 3 and words[1] in names:
                yield words[0], names[words[1]], int(words[2])


def _io_v2(text: str) -> Iterator[tuple[str, str, int]]:
    for line in text.splitlines():
        device, *words = line.split()
        for word in words:
            key, _, number = word.partition("=")
            if key in _V2_IO and ":" in device:
                yield device, _V2_IO[key], int(number)


# --- the rest -------------------------------------------------------------------------------------------------------


def huge_page_sizes(group: Group, root: Path = Path("/sys/kernel/mm/hugepages")) -> tuple[str, ...]:
    """Return the sizes of huge pages that a group can limit, as its files spell them: 2MB, 1GB."""
    found = []
    for each in root.glob("hugepages-*kB") if root.is_dir() else ():
        size = int(each.name.removeprefix("hugepages-").removesuffix("kB"))
        shift, unit = next((unit for unit in ((20, "GB"), (10, "MB")) if size >> unit[0]), (0, "KB"))
        spelled = f"{size >> shift}{unit}"
        if group.file(f"hugetlb.{spelled}.max") or group.file(f"hugetlb.{spelled}.limit_in_bytes"):
            found.append(spelled)
    return tuple(sorted(found))


def _huge_pages(group: Group) -> tuple[HugePages, ...] | None:
    sizes = huge_page_sizes(group)
    return tuple(_of_size(group, size) for size in sizes) if sizes else None


def _of_size(group: Group, size: str) -> HugePages:
    prefix = f"hugetlb.{size}.rsvd"
    if not group.file(f"{prefix}.max") and not group.file(f"{prefix}.limit_in_bytes"):
        prefix = f"hugetlb.{size}"
    if group.file(f"{prefix}.limit_in_bytes"):
        used, peak = _number(group, f"{prefix}.usage_in_bytes"), _number(group, f"{prefix}.max_usage_in_bytes")
        return HugePages(size, used or 0, peak, _number(group, f"{prefix}.failcnt") or 0)
    refused = _pairs(_text(group.file(f"hugetlb.{size}.events"))).get("max", 0)
    return HugePages(size, _number(group, f"{prefix}.current") or 0, None, refused)


def _rdma(group: Group) -> dict[str, dict[str, int]]:
    found = {}
    for line in _text(group.file("rdma.current")).splitlines():
        device, *words = line.split()
        found[device] = {key: int(number) for key, _, number in (word.partition("=") for word in words)}
    return found


def _pressure(group: Group) -> dict[str, tuple[Stall, Stall]]:
    """Read what the tree of version 2 knows of waiting, which needs none of its controllers."""
    found = {}
    for name in ("cpu", "memory", "io"):
        stalls = {}
        for line in _text(_unified(group, f"{name}.pressure")).splitlines():
            kind, *words = line.split()
            values = dict(word.split("=") for word in words)
            averages = [float(values[key]) for key in ("avg10", "avg60", "avg300")]
            stalls[kind] = Stall(averages[0], averages[1], averages[2], int(values["total"]))
        if stalls:
            found[name] = (stalls.get("some", Stall()), stalls.get("full", Stall()))
    return found
