"""A bundle as LXC takes it: checked, and what LXC lacks refused by its field's name."""

from __future__ import annotations

import os
from pathlib import Path

from moby.errors import NotFound
from moby.host import namespaces
from moby.oci.bundle import check_namespace, check_terminal, domain_by_setting
from moby.oci.seccomp.architectures import current
from moby.oci.seccomp.compiler import compiled
from moby.values import field, frozen
from moby_runtime.groups import resources
from moby_runtime.programs import reading, sysctls
from moby_runtime.programs.refusals import beyond, refuse
from moby_runtime.records.shape import CONFIG, PROCESS, mistakes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from moby.errors import Problem
    from moby.oci.seccomp.filter import Filter

__all__ = ["RECURSIVE", "Bundle", "binds", "check_process", "check_terminal", "read"]

_KEPT: Mapping[str, frozenset[str]] = {
    "": frozenset({"ociVersion", "root", "process", "hostname", "mounts", "annotations", "linux"}),
    "process": frozenset(
        {"args", "env", "cwd", "user", "capabilities", "noNewPrivileges", "rlimits", "oomScoreAdj", "consoleSize",
         "terminal"}
    ),
    "linux": frozenset(
        {"namespaces", "devices", "resources", "cgroupsPath", "sysctl", "seccomp", "maskedPaths", "readonlyPaths"}
    ),
}  # fmt: skip
_OPTIONS = frozenset(
    {
        "async", "atime", "bind", "defaults", "dev", "diratime", "exec", "noatime", "nodev", "nodiratime",
        "noexec", "norelatime", "nostrictatime", "nosuid", "rbind", "relatime", "ro", "rw", "strictatime",
        "suid", "private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable",
    }
)  # fmt: skip
"""What LXC makes come true of a mount (src/lxc/conf.c, mount_opt, propagation_opt); it passes over some others."""
RECURSIVE = frozenset({"rro", "rnosuid", "rnodev", "rnoexec", "rnoatime", "rnodiratime"})
"""What is set of a bind mount by whom LXC starts, since LXC has no word for it."""
_LXCS = ("create=", "idmap=")
"""Options that LXC takes for itself, the first of which follows links of an image to the host's files."""
_KINDS = frozenset({"bind", "proc", "tmpfs", "devpts", "mqueue", "sysfs", "cgroup", "cgroup2"})
_WHY = {
    "hooks": "its own are other programs at other times",
    "linux.uidMappings": "this runtime gives it no user namespaces",
    "linux.gidMappings": "this runtime gives it no user namespaces",
}


@frozen
class Bundle:
    """What was read of a bundle."""

    path: str
    rootfs: str
    data: Mapping[str, Any]
    filter: Filter | None = None
    resources: Mapping[str, Any] = field(factory=dict)

    @property
    def process(self) -> Mapping[str, Any]:
        """The first process."""
        return dict(self.data["process"])

    @property
    def annotations(self) -> Mapping[str, str]:
        """Those of the configuration."""
        return dict(self.data.get("annotations", {}))

    @property
    def linux(self) -> Mapping[str, Any]:
        """What is Linux's own."""
        return dict(self.data.get("linux", {}))

    @property
    def mounts(self) -> tuple[Mapping[str, Any], ...]:
        """Its mounts, in order."""
        return tuple(self.data.get("mounts", ()))

    @property
    def namespaces(self) -> Mapping[str, str]:
        """Name to the path that is joined; empty is a new one."""
        return {each["type"]: each.get("path", "") for each in self.linux.get("namespaces", ())}


def read(path: str) -> Bundle:
    """Read a bundle; errors as Runtime.create."""
    path = os.fspath(Path(path).absolute())
    data = reading.config_of(path)
    reading.refuse(list(mistakes(data, CONFIG)))
    data = domain_by_setting(data)
    linux = data.get("linux", {})
    reading.refuse([*reading.process_problems(data.get("process", {})), *_problems(data, path)])
    reading.refuse(list(resources.problems(linux.get("resources", {}))))
    spaces = {each["type"]: each.get("path", "") for each in linux.get("namespaces", ())}
    reading.refuse(list(sysctls.problems(linux.get("sysctl", {}), spaces)))
    refuse("lxc", list(_lacking(data)), _WHY)
    rootfs = os.path.realpath(Path(path, data["root"]["path"]))
    if not Path(rootfs).is_dir():
        raise NotFound(f"there is no root file system at {rootfs}", hint="root.path is relative to the bundle")
    for index, each in enumerate(linux.get("namespaces", ())):
        if each.get("path"):
            check_namespace(each["type"], each["path"], f"linux.namespaces[{index}].path")
    wanted = compiled(linux["seccomp"], current()) if linux.get("seccomp") else None
    if wanted is not None and wanted.notifies:
        refuse("lxc", ["linux.seccomp.listenerPath"], {"": "nobody would answer"})
    return Bundle(path, rootfs, data, wanted, linux.get("resources", {}))


def check_process(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Check one more process, and return it; errors as Runtime.exec."""
    found: Mapping[str, Any] = reading.without_null(data)
    reading.refuse(list(mistakes(found, PROCESS, "process")))
    reading.refuse(list(reading.process_problems(found)))
    refuse("lxc", list(beyond(found, "process", _KEPT["process"])), _WHY)
    return found


def _problems(data: Mapping[str, Any], path: str) -> Iterator[Problem]:
    if not data.get("ociVersion", "").startswith("1."):
        yield reading.wrong("ociVersion", f"must be a version such as 1.2.0, not {data.get('ociVersion')!r}")
    if not data.get("root", {}).get("path"):
        yield reading.wrong("root.path", "is missing")
    for index, each in enumerate(data.get("linux", {}).get("namespaces", ())):
        if each.get("type") not in namespaces.FLAGS:
            known = ", ".join(sorted(namespaces.FLAGS))
            yield reading.wrong(f"linux.namespaces[{index}].type", f"is {each.get('type')!r}; there are {known}")
    for index, each in enumerate(data.get("mounts", ())):
        if not each.get("destination", "").startswith("/") or "\n" in each["destination"]:
            yield reading.wrong(f"mounts[{index}].destination", "must be an absolute path, in one line")
        elif binds(each) and not Path(path, each.get("source", "")).exists():
            yield reading.wrong(f"mounts[{index}].source", f"is {each.get('source')!r}, and nothing is there")


def binds(mount: Mapping[str, Any]) -> bool:
    """Whether a mount shows a file or folder that is there."""
    return mount.get("type", "") in ("", "bind") or bool({"bind", "rbind"} & set(mount.get("options", ())))


def _lacking(data: Mapping[str, Any]) -> Iterator[str]:
    for where, kept in _KEPT.items():
        yield from beyond(data.get(where, {}) if where else data, where, kept)
    made = {each["type"] for each in data.get("linux", {}).get("namespaces", ())}
    for index, each in enumerate(data.get("linux", {}).get("namespaces", ())):
        if each["type"] in ("user", "time") or (each["type"] in ("mount", "cgroup") and each.get("path")):
            yield f"linux.namespaces[{index}].type {each['type']}"
    if "mount" not in made:
        yield "linux.namespaces without one of mounts"
    for index, each in enumerate(data.get("mounts", ())):
        yield from _lacking_of_mount(f"mounts[{index}]", each)
    places = {(each["destination"].rstrip("/"), each.get("type")) for each in data.get("mounts", ())}
    for place in (("/proc", "proc"), ("/dev", "tmpfs")):
        if place not in places:
            yield f"mounts without {place[1]} at {place[0]}"


def _lacking_of_mount(where: str, mount: Mapping[str, Any]) -> Iterator[str]:
    options = mount.get("options", ())
    if mount.get("uidMappings") or mount.get("gidMappings"):
        yield f"{where}.uidMappings"
    if not binds(mount) and mount.get("type") not in _KINDS:
        yield f"{where}.type {mount.get('type')}"
    if mount.get("type", "").startswith("cgroup") and mount["destination"].rstrip("/") != "/sys/fs/cgroup":
        yield f"{where}.destination {mount['destination']}"
    for option in options:
        known = _OPTIONS | (RECURSIVE if binds(mount) else {"newinstance"})
        data = "=" in option and "," not in option and not option.startswith(_LXCS)
        if option not in known and (binds(mount) or not data):
            yield f"{where}.options {option}"
