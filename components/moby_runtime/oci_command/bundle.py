"""The bundle: read and checked where the command would say nothing or leave no name, and written as it gets it."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from moby.contracts.ambient import Place
from moby.contracts.runtime_values import DIE_WITH_PARENT
from moby.errors import HostUnfit, Invalid, NotFound, Unsupported
from moby.host import namespaces
from moby.host.cgroups import Group, hierarchies
from moby.host.user_maps import is_host_root
from moby.oci.bundle import (
    check_namespace,
    check_process,
    check_terminal,
    config_of,
    domain_by_setting,
    possible_in,
)  # fmt: skip
from moby_runtime.groups.limits import asked
from moby_runtime.groups.paths import DELEGATION, delegated
from moby_runtime.oci_command.locked import keep_locked
from moby_runtime.oci_command.tool import NEVER, Binary, Tool

__all__ = ["OURS", "Bundle", "check_process", "check_resources", "check_terminal", "read", "set_fields"]

OURS = ("poststart", "poststop")
"""The hooks that this side runs: both belong to the runtime's own namespaces, and versions differ in when."""
_NUMBERS = {
    "memory": ("limit", "reservation", "swap", "kernel", "kernelTCP", "swappiness"),
    "cpu": ("shares", "quota", "period", "burst", "realtimeRuntime", "realtimePeriod", "idle"),
    "pids": ("limit",),
    "blockIO": ("weight", "leafWeight"),
}
_EMPTY: tuple[Any, ...] = (None, "", [], {}, False)


@frozen
class Bundle:
    """A bundle that was read."""

    path: Path
    data: Mapping[str, Any]

    @property
    def process(self) -> Mapping[str, Any]:
        """The first process."""
        return dict(self.data["process"])

    @property
    def annotations(self) -> Mapping[str, str]:
        """Those of the configuration."""
        return dict(self.data.get("annotations") or {})

    @property
    def hooks(self) -> Mapping[str, Any]:
        """All hooks, by name."""
        return dict(self.data.get("hooks") or {})

    @property
    def in_user_namespace(self) -> bool:
        """Whether its mounts are made in a user namespace that isn't the host's."""
        spaces = (self.data.get("linux") or {}).get("namespaces") or ()
        return not is_host_root() or any(each["type"] == "user" for each in spaces)

    def group(self, place: Place, container_id: str) -> str:
        """Return the path of its cgroup: its own, else one that no other engine root has.

        An ordinary user's is below what was delegated to it. Empty is none, where nothing was: then the command does
        without, unless the bundle says where.
        """
        path = str((self.data.get("linux") or {}).get("cgroupsPath") or "")
        given = None if is_host_root() else delegated(hierarchies())
        if given is None and (os.geteuid() or path.startswith("/")):
            return path
        above = given[1] if given else ""
        if path.startswith("/"):
            return path if path.startswith(f"{above}/") else f"{above}{path}"
        root = hashlib.sha256(os.fsencode(place.run.absolute())).hexdigest()[:12]
        return f"{above}/moby-{place.engine or 'engine'}-{root}/{path or container_id}"

    def make_way(self, group: str) -> None:
        """Make the cgroup where an ordinary user's limits want processes moved out of the way; HostUnfit if in vain."""
        if is_host_root() or not group.startswith("/"):
            return
        given = delegated(hierarchies())
        if given is None or not asked((self.data.get("linux") or {}).get("resources") or {}):
            return
        try:
            Group.create((given[0],), group, move_aside=True)
        except OSError as error:
            raise HostUnfit(
                f"cannot make the control group {group} (config.json: linux.cgroupsPath): {error.strerror}",
                hint=DELEGATION,
            ) from error

    def write(self, folder: Path, group: str) -> None:
        """Write it as the command gets it: with all paths absolute, and with its cgroup."""
        data = json.loads(json.dumps(self.data))
        data["process"] = possible_in(data)
        data["root"]["path"] = os.path.realpath(self.path / data["root"]["path"])
        for each in filter(_is_bind, data.get("mounts") or ()):
            if not str(each.get("source", "")).startswith("/"):
                each["source"] = str(self.path / each.get("source", ""))
            if self.in_user_namespace:
                each.update(keep_locked(each))
        if group:
            data.setdefault("linux", {})["cgroupsPath"] = group
        hooks = {name: each for name, each in self.hooks.items() if name not in OURS}
        data.pop("hooks", None)
        # The container's parent is the command, which has ended once it is made.
        (data.get("annotations") or {}).pop(DIE_WITH_PARENT, None)
        if hooks:
            data["hooks"] = hooks
        folder.mkdir(mode=0o700)
        (folder / "config.json").write_text(json.dumps(data), encoding="utf-8")


def _is_bind(mount: Mapping[str, Any]) -> bool:
    return mount.get("type") == "bind" or bool({"bind", "rbind"} & set(mount.get("options") or ()))


def read(path: Path, tool: Tool, binary: Binary) -> Bundle:
    """Read a bundle; errors as Runtime.create."""
    path = path.absolute()
    data = config_of(path)
    _check(data)
    if binary.version < dict(tool.since).get("domainname", (0, 0)) and is_host_root():
        data = domain_by_setting(data)  # which takes root of the host
    _refuse_lacking(data, tool, binary)
    root = data["root"]["path"]
    if not (path / root).is_dir():
        raise NotFound(f"there is no root file system at {path / root} (config.json: root.path)")
    for index, each in enumerate(data.get("mounts") or ()):
        if _is_bind(each) and not (path / each.get("source", "")).exists():
            raise Invalid(f"config.json: mounts[{index}].source: there is no {each.get('source')!r}")
    for index, each in enumerate((data.get("linux") or {}).get("namespaces") or ()):
        if each.get("path"):
            check_namespace(each["type"], str(each["path"]), f"linux.namespaces[{index}].path")
    return Bundle(path, data)


def _check(data: Mapping[str, Any]) -> None:
    for name, kind in (("process", dict), ("root", dict), ("linux", dict), ("mounts", list), ("hooks", dict)):
        if not isinstance(data.get(name) or kind(), kind):
            raise Invalid(f"config.json: {name} must be {'an object' if kind is dict else 'an array'}")
    if not isinstance((data.get("root") or {}).get("path"), str):
        raise Invalid("config.json: root.path must be a string")
    check_process(data.get("process") or {})
    linux = data.get("linux") or {}
    check_resources(linux.get("resources") or {})
    for index, each in enumerate(linux.get("namespaces") or ()):
        wanted = each.get("type") if isinstance(each, dict) else None
        if wanted not in namespaces.FLAGS:
            raise Invalid(f"config.json: linux.namespaces[{index}].type: there is no namespace {wanted!r}")
    for index, each in enumerate(data.get("mounts") or ()):
        destination = each.get("destination") if isinstance(each, dict) else None
        if not isinstance(destination, str) or not destination.startswith("/"):
            raise Invalid(f"config.json: mounts[{index}].destination must be an absolute path")


def check_resources(resources: Mapping[str, Any]) -> None:
    """See that limits are numbers, which the commands don't all do; Invalid names the field."""
    for part, names in _NUMBERS.items():
        inner = resources.get(part) or {}
        for name in names:
            value = inner.get(name) if isinstance(inner, Mapping) else inner
            if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
                raise Invalid(f"config.json: linux.resources.{part}.{name} must be an integer, not {value!r}")


def _refuse_lacking(data: Mapping[str, Any], tool: Tool, binary: Binary) -> None:
    for field, since in tool.since:
        if binary.version < since:
            for path in set_fields(data, field):
                raise Unsupported(
                    f"{tool.name} {'.'.join(map(str, binary.version))} passes over {path} (config.json)",
                    hint=f"leave it out, or choose a runtime that has it{_newer(tool, since)}",
                )


def _newer(tool: Tool, since: tuple[int, int]) -> str:
    return f", as {tool.name} {since[0]}.{since[1]} does" if since != NEVER else ""


def set_fields(data: Any, field: str, path: str = "") -> Iterator[str]:
    """Yield the paths of what is set at a field such as `mounts[].uidMappings`."""
    head, _, rest = field.partition(".")
    name = head.removesuffix("[]")
    value = data.get(name) if isinstance(data, Mapping) else None
    at = f"{path}.{name}" if path else name
    items = enumerate(value) if head.endswith("[]") and isinstance(value, list) else [(-1, value)]
    for index, each in items:
        where = f"{at}[{index}]" if index >= 0 else at
        if rest:
            yield from set_fields(each, rest, where)
        elif each not in _EMPTY:
            yield where
