"""The verb that tells what a container uses: events, in runc's JSON, one object a line."""

from __future__ import annotations

import json
import os
import re
import select
import sys
import time

from moby.errors import Conflict, HostUnfit, Invalid, MobyError, NotFound
from moby.host.blocks import suppress
from moby_runtime.native.cli.containers import native
from moby_runtime.native.values import STOPPED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from moby.contracts.runtime import DeviceIo, HugePages, Stats
    from moby_runtime.native.cli.main import Call
    from moby_runtime.native.runtime import Native

__all__ = ["events"]

_NO_LIMIT = 2**64 - 1
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:h|ms|m|s|us|µs|ns))+")


def events(call: Call) -> int:
    """Print statistics once, or at intervals to the container's end, with its OOM kills."""
    container_id = call.arguments[0]
    interval_s = _duration(call.text("interval") or "5s")
    runtime = native(call)
    if runtime.look(container_id)[0] == STOPPED:
        raise Conflict(f"container {container_id!r} is not running")
    if call.on("stats"):
        _print(container_id, "stats", _facts(runtime.stats(container_id)))
        return 0
    _follow(runtime, container_id, interval_s)
    return 0


def _duration(text: str) -> float:
    """Return seconds of what Go writes as 1m30s."""
    if not _DURATION.fullmatch(text):
        raise Invalid(f"--interval {text!r} is no duration", hint="5s, 500ms or 1m30s")
    parts = re.findall(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)", text)
    found = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if found <= 0:
        raise Invalid("--interval must be greater than 0")
    return found


def _print(container_id: str, kind: str, data: Mapping[str, Any] | None = None) -> None:
    event = {"type": kind, "id": container_id} | ({"data": data} if data is not None else {})
    sys.stdout.write(json.dumps(event, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def _follow(runtime: Native, container_id: str, interval_s: float) -> None:
    """Print until the container has ended."""
    watch = runtime.watch_oom(container_id)
    with os.fdopen(watch, "rb", buffering=0) as watched:
        poll = select.poll()
        poll.register(watched, select.POLLIN)
        kills = runtime.stats(container_id).oom_kills or 0
        due = time.monotonic() + interval_s
        while True:
            # Not for longer than a second at once, since some kernels don't tell of the end.
            wait_s = min(max(due - time.monotonic(), 0.0), 1.0)
            if poll.poll(wait_s * 1000):
                os.read(watch, 4096)
            try:
                stats = runtime.stats(container_id)
                ended = runtime.look(container_id)[0] == STOPPED
            except (NotFound, Conflict, HostUnfit, OSError):
                return
            for _ in range(kills, stats.oom_kills or 0):
                _print(container_id, "oom")
            kills = max(kills, stats.oom_kills or 0)
            if ended:
                return
            if time.monotonic() >= due:
                due = time.monotonic() + interval_s
                with suppress(MobyError):
                    _print(container_id, "stats", _facts(stats))


def _facts(stats: Stats) -> dict[str, Any]:
    """Return the statistics in runc's words (its package types, events.go)."""
    return {
        "cpu": _cpu(stats),
        "cpuset": {},
        "memory": _memory(stats),
        "pids": _some({"current": stats.pids, "limit": stats.pids_limit}),
        "blkio": _blkio(stats.io or ()) | _psi(stats, "io"),
        "hugetlb": {each.size: _huge_pages(each) for each in stats.huge_pages or ()},
        "intel_rdt": {},
        "network_interfaces": None,
    }


def _some(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is nothing, as runc does."""
    return {name: value for name, value in values.items() if value}


def _cpu(stats: Stats) -> dict[str, Any]:
    usage = {"kernel": stats.cpu_system_ns or 0, "user": stats.cpu_user_ns or 0}
    throttling = {
        "periods": stats.cpu_periods,
        "throttledPeriods": stats.cpu_throttled_periods,
        "throttledTime": stats.cpu_throttled_ns,
    }
    return {"usage": _some({"total": stats.cpu_ns}) | usage, "throttling": _some(throttling), **_psi(stats, "cpu")}


def _memory(stats: Stats) -> dict[str, Any]:
    detail = stats.memory_detail
    used, swap = stats.memory_bytes or 0, stats.swap_bytes or 0
    limit, swap_limit = stats.memory_limit_bytes or 0, stats.swap_limit_bytes
    both = limit + swap_limit if limit and swap_limit is not None else 0
    return {
        "cache": detail.get("total_cache", detail.get("cache", detail.get("file", 0))),
        "usage": _entry(used, limit, stats.memory_peak_bytes or 0),
        # runc has memory and swap together here, as version 1 counts.
        "swap": _entry(used + swap, both, 0),
        "kernel": {"limit": 0, "failcnt": 0},
        "kernelTCP": {"limit": 0, "failcnt": 0},
        "raw": dict(detail),
        **_psi(stats, "memory"),
    }


def _psi(stats: Stats, name: str) -> dict[str, Any]:
    if name not in stats.pressure:
        return {}
    some, full = (
        {"avg10": each.avg10, "avg60": each.avg60, "avg300": each.avg300, "total": each.total_us}
        for each in stats.pressure[name]
    )
    return {"psi": {"some": some, "full": full}}


def _huge_pages(pages: HugePages) -> dict[str, int]:
    return _some({"usage": pages.used_bytes, "max": pages.peak_bytes or 0}) | {"failcnt": pages.refused}


def _entry(used: int, limit: int, peak: int) -> dict[str, int]:
    return {"limit": limit or _NO_LIMIT, "usage": used, **_some({"max": peak}), "failcnt": 0}


def _blkio(devices: tuple[DeviceIo, ...]) -> dict[str, Any]:
    sizes, counts = [], []
    for each in devices:
        numbers = {"major": each.major, "minor": each.minor}
        sizes += [
            {**numbers, "op": "Read", "value": each.read_bytes},
            {**numbers, "op": "Write", "value": each.written_bytes},
        ]
        counts += [{**numbers, "op": "Read", "value": each.reads}, {**numbers, "op": "Write", "value": each.writes}]
    return _some({"ioServiceBytesRecursive": sizes, "ioServicedRecursive": counts})
