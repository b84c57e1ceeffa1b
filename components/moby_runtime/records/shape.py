"""The fields of config.json for Linux (runtime-spec 1.3.0, schema): one that this runtime lacks is refused by name."""

from __future__ import annotations

import os

from moby.errors import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Shape = Any
    """A type, a mapping of keys to shapes, a list of one shape, or one of the classes below."""

__all__ = ["CLOCKS", "CONFIG", "HOOKS", "PROCESS", "RESOURCES", "Missing", "fits", "mistakes", "missing", "shown"]

_LONGEST = 200
CLOCKS = ("monotonic", "boottime")


class Missing:
    """A field that this runtime lacks."""


class Strings:
    """A map from string to string."""


class Each:
    """A map with any keys, whose values all have one shape."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape


class Elsewhere:
    """A field that is checked where it is read."""


class Ignored:
    """A field for other platforms, which says nothing to Linux."""


_IDS = {"containerID": int, "hostID": int, "size": int}
_CAPABILITY_SETS = {name: [str] for name in ("effective", "bounding", "inheritable", "permitted", "ambient")}

PROCESS: Shape = {
    "terminal": bool,
    "consoleSize": {"height": int, "width": int},
    "cwd": str,
    "env": [str],
    "args": [str],
    "user": {"uid": int, "gid": int, "umask": int, "additionalGids": [int], "username": Ignored},
    "rlimits": [{"type": str, "soft": int, "hard": int}],
    "capabilities": _CAPABILITY_SETS,
    "noNewPrivileges": bool,
    "oomScoreAdj": int,
    "apparmorProfile": str,
    "selinuxLabel": str,
    "scheduler": {
        "policy": str,
        "nice": int,
        "priority": int,
        "flags": [str],
        "runtime": int,
        "deadline": int,
        "period": int,
    },
    "ioPriority": {"class": str, "priority": int},
    "execCPUAffinity": {"initial": str, "final": str},
    "commandLine": Ignored,
}

HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
"""In the order of a container's life."""
_HOOK = {"path": str, "args": [str], "env": [str], "timeout": int}

_THROTTLE = [{"major": int, "minor": int, "rate": int}]
RESOURCES: Shape = {
    "devices": [{"allow": bool, "type": str, "major": int, "minor": int, "access": str}],
    "memory": {
        "limit": int,
        "reservation": int,
        "swap": int,
        "swappiness": int,
        "disableOOMKiller": bool,
        "kernel": int,
        "kernelTCP": int,
        "useHierarchy": bool,
        "checkBeforeUpdate": bool,
    },
    "cpu": {
        "shares": int,
        "quota": int,
        "period": int,
        "burst": int,
        "cpus": str,
        "mems": str,
        "idle": int,
        "realtimeRuntime": int,
        "realtimePeriod": int,
    },
    "pids": {"limit": int},
    "blockIO": {
        "weight": int,
        "leafWeight": int,
        "weightDevice": [{"major": int, "minor": int, "weight": int, "leafWeight": int}],
        "throttleReadBpsDevice": _THROTTLE,
        "throttleWriteBpsDevice": _THROTTLE,
        "throttleReadIOPSDevice": _THROTTLE,
        "throttleWriteIOPSDevice": _THROTTLE,
    },
    "hugepageLimits": [{"pageSize": str, "limit": int}],
    "network": {"classID": int, "priorities": [{"name": str, "priority": int}]},
    "rdma": Each({"hcaHandles": int, "hcaObjects": int}),
    "unified": Strings,
}

CONFIG: Shape = {
    "ociVersion": str,
    "root": {"path": str, "readonly": bool},
    "mounts": [
        {
            "destination": str,
            "type": str,
            "source": str,
            "options": [str],
            "uidMappings": [_IDS],
            "gidMappings": [_IDS],
        }
    ],
    "process": PROCESS,
    "hostname": str,
    "domainname": str,
    "annotations": Strings,
    "hooks": {name: [_HOOK] for name in HOOKS},
    "vm": Missing,
    "linux": {
        "namespaces": [{"type": str, "path": str}],
        "uidMappings": [_IDS],
        "gidMappings": [_IDS],
        "devices": [
            {"type": str, "path": str, "major": int, "minor": int, "fileMode": int, "uid": int, "gid": int}
        ],
        "cgroupsPath": str,
        "resources": RESOURCES,
        "rootfsPropagation": str,
        "sysctl": Strings,
        "maskedPaths": [str],
        "readonlyPaths": [str],
        "seccomp": Elsewhere,
        "mountLabel": str,
        "intelRdt": {
            "closID": str,
            "l3CacheSchema": str,
            "memBwSchema": str,
            "schemata": [str],
            "enableMonitoring": bool,
            "enableCMT": Missing,
            "enableMBM": Missing,
        },
        "personality": {"domain": str, "flags": [str]},
        "timeOffsets": {clock: {"secs": int, "nanosecs": int} for clock in CLOCKS},
        "memoryPolicy": {"mode": str, "nodes": str, "flags": [str]},
        "netDevices": Each({"name": str}),
    },
}  # fmt: skip


def fits(value: Any, shape: Shape) -> bool:
    """Whether there certainly are neither `mistakes` nor anything `missing`, as of most that is read.

    Found without their generators and paths; a text that isn't ASCII is theirs.
    """
    if shape is str:
        return type(value) is str and value.isascii() and "\0" not in value
    if shape is int or shape is bool:
        return type(value) is shape
    kind = type(shape)
    if kind is dict:
        if type(value) is not dict:
            return False
        for key, each in value.items():  # noqa: SIM110 - it takes half of what a generator does
            if key in shape and not fits(each, shape[key]):
                return False
        return True
    if kind is list:
        if type(value) is not list:
            return False
        inside = shape[0]
        for each in value:  # noqa: SIM110
            if not fits(each, inside):
                return False
        return True
    if shape is Strings or kind is Each:
        inside = str if shape is Strings else shape.shape
        return type(value) is dict and all(fits(each, inside) for each in value.values())
    return shape in (Ignored, Elsewhere) or (shape is Missing and not value)


def missing(value: Any, shape: Shape, path: str = "") -> Iterator[str]:
    """Yield the paths of fields that are set and that this runtime lacks; empty ones ask for nothing.

    A field that the specification doesn't know is passed over, as it asks (config.md, Extensibility).
    """
    if shape is Missing:
        if value not in (None, "", [], {}, False):
            yield path
    elif isinstance(shape, dict) and isinstance(value, dict):
        for key, each in value.items():
            if key in shape:
                yield from missing(each, shape[key], f"{path}.{key}" if path else str(key))
    elif isinstance(shape, list) and isinstance(value, list):
        for index, each in enumerate(value):
            yield from missing(each, shape[0], f"{path}[{index}]")


def mistakes(value: Any, shape: Shape, path: str = "") -> Iterator[Problem]:
    """Yield what is of the wrong type, by path."""
    if shape in (Missing, Ignored, Elsewhere):
        return
    if shape is Strings or isinstance(shape, Each):
        if not isinstance(value, dict):
            yield _wrong(path, "an object", value)
            return
        for key, each in value.items():
            yield from mistakes(each, shape.shape if isinstance(shape, Each) else str, f"{path}.{key}")
    elif isinstance(shape, dict):
        if not isinstance(value, dict):
            yield _wrong(path, "an object", value)
            return
        for key, each in value.items():
            yield from mistakes(each, shape.get(key, Ignored), f"{path}.{key}" if path else str(key))
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield _wrong(path, "an array", value)
            return
        for index, each in enumerate(value):
            yield from mistakes(each, shape[0], f"{path}[{index}]")
    elif not isinstance(value, shape) or (shape is int and isinstance(value, bool)):
        yield _wrong(path, {str: "a string", int: "an integer", bool: "true or false"}[shape], value)
    elif shape is str and not _is_text(value):
        yield _wrong(path, "a string that the kernel can take", value)


def _wrong(path: str, wanted: str, value: Any) -> Problem:
    return Problem(f"config.json: {path or 'it'} must be {wanted}, not {shown(value)}")


def shown(value: Any) -> str:
    """Return a value as messages tell it: not all of what is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _is_text(value: str) -> bool:
    """Whether a string can go to the kernel: no zero byte, and nothing that no encoding has."""
    try:
        return b"\0" not in os.fsencode(value)
    except UnicodeEncodeError:
        return False
