"""What a container uses, in docker's form, of cgroups of version 1 and 2."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import asdict

from moby.contracts.containers import Container
from moby.contracts.runtime import Stats
from moby.errors import MobyError
from moby_frontend.docker.call import Call, Reply, Version, encode, reply_json, stream
from moby_frontend.docker.parts import Parts
from moby_frontend.docker.times import ZERO, rfc3339
from moby_frontend.traffic.interfaces import interfaces

__all__ = ["show_stats", "stats"]

_EVERY_S = 1.0
_TICK_NS = 10**9 // 100
_BLKIO = (
    "io_service_bytes_recursive", "io_serviced_recursive", "io_queue_recursive", "io_service_time_recursive",
    "io_wait_time_recursive", "io_merged_recursive", "io_time_recursive", "sectors_recursive",
)  # fmt: skip


def stats(parts: Parts, call: Call) -> Reply:
    """Show what it uses: each second, or once, with or without waiting for a second figure to compare with."""
    container = parts.containers.get(call.names["name"])
    sample = _Samples(parts, container, call.version)
    if call.query.flag("stream", default=True):
        return stream(_followed(call, sample), "application/json")
    if not call.query.flag("one-shot"):
        sample.take()
        if sample.running:
            call.link.watch(-1, _EVERY_S)
    return reply_json(sample.take())


def _followed(call: Call, sample: "_Samples") -> Iterator[bytes]:
    yield b""
    sample.take()
    if sample.running:
        call.link.watch(-1, _EVERY_S, follows=True)
    while True:
        shown = sample.take()
        yield encode(shown) + b"\n"
        call.link.watch(-1, _EVERY_S, follows=True)
        if sample.gone:
            return


class _Samples:
    """Figures of one container, each beside the one before."""

    def __init__(self, parts: Parts, container: Container, version: Version) -> None:
        self._parts, self._container, self._version = parts, container, version
        self._before: tuple[dict[str, Any], str] = (_no_cpu(), ZERO)
        self.running = False
        self.gone = False

    def take(self) -> dict[str, Any]:
        """Return what it uses now."""
        try:
            found = self._parts.containers.stats(self._container.id)
        except MobyError:
            found, self.gone = None, True
        self.running = found is not None
        cpu, read = (_no_cpu(), ZERO) if found is None else (_cpu(found), rfc3339(found.time_ns))
        shown = show_stats(found, self._container)
        before, preread = self._before
        self._before = (cpu, read)
        networks = _networks(self._container, self._parts) if found is not None else {}
        head = {"read": read, "preread": preread}
        return head | shown | {"cpu_stats": cpu, "precpu_stats": before} | (
            {"networks": networks} if networks else {}
        )  # fmt: skip


def show_stats(found: Stats | None, container: Container) -> dict[str, Any]:
    """Return all figures but those of the processor."""
    return {
        "pids_stats": _pids(found),
        "blkio_stats": _io(found),
        "num_procs": 0,
        "storage_stats": {},
        "memory_stats": {} if found is None else _memory(found),
        "name": f"/{container.name}",
        "id": container.id,
    }


def _pids(found: Stats | None) -> dict[str, int]:
    if found is None or found.pids is None:
        return {}
    return {"current": found.pids} | ({"limit": found.pids_limit} if found.pids_limit else {})


def _no_cpu() -> dict[str, Any]:
    usage = {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0}
    return {"cpu_usage": usage, "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0}}


def _cpu(found: Stats) -> dict[str, Any]:
    usage = {
        "total_usage": found.cpu_ns or 0,
        "usage_in_kernelmode": found.cpu_system_ns or 0,
        "usage_in_usermode": found.cpu_user_ns or 0,
    }
    throttled = {
        "periods": found.cpu_periods or 0,
        "throttled_periods": found.cpu_throttled_periods or 0,
        "throttled_time": found.cpu_throttled_ns or 0,
    }
    return {
        "cpu_usage": usage,
        "system_cpu_usage": _system_cpu_ns(),
        "online_cpus": len(os.sched_getaffinity(0)),
        "throttling_data": throttled,
    }


def _system_cpu_ns() -> int:
    """Return the time that all processors were busy or idle, of /proc/stat's first line (proc_stat(5))."""
    with open("/proc/stat", "rb") as file:  # noqa: PTH123 - read each second
        return sum(int(each) for each in file.readline().split()[1:8]) * _TICK_NS


def _is_v1(detail: Mapping[str, int]) -> bool:
    return "rss" in detail or "cache" in detail


def _memory(found: Stats) -> dict[str, Any]:
    if found.memory_bytes is None:
        return {}
    limit = found.memory_limit_bytes or _machine_memory()
    peak = {"max_usage": found.memory_peak_bytes} if found.memory_peak_bytes and _is_v1(found.memory_detail) else {}
    return {"usage": found.memory_bytes} | peak | {
        "stats": dict(found.memory_detail), "limit": min(limit, _machine_memory()),
    }  # fmt: skip


def _machine_memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _io(found: Stats | None) -> dict[str, Any]:
    """Return figures of block devices; version 2 has those of bytes alone."""
    empty: list[Any] | None = None if found is None or not _is_v1(found.memory_detail) else []
    shown: dict[str, Any] = dict.fromkeys(_BLKIO, empty)
    if found is None or not found.io:
        return shown
    old = _is_v1(found.memory_detail)
    amounts, counts = [], []
    for each in found.io:
        where = {"major": each.major, "minor": each.minor}
        read, write = ("Read", "Write") if old else ("read", "write")
        amounts += [
            {**where, "op": read, "value": each.read_bytes},
            {**where, "op": write, "value": each.written_bytes},
        ]
        counts += [{**where, "op": read, "value": each.reads}, {**where, "op": write, "value": each.writes}]
        if old:
            amounts.append({**where, "op": "Total", "value": each.read_bytes + each.written_bytes})
            counts.append({**where, "op": "Total", "value": each.reads + each.writes})
    shown["io_service_bytes_recursive"] = amounts
    if old:
        shown["io_serviced_recursive"] = counts
    return shown


def _networks(container: Container, parts: Parts) -> dict[str, Any]:
    """Return the traffic of a container's own interfaces."""
    try:
        pid = parts.containers.get(container.id).state.pid
    except MobyError:
        return {}
    return {name: asdict(each) for name, each in interfaces(container, pid).items()}
