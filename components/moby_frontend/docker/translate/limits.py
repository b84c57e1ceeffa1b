"""Resources of a container: HostConfig's limits and devices, and what an update changes."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from moby.contracts.containers import (
    ContainerUpdate,
    DeviceMapping,
    DeviceRate,
    DeviceRequest,
    DeviceWeight,
    Resources,
    RestartPolicy,
    Ulimit,
)
from moby_frontend.docker.translate.forms import (
    MAYBE_FLAG,
    MAYBE_NUMBER,
    NUMBER,
    TEXT,
    TEXT_MAP,
    TEXTS,
    Field,
    Form,
    items,
    object_of,
    read,
    show,
)

__all__ = ["FIELDS", "RESTART", "read_resources", "read_restart", "read_update", "show_resources"]

T = TypeVar("T")


def _list(make: Callable[..., T], fields: tuple[Field, ...], *, null: bool = True) -> Form:
    """Return the form of a list of objects."""

    def reader(value: Any, where: str) -> tuple[T, ...]:
        return tuple(make(**read(fields, object_of(each, where), where)) for each in items(value, where))

    return Form(reader, lambda value: [show(fields, each) for each in value] or (None if null else []))


_DEVICE = (
    Field("PathOnHost", "host_path", TEXT),
    Field("PathInContainer", "path", TEXT),
    Field("CgroupPermissions", "permissions", TEXT),
)
_WEIGHT = (Field("Path", "path", TEXT), Field("Weight", "weight", NUMBER))
_RATE = (Field("Path", "path", TEXT), Field("Rate", "rate", NUMBER))
_ULIMIT = (Field("Name", "name", TEXT), Field("Hard", "hard", NUMBER), Field("Soft", "soft", NUMBER))


def _capabilities(value: Any, where: str) -> tuple[tuple[str, ...], ...]:
    return tuple(TEXTS.read(each, where) for each in items(value, where))


_REQUEST = (
    Field("Driver", "driver", TEXT),
    Field("Count", "count", NUMBER),
    Field("DeviceIDs", "ids", TEXTS),
    Field("Capabilities", "capabilities", Form(_capabilities, lambda value: [list(each) for each in value] or None)),
    Field("Options", "options", TEXT_MAP),
)


def _device(host_path: str = "", path: str = "", permissions: str = "") -> DeviceMapping:
    return DeviceMapping(host_path, path, permissions)


def _weight(path: str = "", weight: int = 0) -> DeviceWeight:
    return DeviceWeight(path, weight)


def _rate(path: str = "", rate: int = 0) -> DeviceRate:
    return DeviceRate(path, rate)


def _ulimit(name: str = "", soft: int = 0, hard: int = 0) -> Ulimit:
    return Ulimit(name, soft, hard)


_RATES = _list(_rate, _RATE)

FIELDS: tuple[Field, ...] = (
    Field("CpuShares", "cpu_shares", NUMBER),
    Field("Memory", "memory_bytes", NUMBER),
    Field("NanoCpus", "nano_cpus", NUMBER),
    Field("CgroupParent", "cgroup_parent", TEXT),
    Field("BlkioWeight", "blkio_weight", NUMBER),
    Field("BlkioWeightDevice", "blkio_weight_devices", _list(_weight, _WEIGHT)),
    Field("BlkioDeviceReadBps", "blkio_read_bps", _RATES),
    Field("BlkioDeviceWriteBps", "blkio_write_bps", _RATES),
    Field("BlkioDeviceReadIOps", "blkio_read_iops", _RATES),
    Field("BlkioDeviceWriteIOps", "blkio_write_iops", _RATES),
    Field("CpuPeriod", "cpu_period_us", NUMBER),
    Field("CpuQuota", "cpu_quota_us", NUMBER),
    Field("CpuRealtimePeriod", "cpu_realtime_period_us", NUMBER),
    Field("CpuRealtimeRuntime", "cpu_realtime_runtime_us", NUMBER),
    Field("CpusetCpus", "cpuset_cpus", TEXT),
    Field("CpusetMems", "cpuset_mems", TEXT),
    Field("Devices", "devices", _list(_device, _DEVICE)),
    Field("DeviceCgroupRules", "device_cgroup_rules", TEXTS),
    Field("DeviceRequests", "device_requests", _list(DeviceRequest, _REQUEST)),
    Field("KernelMemoryTCP", "kernel_memory_tcp_bytes", NUMBER, omit=True),
    Field("MemoryReservation", "memory_reservation_bytes", NUMBER),
    Field("MemorySwap", "memory_swap_bytes", NUMBER),
    Field("MemorySwappiness", "memory_swappiness", MAYBE_NUMBER),
    Field("OomKillDisable", "oom_kill_disable", MAYBE_FLAG),
    Field("PidsLimit", "pids_limit", MAYBE_NUMBER),
    Field("Ulimits", "ulimits", _list(_ulimit, _ULIMIT)),
)
RESTART = (Field("Name", "name", TEXT), Field("MaximumRetryCount", "maximum_retries", NUMBER))
_USUAL = -1
"""The swappiness by which docker's command says that none is asked for; none is kept then, as with dockerd."""
_WINDOWS = {"CpuCount": 0, "CpuPercent": 0, "IOMaximumIOps": 0, "IOMaximumBandwidth": 0}
"""What means nothing on Linux, and is shown all the same."""


def read_resources(value: Mapping[str, Any], where: str = "HostConfig") -> Resources:
    """Return what a HostConfig limits."""
    given = read(FIELDS, value, where)
    if given.get("memory_swappiness") == _USUAL:
        given["memory_swappiness"] = None
    if given.get("pids_limit", 0) <= 0:  # docker's command says 0 where none is asked for, and any negative is none
        given["pids_limit"] = None
    return Resources(**given)


def show_resources(resources: Resources) -> dict[str, Any]:
    """Return the part of a HostConfig that limits."""
    return show(FIELDS, resources) | _WINDOWS


def read_restart(value: Any) -> RestartPolicy:
    """Return a restart policy."""
    given = read(RESTART, object_of(value, "HostConfig.RestartPolicy"), "HostConfig.RestartPolicy")
    return RestartPolicy(given.get("name") or "no", given.get("maximum_retries", 0))


def read_update(value: Mapping[str, Any]) -> ContainerUpdate:
    """Return what the body of an update changes; a zero, and what is left out, stays as it is, as with docker."""
    given = read(FIELDS, value, "UpdateConfig")
    changed = {name: each for name, each in given.items() if each}
    if "pids_limit" in given:
        changed["pids_limit"] = max(given["pids_limit"], 0)  # which takes the older one away
    policy = {key.lower(): each for key, each in value.items()}.get("restartpolicy")
    name = object_of(policy, "UpdateConfig.RestartPolicy").get("Name", "")
    return ContainerUpdate(changed, read_restart(policy) if name else None)
