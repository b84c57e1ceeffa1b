"""A bundle's config.json as values (runtime-spec, config.md and config-linux.md)."""

from __future__ import annotations

import errno
import os
import resource
import stat

from moby.errors import Invalid, NotFound, Problem, Unsupported
from moby.host import capabilities
from moby_runtime.native import checks
from moby_runtime.native.failures import Failure, error_of, shortened
from moby_runtime.native.shape import CLOCKS, CONFIG, HOOKS, PROCESS, RESOURCES, missing, mistakes
from moby_runtime.native.values import Device, IdMapping, MountPoint, ProcessSpec, Spec
from moby_runtime.records.json_text import decoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from moby.oci.seccomp.filter import Filter

__all__ = ["SHARED", "check_resources", "process_spec", "read"]

SHARED = ("personality", "memoryPolicy")
"""Fields of `linux` that each program of a container has."""
_MOST_BYTES = 32 << 20
_MOST_PROBLEMS = 50
_NO_AFFINITY: tuple[frozenset[int], frozenset[int]] = (frozenset(), frozenset())

CAPABILITY_SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")


def read(bundle: str | os.PathLike[str]) -> Spec:
    """Read and check a bundle; NotFound, Invalid with every problem, or Unsupported as Runtime.create says."""
    bundle = os.path.abspath(bundle)
    path = f"{bundle}/config.json"
    try:
        data = decoded(_text(path))
    except (FileNotFoundError, NotADirectoryError):
        if not os.path.isdir(bundle):
            hint = "a bundle is a folder with a config.json and a root"
            raise NotFound(f"there is no bundle at {bundle}", hint=hint) from None
        raise NotFound(f"the bundle {bundle} has no config.json") from None
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{path} is no JSON: {error}") from error
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise error_of(Failure("read config.json", "", error.errno)) from error
        raise Invalid(f"{path} can't be read: {error.strerror}") from error
    data = _without_null(data)
    _refuse(list(mistakes(data, CONFIG)), list(missing(data, CONFIG)))
    _refuse([*checks.raw_problems(data), *_rare_problems(data.get("process", {}), data.get("linux", {}))], [])
    spec = _spec(bundle, data)
    _refuse(list(checks.problems(spec)), list(checks.lacking(spec)))
    # In a namespace that is joined may be folders that this process doesn't see.
    if not spec.namespaces.get("mount") and not os.path.isdir(spec.rootfs):
        where = shortened(spec.rootfs)
        raise NotFound(f"there is no root file system at {where}", hint="root.path is relative to the bundle")
    return spec


def _text(path: str) -> str:
    """Read a file of others: no pipe or device, which would block or never end; ValueError where it isn't UTF-8."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Invalid(f"{path} is no file")
    try:
        data = b""
        while len(data) <= _MOST_BYTES and (chunk := os.read(fd, _MOST_BYTES + 1 - len(data))):
            data += chunk
    finally:
        os.close(fd)
    if len(data) > _MOST_BYTES:
        raise Invalid(f"{path} is bigger than {_MOST_BYTES} bytes")
    return data.decode()


def process_spec(data: Mapping[str, Any], shared: Mapping[str, Any]) -> ProcessSpec:
    """Read and check a process, as Runtime.exec gets it; `shared` is what its container's `linux` says of all."""
    data = _without_null(data)
    _refuse(list(mistakes(data, PROCESS, "process")), list(missing(data, PROCESS, "process")))
    _refuse([*checks.process_problems(data), *_rare_problems(data, {})], [])
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
    from moby_runtime.native import resources

    path = "linux.resources"
    _refuse(list(mistakes(data, RESOURCES, path)), list(missing(data, RESOURCES, path)))
    _refuse(list(resources.problems(data)), [])


def _without_null(data: Any) -> Any:
    """Take away keys whose value is null, which says the same as no key."""
    if isinstance(data, dict):
        return {key: _without_null(value) for key, value in data.items() if value is not None}
    return [_without_null(each) for each in data] if isinstance(data, list) else data


def _refuse(problems: list[Problem], lacking: list[str]) -> None:
    """Raise what is wrong, before what is merely lacking."""
    if problems:
        more = len(problems) - _MOST_PROBLEMS
        told = [*problems[:_MOST_PROBLEMS], *([Problem(f"config.json: and {more} more problems")] if more > 0 else [])]
        told = [Problem(shortened(each.message)) for each in told]
        raise Invalid("; ".join(each.message for each in told), problems=tuple(told))
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
    user = data.get("user") or {}
    console = data.get("consoleSize")
    limits = data.get("rlimits") or ()
    sets = data.get("capabilities") or {}
    known = set(capabilities.NAMES)
    return ProcessSpec(
        args=tuple(data.get("args") or ()),
        cwd=data.get("cwd", ""),
        env=tuple(data.get("env") or ()),
        terminal=bool(data.get("terminal")),
        window=(console.get("height", 0), console.get("width", 0)) if console else None,
        uid=user.get("uid", 0),
        gid=user.get("gid", 0),
        groups=tuple(user.get("additionalGids") or ()),
        umask=user.get("umask"),
        rlimits=tuple((getattr(resource, each["type"]), each["soft"], each["hard"]) for each in limits),
        # A name that this kernel doesn't know can't be granted, and the specification says not to fail over it.
        capabilities={
            name: capabilities.numbers(set(sets.get(name) or ()) & known) for name in CAPABILITY_SETS
        },
        no_new_privileges=bool(data.get("noNewPrivileges")),
        oom_score_adj=data.get("oomScoreAdj"),
        apparmor=data.get("apparmorProfile") or "",
        selinux=data.get("selinuxLabel") or "",
        affinity=affinity,
        traits=traits,
    )  # fmt: skip
