"""A container's limits as config.json has them (runtime-spec, config-linux.md, cgroups)."""

from typing import Any

from moby.contracts.containers import Resources
from moby_containers.engine.devices import numbers_of, rates_of

__all__ = ["limits_of", "rlimits_of"]

_PERIOD_US = 100_000
_BILLION = 1_000_000_000
_NO_LIMIT = 2**64 - 1


def limits_of(asked: Resources) -> dict[str, Any]:
    """Return `linux.resources` but for the devices; what wasn't asked for isn't in it."""
    found = {
        "memory": _memory(asked),
        "cpu": _cpu(asked),
        "pids": _pids(asked),
        "blockIO": _io(asked),
    }
    return {name: values for name, values in found.items() if values}


def _memory(asked: Resources) -> dict[str, Any]:
    found: dict[str, Any] = {
        "limit": asked.memory_bytes,
        "reservation": asked.memory_reservation_bytes,
        "swap": asked.memory_swap_bytes,
        "kernelTCP": asked.kernel_memory_tcp_bytes,
        "disableOOMKiller": bool(asked.oom_kill_disable),
    }
    found = {name: value for name, value in found.items() if value}
    if asked.memory_swappiness is not None and asked.memory_swappiness >= 0:
        found["swappiness"] = asked.memory_swappiness
    return found


def _pids(asked: Resources) -> dict[str, Any]:
    """Return the limit; what isn't above 0 is none, and takes an older one away."""
    if asked.pids_limit is None:
        return {}
    return {"limit": asked.pids_limit if asked.pids_limit > 0 else -1}


def _cpu(asked: Resources) -> dict[str, Any]:
    found: dict[str, Any] = {
        "shares": asked.cpu_shares,
        "period": asked.cpu_period_us,
        "quota": asked.cpu_quota_us,
        "realtimePeriod": asked.cpu_realtime_period_us,
        "realtimeRuntime": asked.cpu_realtime_runtime_us,
        "cpus": asked.cpuset_cpus,
        "mems": asked.cpuset_mems,
    }
    if asked.nano_cpus:
        found["period"] = _PERIOD_US
        # Of a container of an older engine, which took less than a kernel does.
        found["quota"] = max(1000, asked.nano_cpus * _PERIOD_US // _BILLION)
    return {name: value for name, value in found.items() if value}


def _io(asked: Resources) -> dict[str, Any]:
    found: dict[str, Any] = {
        "weight": asked.blkio_weight,
        "weightDevice": [{**numbers_of(each.path), "weight": each.weight} for each in asked.blkio_weight_devices],
        "throttleReadBpsDevice": rates_of(asked.blkio_read_bps),
        "throttleWriteBpsDevice": rates_of(asked.blkio_write_bps),
        "throttleReadIOPSDevice": rates_of(asked.blkio_read_iops),
        "throttleWriteIOPSDevice": rates_of(asked.blkio_write_iops),
    }
    return {name: value for name, value in found.items() if value}


def rlimits_of(asked: Resources) -> list[dict[str, Any]]:
    """Return `process.rlimits`."""

    def number(value: int) -> int:
        return _NO_LIMIT if value < 0 else value

    return [
        {"type": f"RLIMIT_{each.name.upper()}", "soft": number(each.soft), "hard": number(each.hard)}
        for each in asked.ulimits
    ]
