"""A bundle's config.json as values (runtime-spec, config.md and config-linux.md)."""

from __future__ import annotations

import marshal
import os

from moby.errors import Invalid, NotFound, Problem, Unsupported
from moby.values import evolve
from moby_runtime.native import checks
from moby_runtime.native.values import Device, IdMapping, MountPoint, ProcessSpec, Spec
from moby_runtime.programs import reading
from moby_runtime.records.failures import shortened
from moby_runtime.records.shape import CLOCKS, CONFIG, HOOKS, PROCESS, RESOURCES, fits, missing, mistakes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from moby.oci.seccomp.filter import Filter

__all__ = ["SHARED", "check_resources", "process_spec", "read"]

SHARED = ("personality", "memoryPolicy")
"""Fields of `linux` that each program of a container has."""
_NO_AFFINITY: tuple[frozenset[int], frozenset[int]] = (frozenset(), frozenset())


def read(bundle: str | os.PathLike[str]) -> Spec:
    """Read and check a bundle; NotFound, Invalid with every problem, or Unsupported as Runtime.create says."""
    bundle = os.path.abspath(bundle)
    data = reading.config_of(bundle)
    _check(data, CONFIG)
    _refuse([*checks.raw_problems(data), *_rare_problems(data.get("process", {}), data.get("linux", {}))], [])
    spec = _spec(bundle, data)
    _refuse(list(checks.problems(spec)), list(checks.lacking(spec)))
    # In a namespace that is joined may be folders that this process doesn't see.
    if not spec.namespaces.get("mount") and not os.path.isdir(spec.rootfs):
        if not spec.rootfs:
            raise Invalid("config.json: root.path is the host's own root, which no process can leave for itself")
        where = shortened(spec.rootfs)
        raise NotFound(f"there is no root file system at {where}", hint="root.path is relative to the bundle")
    return spec


def process_spec(data: Mapping[str, Any], shared: Mapping[str, Any]) -> ProcessSpec:
    """Read and check a process, as Runtime.exec gets it; `shared` is what its container's `linux` says of all."""
    asked = _bytes_of((data, shared))
    for same, answer in _last:
        if same == asked:
            return answer
    answer = _checked(data, shared)
    _last[:] = [(asked, answer)] if asked else []
    return answer


_last: list[tuple[bytes, ProcessSpec]] = []
"""What was asked for last, if anything, and the answer: a health check asks the same each time."""


def _bytes_of(data: Any) -> bytes:
    """Return what nothing else is written as; nothing where it isn't made of what JSON has."""
    try:
        return marshal.dumps(data, 2)  # later versions write the same in several ways
    except ValueError:
        return b""


def _checked(data: Mapping[str, Any], shared: Mapping[str, Any]) -> ProcessSpec:
    data = reading.without_null(data)
    _check(data, PROCESS, "process")
    _refuse([*reading.process_problems(data), *_rare_problems(data, {})], [])
    return _process(data, shared)


def _rare(process: Mapping[str, Any], linux: Mapping[str, Any]) -> bool:
    return any(process.get(name) for name in ("scheduler", "ioPriority", "execCPUAffinity")) or any(
        linux.get(name) for name in SHARED
    )


def _rare_problems(process: Mapping[str, Any], linux: Mapping[str, Any]) -> Iterable[Problem]:
    if not _rare(process, linux):
        return ()
    from moby_runtime.native import traits

    return traits.problems(process, linux)


def check_resources(data: Mapping[str, Any]) -> None:
    """Check linux.resources, as Runtime.update gets it."""
    from moby_runtime.groups import resources

    path = "linux.resources"
    _check(data, RESOURCES, path)
    _refuse(list(resources.problems(data)), [])


def _check(data: Any, shape: Any, path: str = "") -> None:
    """Refuse what is of the wrong type, or lacking."""
    if not fits(data, shape):
        _refuse(list(mistakes(data, shape, path)), list(missing(data, shape, path)))


def _refuse(problems: list[Problem], lacking: list[str]) -> None:
    """Raise what is wrong, before what is merely lacking."""
    reading.refuse(problems)
    if lacking:
        raise Unsupported(
            f"the native runtime has no {', '.join(lacking)} of config.json",
            hint="leave it out, or choose another runtime",
        )


def _spec(bundle: str, data: Mapping[str, Any]) -> Spec:
    linux = data.get("linux") or {}
    root = data.get("root") or {}
    return Spec(
        bundle=bundle,
        rootfs=_joined(bundle, root.get("path", "")),
        readonly=bool(root.get("readonly")),
        # Without a process a container can be made, and not started (config.md, Process).
        process=_process(data.get("process", {"cwd": "/"}), linux),
        namespaces={each.get("type", ""): each.get("path", "") for each in linux.get("namespaces") or ()},
        namespace_names=tuple(each.get("type", "") for each in linux.get("namespaces") or ()),
        mounts=tuple(_mount(index, each) for index, each in enumerate(data.get("mounts") or ())),
        hostname=data.get("hostname") or "",
        domainname=data.get("domainname") or "",
        uid_mappings=_mappings(linux.get("uidMappings")),
        gid_mappings=_mappings(linux.get("gidMappings")),
        devices=tuple(_device(each) for each in linux.get("devices") or ()),
        cgroups_path=linux.get("cgroupsPath") or "",
        resources=linux.get("resources") or {},
        propagation=linux.get("rootfsPropagation") or "",
        sysctl=linux.get("sysctl") or {},
        masked=tuple(linux.get("maskedPaths") or ()),
        readonly_paths=tuple(linux.get("readonlyPaths") or ()),
        mount_label=linux.get("mountLabel") or "",
        annotations=data.get("annotations") or {},
        net_devices=linux.get("netDevices") or {},
        time_offsets={clock: each for clock, each in (linux.get("timeOffsets") or {}).items() if clock in CLOCKS},
        seccomp=_filter(linux.get("seccomp")),
        rdt=linux.get("intelRdt"),
        hooks={name: each for name, each in (data.get("hooks") or {}).items() if each and name in HOOKS},
    )


def _joined(bundle: str, path: str) -> str:
    """Return a path of a bundle, spelled with no more than it needs."""
    names = [name for name in path.split("/") if name not in ("", ".")]
    return "/".join(["" if path.startswith("/") else bundle, *names])


def _filter(data: Any) -> Filter | None:
    if data in (None, {}):
        return None
    from moby_runtime.native import seccomp

    return seccomp.filter_of(data)


def _mount(index: int, data: Mapping[str, Any]) -> MountPoint:
    return MountPoint(
        data.get("destination", ""),
        data.get("type") or "",
        data.get("source") or "",
        tuple(data.get("options") or ()),
        f"mounts[{index}]",
        _mappings(data.get("uidMappings")),
        _mappings(data.get("gidMappings")),
    )


def _device(data: Mapping[str, Any]) -> Device:
    return Device(
        data.get("path", ""),
        data.get("type", ""),
        data.get("major", 0),
        data.get("minor", 0),
        data.get("fileMode", 0o666),
        data.get("uid", 0),
        data.get("gid", 0),
    )


def _mappings(data: Any) -> tuple[IdMapping, ...]:
    return tuple(IdMapping(each["containerID"], each["hostID"], each["size"]) for each in data or ())


def _process(data: Mapping[str, Any], linux: Mapping[str, Any]) -> ProcessSpec:
    affinity, traits = _NO_AFFINITY, None
    if _rare(data, linux):
        from moby_runtime.native.traits import numbers_of, traits_of

        asked = data.get("execCPUAffinity") or {}
        affinity = (numbers_of(asked.get("initial", "")), numbers_of(asked.get("final", "")))
        traits = traits_of(data, linux)
    return evolve(reading.process_of(data), affinity=affinity, traits=traits)
