"""Where a container's cgroup is, and what becomes of limits where there can't be one."""

from __future__ import annotations

import os

from moby.errors import HostUnfit
from moby.host.cgroups import Group, Hierarchy, hierarchies
from moby.host.files import read_text
from moby.values import frozen
from moby_runtime.groups import device_rules, paths
from moby_runtime.groups.paths import DELEGATION
from moby_runtime.records.failures import Failure, doing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from moby.host.blocks import Undo
    from moby_runtime.native.values import Spec

__all__ = [
    "DELEGATION",
    "Planned",
    "change",
    "is_root_of_host",
    "limit",
    "make",
    "path_of",
    "plan",
    "ruling",
    "tell_without_effect",
]


@frozen
class Planned:
    """The trees that a group is to be made in, and its path there; no trees, no group."""

    trees: tuple[Hierarchy, ...]
    name: str
    limited: bool = False
    """Whether a limit is asked for."""

    @property
    def folders(self) -> tuple[str, ...]:
        """Return the folders that will be made."""
        return tuple([tree.folder(self.name) for tree in self.trees])


def path_of(run: str, engine: str, container_id: str, spec: Spec, *, alone: bool = False) -> str:
    """Return the path of a container's group, as groups.paths."""
    return paths.path_of(run, engine, container_id, spec.cgroups_path, alone=alone)


def plan(path: str, spec: Spec) -> Planned:
    """Choose the trees; HostUnfit where a limit is asked for and no tree can be written."""
    trees = hierarchies()
    if is_root_of_host():
        writable = tuple(tree for tree in trees if tree.writable)
        name = path
    else:
        given = paths.delegated(trees)
        writable, name = ((given[0],), f"{given[1]}/{path.strip('/')}") if given else ((), path)
    asked = _asked(spec.resources)
    if not writable and (asked or spec.cgroups_path):
        verb = "limit anything" if asked else "make the control group"
        fields = ", ".join(asked or ("linux.cgroupsPath",))
        raise HostUnfit(f"cannot {verb} (config.json: {fields}): no control group can be made here", hint=DELEGATION)
    return Planned(writable, name, bool(asked))


def _asked(resources: Mapping[str, Any]) -> tuple[str, ...]:
    if not resources.keys() - {"devices"}:
        return ()
    from moby_runtime.groups import limits

    return limits.asked(resources)


def is_root_of_host() -> bool:
    """Whether this process is root, and not just in a user namespace."""
    if os.geteuid():
        return False
    return read_text("/proc/self/uid_map").split() == ["0", "0", "4294967295"]


def make(planned: Planned, undo: Undo) -> Group:
    """Make the group; `undo` removes it."""
    with doing("make the control group", "linux.cgroupsPath"):
        group = Group.create(planned.trees, planned.name, move_aside=planned.limited)
    undo.callback(group.remove)
    return group


def limit(group: Group, spec: Spec) -> None:
    """Set the limits but for those on devices, and give the group to a user who may manage it from inside."""
    if spec.resources.keys() - {"devices"}:
        from moby_runtime.groups import limits

        limits.apply(group, spec.resources)
    if spec.new("cgroup") and os.geteuid() == 0 and (owner := _owner(spec)):
        with doing("give the control group to its user", "linux.cgroupsPath"):
            group.give(owner)


def _owner(spec: Spec) -> int:
    """Return the host's id of the container's user where that sees its group writable; else 0 (config-linux.md)."""
    shown = (point for point in spec.mounts if point.source == "cgroup" and point.destination == "/sys/fs/cgroup")
    if all("ro" in point.options for point in shown):
        return 0
    uid = spec.process.uid
    if not spec.user_namespace:
        return uid
    inside = (each for each in spec.uid_mappings if each.inside <= uid < each.inside + each.size)
    return next((each.outside + uid - each.inside for each in inside), 0)


def ruling(group: Group, spec: Spec) -> Callable[[], None]:
    """Work out which devices may be used, and return what says so, for when the nodes are made.

    Without rules in the bundle they are its own and the default.
    """
    if not group.folders or not is_root_of_host():
        return _nothing  # who makes no device nodes has nothing to rule
    rules = spec.resources.get("devices")
    if rules:
        return device_rules.setting(group, rules)
    if not group.unified and not group.file("devices.allow"):
        return _nothing
    own = [{"allow": True, "type": each.type, "major": each.major, "minor": each.minor} for each in spec.devices]
    nodes = [{**each, "type": "c" if each["type"] == "u" else each["type"]} for each in own if each["type"] != "p"]
    return device_rules.setting(group, [{"allow": False}, *nodes])


def _nothing() -> None:
    """Do nothing."""


def tell_without_effect(resources: Mapping[str, Any], warn: Callable[[Failure], None]) -> None:
    """Tell what of the limits no kernel has any more."""
    if "memory" in resources:
        from moby_runtime.groups import limits

        for each in limits.without_effect(resources):
            warn(each)


def change(group: Group, resources: Mapping[str, Any], warn: Callable[[Failure], None]) -> None:
    """Change the limits of a container that is there, all or none; rules for devices replace all before."""
    tell_without_effect(resources, warn)
    if resources.keys() - {"devices"}:
        from moby_runtime.groups import limits

        limits.change(group, resources)
    if (rules := resources.get("devices")) and is_root_of_host():
        device_rules.set_devices(group, rules, live=True)
