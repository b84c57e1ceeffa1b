"""Cgroups by systemd: which unit a container's is, and its limits as properties of that unit.

The limits are written to the group's files all the same; systemd gets to know them so that it keeps them.
"""

from __future__ import annotations

import os
import re

from attrs import frozen

from moby.errors import Conflict, HostUnfit, Invalid, Unavailable
from moby.host import systemd
from moby.host.cgroups import Group, Hierarchy, hierarchies
from moby.host.systemd import NO_LIMIT, Property
from moby_runtime.groups.limit_files import Files, writes
from moby_runtime.native.placement import is_root_of_host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from moby.host.blocks import Undo
    from moby_runtime.native.values import Spec

__all__ = ["Scope", "change", "plan", "stop"]

_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]+")
_SLICE = re.compile(r"(-|[A-Za-z0-9:_.\\@]+(-[A-Za-z0-9:_.\\@]+)*)\.slice")
_NUMBERS = {
    "memory.max": "MemoryMax", "memory.high": "MemoryHigh", "memory.low": "MemoryLow", "memory.min": "MemoryMin",
    "memory.swap.max": "MemorySwapMax", "pids.max": "TasksMax", "cpu.weight": "CPUWeight", "io.weight": "IOWeight",
}  # fmt: skip
_SETS = {"cpuset.cpus": "AllowedCPUs", "cpuset.mems": "AllowedMemoryNodes"}


@frozen
class Scope:
    """The unit of one container; `path` is its group's, from the mount of version 2 on."""

    unit: str
    slice: str
    path: str
    tree: Hierarchy
    user: bool

    @property
    def group(self) -> Group:
        """Return the group that the unit will have."""
        return Group((self.tree.folder(self.path),))

    def enter(self, pid: int, resources: Mapping[str, Any], undo: Undo) -> None:
        """Start the unit around a process; `undo` kills what is in it, and stops it."""
        properties = [
            Property("Description", "s", (f"container {self.unit}",)),
            Property("Slice", "s", (self.slice,)),
            Property("Delegate", "b", ("true",)),
            Property("DefaultDependencies", "b", ("false",)),
            Property("CollectMode", "s", ("inactive-or-failed",)),
            *(Property(f"{name}Accounting", "b", ("true",)) for name in ("Memory", "CPU", "IO", "Tasks")),
            *_limits(self.group, resources),
        ]
        try:
            path = systemd.start_scope(self.unit, pid, properties, user=self.user)
        except Conflict:
            raise  # that one is somebody else's
        except BaseException:
            self._undo()
            raise
        undo.callback(self._undo)
        if path != self.path:
            raise Unavailable(f"systemd put {self.unit} at {path} and not at {self.path}", hint="try again")

    def _undo(self) -> None:
        self.group.kill(9)
        stop(self.group, self.unit, user=self.user)


def plan(container_id: str, spec: Spec) -> Scope:
    """Choose the unit, by linux.cgroupsPath as SLICE:PREFIX:NAME; HostUnfit where systemd can't hold it."""
    tree = _tree()
    user = not is_root_of_host()
    wanted = spec.cgroups_path or f":moby:{container_id}"
    parts = wanted.split(":")
    if len(parts) != 3 or not parts[2] or parts[2].endswith(".slice"):
        raise Invalid(
            f"config.json: linux.cgroupsPath must be SLICE:PREFIX:NAME for systemd, not {spec.cgroups_path!r}",
            hint="as in system.slice:moby:web, or leave it out",
        )
    name = parts[2].replace("+", r"\x2b")
    unit = f"{parts[1]}-{name}.scope" if parts[1] else f"{name}.scope"
    within = parts[0] or ("user.slice" if user else "system.slice")
    if not _UNIT.fullmatch(unit) or len(unit) > 255:
        raise Invalid(f"config.json: linux.cgroupsPath can't be a unit of systemd: {unit!r}")
    base = systemd.user_group() if user else ""
    return Scope(unit, within, f"{base}{_expanded(within)}/{unit}", tree, user)


def _tree() -> Hierarchy:
    if not systemd.running():
        raise HostUnfit(
            "cgroups made by systemd were asked for, but systemd doesn't run here",
            hint="leave --systemd-cgroup out, or boot with systemd",
        )
    trees = hierarchies()
    if len(trees) != 1 or trees[0].version != 2:
        raise HostUnfit(
            "cgroups made by systemd need cgroup v2 only, but v1 hierarchies are mounted",
            hint="boot with systemd.unified_cgroup_hierarchy=1, or leave --systemd-cgroup out",
        )
    return trees[0]


def _expanded(name: str) -> str:
    """Return the path of a slice: a-b.slice is in a.slice (systemd.slice(5))."""
    if not _SLICE.fullmatch(name):
        raise Invalid(f"config.json: linux.cgroupsPath names {name!r}, which is no slice of systemd", hint="a-b.slice")
    words = name.removesuffix(".slice").split("-") if name != "-.slice" else []
    return "".join(f"/{'-'.join(words[: depth + 1])}.slice" for depth in range(len(words)))


def change(group: Group, unit: str, resources: Mapping[str, Any], *, user: bool) -> None:
    """Let systemd know of changed limits."""
    systemd.set_properties(unit, list(_limits(group, resources)), user=user)


def stop(group: Group, unit: str, *, user: bool) -> None:
    """Stop the unit of a container that has ended, unless that went by itself, and remove what is left below."""
    if os.path.isdir(group.folders[0]):
        systemd.stop(unit, user=user)
        group.remove()


def _limits(group: Group, resources: Mapping[str, Any]) -> Iterator[Property]:
    """Yield those limits that systemd has properties for."""
    found: dict[str, str] = {}
    for write in writes(Files(group), resources):
        if write.files and not write.wrong and not write.lacking:
            found[write.files[-1]] = write.text
    if found.get("cpu.idle") == "1":
        found["cpu.weight"] = "0"
    for file, text in found.items():
        if file in _NUMBERS and (text == "max" or text.isdigit()):
            yield Property(_NUMBERS[file], "t", (NO_LIMIT if text == "max" else text,))
        elif file in _SETS and (bits := _bits(text)):
            yield Property(_SETS[file], "ay", (str(len(bits)), *(str(each) for each in bits)))
        elif file == "cpu.max":
            yield from _quota(text)


def _quota(text: str) -> Iterator[Property]:
    quota, _, period = text.partition(" ")
    period = period or "100000"
    if not period.isdigit() or not int(period) or not (quota == "max" or quota.isdigit()):
        return
    # systemd thinks in percent, so that it is rounded up: groups below get what they are promised.
    second = NO_LIMIT if quota == "max" else str(-(-(int(quota) * 1000000 // int(period)) // 10000) * 10000)
    yield Property("CPUQuotaPeriodUSec", "t", (period,))
    yield Property("CPUQuotaPerSecUSec", "t", (second,))


def _bits(text: str) -> bytes:
    """Return a list such as 0-3,7 as bits, the first byte the lowest; empty where it is none."""
    number = 0
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdigit() or not (last or first).isdigit() or int(last or first) > 8191:
            return b""
        for bit in range(int(first), int(last or first) + 1):
            number |= 1 << bit
    return number.to_bytes((number.bit_length() + 7) // 8, "little")
