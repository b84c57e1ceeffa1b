"""A container's config.json, of all that was settled about it."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from moby.contracts.containers import Container, ContainerConfig, ExecConfig
from moby.contracts.types import Mount, Window
from moby.errors import Invalid
from moby.host import apparmor
from moby.host.capabilities import NAMES
from moby.host.user_maps import is_host_root
from moby.oci import spec
from moby.oci.user import User
from moby.values import frozen
from moby_containers.engine.checks import TRUE
from moby_containers.engine.devices import all_devices, mapped_devices, rules_of
from moby_containers.engine.limits import limits_of, rlimits_of

__all__ = ["INIT", "Settled", "exec_process", "program", "spec_of"]

INIT = "/sbin/docker-init"
_KINDS = ("pid", "ipc", "uts", "network", "cgroup")
_SHM_BYTES = 64 << 20
_GROUPS = "net.ipv4.ping_group_range"
_PING = {"net.ipv4.ip_unprivileged_port_start": "0", _GROUPS: "0 2147483647"}


@frozen
class Settled:
    """What a start has found out."""

    rootfs: Path
    user: User
    groups: tuple[int, ...]
    hostname: str
    mounts: tuple[Mount, ...]
    """The user's and the container's files, in their order."""
    namespaces: Mapping[str, str]
    """Paths by kind: empty is a new one; one that isn't in it is the host's."""
    own_network: bool
    """Whether its network namespace is its own, also where it has been made before."""
    cgroup: str
    init: str = ""
    """Path on the host of the program that is to be process 1."""
    shm: Mount | None = None
    """What is at /dev/shm, None for nothing."""
    filters: bool = True
    """Whether the runtime can filter system calls."""
    propagation: str = ""
    linked: tuple[str, ...] = ()
    """Variables that tell of containers that it is linked to."""


def program(config: ContainerConfig) -> tuple[str, ...]:
    """Return what is run: program and arguments."""
    return (*(config.entrypoint or ()), *(config.command or ()))


def spec_of(container: Container, settled: Settled) -> dict[str, Any]:
    """Return the whole config.json."""
    config = container.config
    hidden = _system_paths(config)
    nodes, rules, binds = _devices(config)
    linux: dict[str, Any] = {
        "namespaces": [
            {"type": "mount"},
            *({"type": kind, **({"path": path} if path else {})} for kind, path in settled.namespaces.items()),
        ],
        "resources": {"devices": rules, **limits_of(config.resources)},
        "cgroupsPath": settled.cgroup,
        "maskedPaths": list(hidden[0]),
        "readonlyPaths": list(hidden[1]),
    }
    if nodes:
        linux["devices"] = nodes
    sysctls = _sysctls(config, settled)
    if sysctls:
        linux["sysctl"] = sysctls
    if settled.propagation:
        linux["rootfsPropagation"] = settled.propagation
    process = _process(config, settled)
    profile = _seccomp(config, settled, tuple(process["capabilities"]["bounding"]))
    if profile is not None:
        linux["seccomp"] = profile
    label = _label(config)
    if label:
        linux["mountLabel"] = label
    return {
        "ociVersion": "1.2.0",
        "process": process,
        "root": {"path": str(settled.rootfs), "readonly": config.read_only_root},
        "hostname": settled.hostname if "uts" in settled.namespaces else "",
        **({"domainname": config.domainname} if config.domainname and "uts" in settled.namespaces else {}),
        "mounts": [*_mounts(config, settled), *map(spec.mount_entry, binds)],
        "annotations": dict(config.annotations),
        "linux": linux,
    }


def _process(config: ContainerConfig, settled: Settled) -> dict[str, Any]:
    arguments = list(program(config))
    if settled.init:
        arguments = [INIT, "--", *arguments]
    user = settled.user
    held = list(capabilities_of(config))
    process: dict[str, Any] = {
        "terminal": config.terminal,
        "user": _user(user, settled.groups),
        "args": arguments,
        "env": list(environment_of(config, settled.hostname, user.home, settled.linked)),
        "cwd": config.working_directory or "/",
        "capabilities": _sets(held, root=user.uid == 0),
        "noNewPrivileges": security(config, "no-new-privileges") in ("", *TRUE),
        "oomScoreAdj": config.oom_score_adjust,
    }
    limits = rlimits_of(config.resources)
    if limits:
        process["rlimits"] = limits
    profile = security(config, "apparmor")
    if profile and profile != "unconfined" and apparmor.is_enabled():
        process["apparmorProfile"] = profile
    if config.terminal and config.window:
        process["consoleSize"] = _size(config.window)
    return process


def _size(window: Window) -> dict[str, int]:
    return {"height": window.rows, "width": window.columns}


def _user(user: User, groups: tuple[int, ...]) -> dict[str, Any]:
    return {
        "uid": user.uid,
        "gid": user.gid,
        "umask": spec.UMASK,
        "additionalGids": sorted({user.gid, *user.groups, *groups}),
    }


def _sets(held: list[str], *, root: bool) -> dict[str, list[str]]:
    """Return capability sets: another user than root has none to begin with, and may get no more than these."""
    return {"bounding": held, "effective": held if root else [], "permitted": held if root else []}


def capabilities_of(config: ContainerConfig) -> tuple[str, ...]:
    """Return the capabilities that root has inside."""
    return tuple(NAMES) if config.privileged else spec.capabilities(config.cap_add, config.cap_drop)


def environment_of(config: ContainerConfig, hostname: str, home: str, linked: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the variables of a container's program: docker's own, under what was asked for."""
    base = [f"PATH={spec.DEFAULT_PATH}", f"HOSTNAME={hostname}", *(["TERM=xterm"] if config.terminal else [])]
    return spec.environment([*base, f"HOME={home}"], linked, config.environment)


def security(config: ContainerConfig, name: str) -> str | None:
    """Return the last value of a security option; None where there is none."""
    found = None
    for each in config.security_options:
        for mark in "=:":
            key, equals, value = each.partition(mark)
            if key == name:
                found = value if equals else ""
                break
    return found


def _system_paths(config: ContainerConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if config.privileged or security(config, "systempaths") == "unconfined":
        return (), ()
    masked = spec.MASKED_PATHS if config.masked_paths is None else config.masked_paths
    read_only = spec.READONLY_PATHS if config.read_only_paths is None else config.read_only_paths
    return masked, read_only


def _devices(config: ContainerConfig) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[Mount]]:
    """Return device nodes, what may be done with which, and what is mounted in place of a node."""
    asked = config.resources
    found = all_devices(asked.devices) if config.privileged else mapped_devices(asked.devices)
    binds = [Mount(inside, host, "bind", ("bind",)) for host, inside in found.binds]
    if config.privileged:
        return list(found.nodes), list(found.rules), binds
    return list(found.nodes), [*spec.device_rules(), *found.rules, *rules_of(asked.device_cgroup_rules)], binds


def _sysctls(config: ContainerConfig, settled: Settled) -> dict[str, str]:
    defaults = _known_ping() if settled.own_network else {}
    for name in config.sysctls:
        if name.startswith("net.") and "network" not in settled.namespaces:
            raise Invalid(f"sysctl '{name}' not allowed in host network namespace")
    return {**defaults, **config.sysctls}


@lru_cache
def _known_ping() -> Mapping[str, str]:
    """Return docker's defaults, as far as this kernel has them: any user may ping and bind any port inside."""
    known = {name: value for name, value in _PING.items() if Path("/proc/sys", *name.split(".")).exists()}
    if not is_host_root():
        known.pop(_GROUPS, None)  # which groups may ping can't be said where not all of them are mapped
    return known


def _seccomp(config: ContainerConfig, settled: Settled, held: tuple[str, ...]) -> dict[str, Any] | None:
    asked = security(config, "seccomp")
    if config.privileged and asked is None:
        return None
    if asked == spec.UNCONFINED or not settled.filters:
        return None
    return _profile(asked or spec.BUILTIN, held)


@lru_cache(maxsize=64)
def _profile(asked: str, held: tuple[str, ...]) -> dict[str, Any]:
    if asked == spec.BUILTIN:
        return spec.seccomp(asked, held)
    try:
        profile = json.loads(asked)
    except ValueError as error:
        raise Invalid(f"Decoding seccomp profile failed: {error}") from error
    return spec.seccomp(profile, held)


def check_profile(text: str, held: tuple[str, ...]) -> None:
    """Refuse a seccomp profile that can't be read or used."""
    _profile(text, held)


def _label(config: ContainerConfig) -> str:
    return ""  # docker passes labels over where the host has no SELinux


def _mounts(config: ContainerConfig, settled: Settled) -> list[dict[str, Any]]:
    taken = {each.destination for each in settled.mounts}
    found = []
    for each in spec.DEFAULT_MOUNTS:
        mount = each
        if each.destination in taken:
            continue
        if each.destination == "/dev/shm":  # noqa: S108
            if settled.shm is None:
                continue
            mount = settled.shm
        elif each.destination == "/dev/mqueue" and "ipc" not in settled.namespaces and not is_host_root():
            if not Path("/dev/mqueue").is_dir():
                continue  # a host that mounts none has none to share with who can't mount it
            mount = Mount("/dev/mqueue", "/dev/mqueue", "bind", ("rbind", "nosuid", "noexec", "nodev"))
        elif each.destination == "/proc" and "pid" not in settled.namespaces and not is_host_root():
            mount = Mount(
                "/proc", "/proc", "bind", ("rbind", "nosuid", "noexec", "nodev")
            )  # whose it is mounts it anew
        elif config.privileged and each.destination in ("/sys", "/sys/fs/cgroup"):
            mount = Mount(each.destination, each.source, each.type, tuple(o for o in each.options if o != "ro"))
        found.append(spec.mount_entry(mount))
    return [*found, *(spec.mount_entry(each) for each in settled.mounts)]


def shm_mount(config: ContainerConfig) -> Mount:
    """Return a container's own /dev/shm."""
    size = config.shm_size_bytes or _SHM_BYTES
    return Mount("/dev/shm", "shm", "tmpfs", ("nosuid", "noexec", "nodev", "mode=1777", f"size={size}"))  # noqa: S108


def exec_process(
    container: Container, asked: ExecConfig, user: User, groups: tuple[int, ...], linked: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the `process` of a further program in a container."""
    config = container.config
    hostname = config.hostname or container.id[:12]
    own = spec.environment(environment_of(config, hostname, user.home, linked), [f"HOME={user.home}"], _own(config))
    term = ["TERM=xterm"] if asked.terminal else []
    held = list(NAMES) if asked.privileged else list(capabilities_of(config))
    process: dict[str, Any] = {
        "terminal": asked.terminal,
        "user": _user(user, groups),
        "args": list(asked.command),
        "env": list(spec.environment(term, own, asked.environment)),
        "cwd": asked.working_directory or config.working_directory or "/",
        "capabilities": _sets(held, root=user.uid == 0),
        "noNewPrivileges": security(config, "no-new-privileges") in ("", *TRUE),
        "oomScoreAdj": config.oom_score_adjust,
    }
    if asked.terminal and asked.window:
        process["consoleSize"] = _size(asked.window)
    limits = rlimits_of(config.resources)
    if limits:
        process["rlimits"] = limits
    return process


def _own(config: ContainerConfig) -> tuple[str, ...]:
    return tuple(each for each in config.environment if each.startswith("HOME="))
