"""Warnings in docker's words: limits that this kernel doesn't know, which are taken away; other processors' images."""

from collections.abc import Callable
from typing import Any

from moby.contracts.containers import Resources
from moby.contracts.types import Platform
from moby.host.block_weights import can_weigh
from moby.host.cgroup_support import Support
from moby.values import evolve, frozen

__all__ = ["foreign", "warnings_of"]

_UNSET = Resources()
_ALSO_RUN = {"amd64": ("386",), "arm64": ("arm",)}
"""What processors run besides their own programs."""
_UNBOUNDED = (
    "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out "
    "of resources."
)
_OR_NOT_MOUNTED = "or the cgroup is not mounted"


@frozen
class _Row:
    """Fields that need something of the kernel's, and what is said where that isn't there."""

    needs: str
    fields: tuple[str, ...]
    what: str
    goes: str

    @property
    def text(self) -> str:
        """The warning."""
        return f"Your kernel does not support {self.what}. {self.goes}"


def _row(needs: str, fields: str, what: str, goes: str) -> _Row:
    return _Row(needs, tuple(fields.split()), what, goes)


_DEVICE_WEIGHTS = _row(
    "io_weight_device", "blkio_weight_devices", "Block I/O weight_device", "Weight-device discarded."
)
_ROWS = (
    _row("memory", "memory_bytes", f"memory limit capabilities {_OR_NOT_MOUNTED}", "Limitation discarded."),
    _row(
        "swap",
        "memory_swap_bytes",
        f"swap limit capabilities {_OR_NOT_MOUNTED}",
        "Memory limited without swap.",
    ),
    _row(
        "swappiness",
        "memory_swappiness",
        f"memory swappiness capabilities {_OR_NOT_MOUNTED}",
        "Memory swappiness discarded.",
    ),
    _row(
        "memory",
        "memory_reservation_bytes",
        f"memory soft limit capabilities {_OR_NOT_MOUNTED}",
        "Limitation discarded.",
    ),
    _row(
        "kernel_tcp",
        "kernel_memory_tcp_bytes",
        f"kernel memory TCP limit capabilities {_OR_NOT_MOUNTED}",
        "Limitation discarded.",
    ),
    _row("oom_control", "oom_kill_disable", "OomKillDisable", "OomKillDisable discarded."),
    _row("pids", "pids_limit", f"PIDs limit capabilities {_OR_NOT_MOUNTED}", "PIDs limit discarded."),
    _row("cpu", "cpu_shares", f"CPU shares {_OR_NOT_MOUNTED}", "Shares discarded."),
    _row(
        "cpu_quota",
        "cpu_period_us cpu_quota_us nano_cpus",
        "CPU CFS scheduler",
        "CPU period/quota discarded.",
    ),
    _row(
        "realtime",
        "cpu_realtime_period_us cpu_realtime_runtime_us",
        "CPU real-time scheduler",
        "Real-time period and runtime discarded.",
    ),
    _row("cpuset", "cpuset_cpus cpuset_mems", f"cpuset {_OR_NOT_MOUNTED}", "Cpuset discarded."),
    _row("io_weight", "blkio_weight", f"Block I/O weight {_OR_NOT_MOUNTED}", "Weight discarded."),
    _DEVICE_WEIGHTS,
    _row("io_limits", "blkio_read_bps", f"BPS Block I/O read limit {_OR_NOT_MOUNTED}", "Limit discarded."),
    _row("io_limits", "blkio_write_bps", f"BPS Block I/O write limit {_OR_NOT_MOUNTED}", "Limit discarded."),
    _row("io_limits", "blkio_read_iops", f"IOPS Block I/O read limit {_OR_NOT_MOUNTED}", "Limit discarded."),
    _row("io_limits", "blkio_write_iops", f"IOPS Block I/O write limit {_OR_NOT_MOUNTED}", "Limit discarded."),
)


def warnings_of(
    asked: Resources, support: Support, weighed: Callable[[str], bool] = can_weigh
) -> tuple[Resources, tuple[str, ...]]:
    """Return the limits without those that this kernel doesn't know, and a warning for each that went.

    So do weights of devices which aren't `weighed`, by their paths.
    """
    found, told = asked, []
    for row in _ROWS:
        if not getattr(support, row.needs) and any(_asked(name, getattr(asked, name)) for name in row.fields):
            found = evolve(found, **{name: getattr(_UNSET, name) for name in row.fields})
            told.append(row.text)
    if found.oom_kill_disable and not found.memory_bytes:
        told.append(_UNBOUNDED)
    devices = tuple(each for each in found.blkio_weight_devices if weighed(each.path))
    if len(devices) < len(found.blkio_weight_devices):
        found = evolve(found, blkio_weight_devices=devices)
        told.append(_DEVICE_WEIGHTS.text)
    return found, tuple(told)


def foreign(asked: str, image: Platform, host: Platform) -> tuple[str, ...]:
    """Return a warning where an image is of another platform than this host's, and nobody asked for one."""
    if asked or image.architecture in ("", host.architecture, *_ALSO_RUN.get(host.architecture, ())):
        return ()
    differs = f"The requested image's platform ({image}) does not match the detected host platform ({host})"
    return (f"{differs} and no specific platform was requested",)


def _asked(name: str, value: Any) -> bool:
    """Whether a limit was really asked for: -1 is none, of swap and of swappiness, as is what is below 0 of PIDs."""
    if name == "pids_limit":
        return value is not None and value > 0
    return bool(value) and not (value == -1 and name in ("memory_swap_bytes", "memory_swappiness"))
