"""What a config.json of the right shape may still get wrong, and what of it this runtime lacks."""

from __future__ import annotations

import os

from moby.host.namespaces import FLAGS
from moby_runtime.native import mount_options
from moby_runtime.native.values import OCI_VERSION, MountPoint, Spec
from moby_runtime.programs import reading, sysctls
from moby_runtime.programs.reading import MAX_ID, wrong
from moby_runtime.records.shape import HOOKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from moby.errors import Problem

__all__ = ["lacking", "problems", "raw_problems"]

_MAX_DEVICE = 2**31 - 1


def raw_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is missing or out of range, so that the rest can be read."""
    linux = data.get("linux", {})
    yield from _hook_problems(data.get("hooks", {}))
    if "process" in data:
        yield from reading.process_problems(data["process"])
    if linux.get("resources"):
        from moby_runtime.groups import resources

        yield from resources.problems(linux["resources"])
    yield from _version_problems(data.get("ociVersion", ""))
    if not data.get("root", {}).get("path"):
        yield wrong("root.path", "is missing")
    if linux.get("seccomp") not in (None, {}):
        from moby_runtime.native import seccomp

        yield from seccomp.problems(linux["seccomp"])
    if "intelRdt" in linux:
        from moby_runtime.native import rdt

        yield from rdt.problems(linux["intelRdt"])
    yield from _mapping_problems(linux, "linux")
    for index, point in enumerate(data.get("mounts", ())):
        yield from _mapping_problems(point, f"mounts[{index}]")


def _version_problems(version: str) -> Iterator[Problem]:
    """Yield what is wrong with a version: one that isn't of this major one may mean anything (config.md)."""
    major, _, rest = version.partition(".")
    if not major.isdecimal() or not rest[:1].isdecimal():
        yield wrong("ociVersion", f"must be a version such as {OCI_VERSION}, not {version!r}")
    elif major != OCI_VERSION.partition(".")[0]:
        yield wrong("ociVersion", f"is {version}; this runtime follows {OCI_VERSION}")


def _mapping_problems(data: Mapping[str, Any], path: str) -> Iterator[Problem]:
    for name in ("uidMappings", "gidMappings"):
        for index, each in enumerate(data.get(name, ())):
            for key, most in (("containerID", MAX_ID), ("hostID", MAX_ID), ("size", MAX_ID + 1)):
                if not 0 <= each.get(key, -1) <= most:
                    yield wrong(f"{path}.{name}[{index}].{key}", "is missing or out of range")


def _hook_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    for name in HOOKS:
        for index, hook in enumerate(data.get(name, ())):
            path = f"hooks.{name}[{index}]"
            if not hook.get("path", "").startswith("/"):
                yield wrong(f"{path}.path", f"must be an absolute path, not {hook.get('path')!r}")
            if hook.get("timeout", 1) <= 0:
                yield wrong(f"{path}.timeout", "must be greater than zero")


def problems(spec: Spec) -> Iterator[Problem]:
    """Yield what doesn't go together."""
    for check in _CHECKS:
        yield from check(spec)


def _namespace_problems(spec: Spec) -> Iterator[Problem]:
    for index, name in enumerate(spec.namespace_names):
        path = f"linux.namespaces[{index}].type"
        if name not in FLAGS:
            yield wrong(path, f"is {name!r}; there are {', '.join(sorted(FLAGS))}")
        elif name in spec.namespace_names[:index]:
            yield wrong(path, f"names {name} twice")
        elif spec.namespaces[name] and not spec.namespaces[name].startswith("/"):
            yield wrong(f"linux.namespaces[{index}].path", f"must be an absolute path, not {spec.namespaces[name]!r}")
    if spec.time_offsets and not spec.new("time"):
        yield wrong("linux.timeOffsets", "is set, but linux.namespaces makes no time namespace")
    for name, mappings in (("uidMappings", spec.uid_mappings), ("gidMappings", spec.gid_mappings)):
        # Beside the path of one that is there they say nothing; podman writes them, since runc wants some.
        if mappings and "user" not in spec.namespaces:
            yield wrong(f"linux.{name}", "is set, but linux.namespaces makes no user namespace")
        elif spec.new("user") and not mappings:
            yield wrong(f"linux.{name}", "is missing, which a new user namespace needs")
    for name, value in (("hostname", spec.hostname), ("domainname", spec.domainname)):
        if value and not _own(spec, "uts"):
            yield wrong(name, "would change the host's, since linux.namespaces has no uts namespace of its own")


def _own(spec: Spec, name: str) -> bool:
    return sysctls.owns(spec.namespaces, name)


def _names_device(text: str) -> bool:
    """Whether a network device may have this name (the kernel's dev_valid_name)."""
    try:
        size = len(os.fsencode(text))
    except UnicodeEncodeError:
        return False
    return 0 < size < 16 and text not in (".", "..") and not set(text) & set("/: \t\n\v\f\r\0")


def _net_device_problems(spec: Spec) -> Iterator[Problem]:
    if spec.net_devices and not _own(spec, "network"):
        yield wrong("linux.netDevices", "is set, but linux.namespaces has no network namespace of the container's own")
    for name, each in spec.net_devices.items():
        new = each.get("name") or name
        for path, text in ((f"linux.netDevices.{name}", name), (f"linux.netDevices.{name}.name", new)):
            if not _names_device(text):
                yield wrong(path, f"is {text!r}, which can name no network device")


def _sysctl_problems(spec: Spec) -> Iterator[Problem]:
    yield from sysctls.problems(spec.sysctl, spec.namespaces)


def _mount_problems(spec: Spec) -> Iterator[Problem]:
    for point in spec.mounts:
        if not point.destination.strip("/"):
            yield wrong(f"{point.where}.destination", f"must be a path below /, not {point.destination!r}")
        if bool(point.uid_mappings) != bool(point.gid_mappings):
            yield wrong(point.where, "has just one of uidMappings and gidMappings")
        if point.mapped:
            yield from _mapped_problems(point, spec)
        if "tmpcopyup" in point.options and point.type != "tmpfs":
            yield wrong(f"{point.where}.options", "has tmpcopyup, which is for tmpfs alone")
    if spec.propagation.removeprefix("r") not in ("", "private", "shared", "slave", "unbindable"):
        yield wrong("linux.rootfsPropagation", f"is {spec.propagation!r}; there are private, shared, slave, unbindable")


def _mapped_problems(point: MountPoint, spec: Spec) -> Iterator[Problem]:
    if not {"bind", "rbind"}.intersection(point.options):
        yield wrong(point.where, "has ids of its own, which only bind mounts can have")
    if not point.uid_mappings and not spec.user_namespace:
        yield wrong(point.where, "needs uidMappings and gidMappings, since there is no user namespace to take them of")


def _device_problems(spec: Spec) -> Iterator[Problem]:
    for index, device in enumerate(spec.devices):
        path = f"linux.devices[{index}]"
        if device.type not in ("b", "c", "u", "p"):
            yield wrong(f"{path}.type", f"is {device.type!r}; there are b, c, u and p")
        if not device.path.startswith("/") or not device.path.strip("/"):
            yield wrong(f"{path}.path", f"must be an absolute path, not {device.path!r}")
        if not (0 <= device.major <= _MAX_DEVICE and 0 <= device.minor <= _MAX_DEVICE):
            yield wrong(path, "has a number out of range")
        # Some write the type beside the permissions, as stat(2) gives them.
        if not (0 <= device.mode <= 0o177777 and 0 <= device.uid <= MAX_ID and 0 <= device.gid <= MAX_ID):
            yield wrong(path, "has a mode or an owner out of range")


_CHECKS: tuple[Callable[[Spec], Iterator[Problem]], ...] = (
    _namespace_problems,
    _net_device_problems,
    _sysctl_problems,
    _mount_problems,
    _device_problems,
)


def lacking(spec: Spec) -> Iterator[str]:
    """Yield what is valid, and lacking here."""
    for point in spec.mounts:
        for option in point.options:
            if option in mount_options.LACKING:
                yield f"{point.where}.options {option}"
