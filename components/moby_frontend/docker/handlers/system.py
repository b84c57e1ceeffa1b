"""The engine itself: ping, version, info."""

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve

from moby.contracts.containers import Status
from moby.contracts.types import Platform
from moby.errors import MobyError
from moby.host.user_maps import is_ordinary
from moby_frontend.docker.call import Call, Reply, Version, reply_json
from moby_frontend.docker.handlers.limits import limits
from moby_frontend.docker.parts import RELEASE, Parts, spelled
from moby_frontend.docker.swarm.membership import info as swarm
from moby_frontend.docker.swarm.membership import role
from moby_frontend.docker.times import rfc3339

__all__ = ["info", "ping", "version"]

_TOLD_OF = ("supervisor", "runtime", "snapshotter", "builder", "orchestrator")
"""The kinds that a version is shown of."""
_PING = Reply(
    200,
    b"OK",
    (
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Cache-Control", "no-cache, no-store, must-revalidate"),
        ("Pragma", "no-cache"),
    ),
)


def ping(parts: Parts, call: Call) -> Reply:
    """Say that the engine is there."""
    own = (("Builder-Version", "2" if parts.builder else "1"), ("Swarm", role(parts)))
    return evolve(_PING, headers=(*_PING.headers, *own))


def version(parts: Parts, call: Call) -> Reply:
    """Say what the engine is."""
    details = {
        "ApiVersion": spelled(parts.highest),
        "Arch": Platform.host().architecture,
        "BuildTime": "",
        "Experimental": "false",
        "GitCommit": "",
        "GoVersion": _python(),
        "KernelVersion": platform.release(),
        "MinAPIVersion": spelled(parts.lowest),
        "Os": "linux",
    }
    return reply_json({
        "Platform": {"Name": f"Moby framework, distribution {parts.place.engine or 'moby'}"},
        "Components": [{"Name": "Engine", "Version": RELEASE, "Details": details}, *_components(parts)],
        "Version": RELEASE,
        "ApiVersion": details["ApiVersion"],
        "MinAPIVersion": details["MinAPIVersion"],
        "GitCommit": "",
        "GoVersion": details["GoVersion"],
        "Os": "linux",
        "Arch": details["Arch"],
        "KernelVersion": details["KernelVersion"],
        "BuildTime": "",
    })  # fmt: skip


def _components(parts: Parts) -> list[dict[str, Any]]:
    """Return what dockerd names besides itself: the parts in their place, and the programs that these use."""
    from moby.oci.spec import OCI_VERSION

    details = {"runtime": {"BundleOciVersion": OCI_VERSION}}
    own = [
        {"Name": key, "Version": version, "Details": details.get(kind, {})}
        for kind in _TOLD_OF
        for key, version in parts.place.parts.items()
        if key.partition("/")[0] == kind
    ]
    others = _programs(parts).items()
    return [
        *own,
        *({"Name": name, "Version": told, "Details": {"GitCommit": commit}} for name, (told, commit) in others),
    ]


def _programs(parts: Parts) -> Mapping[str, tuple[str, str]]:
    try:
        return parts.supervisor.programs()
    except MobyError as error:
        parts.log.warning("the supervisor doesn't say what its runtimes use", error=str(error))
        return {}


def _python() -> str:
    """Return what clients print as the version of Go, which this is none of."""
    return "python" + ".".join(map(str, sys.version_info[:3]))


def info(parts: Parts, call: Call) -> Reply:
    """Say how the engine is."""
    shown = (
        _counted(parts)
        | _parts(parts)
        | _host(parts)
        | _fixed(parts)
        | _commits(parts, call.version)
        | _legacy(call.version)
    )
    if call.version < (1, 47):
        old = dict.fromkeys(("AllowNondistributableArtifactsCIDRs", "AllowNondistributableArtifactsHostnames"))
        shown["RegistryConfig"] = old | shown["RegistryConfig"]
    return reply_json(shown)


def _counted(parts: Parts) -> dict[str, Any]:
    states = [each.state.status for each in parts.containers.list()]
    running = sum(each in {Status.RUNNING, Status.RESTARTING} for each in states)
    paused = states.count(Status.PAUSED)
    return {
        "ID": _identity(parts),
        "Containers": len(states),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": len(states) - running - paused,
        "Images": len(parts.images.list(all=True)),
        "NEventsListener": 0,
        "NFd": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
        "NGoroutines": _threads(),
        "SystemTime": rfc3339(parts.clock.now_ns()),
    }


def _threads() -> int:
    import threading

    return threading.active_count()


def _identity(parts: Parts) -> str:
    """Return what tells this engine root from others, for as long as it lasts."""
    import uuid

    path = parts.place.state / "id"
    try:
        return str(uuid.UUID(path.read_text().strip()))
    except (OSError, ValueError):
        found = str(uuid.uuid4())
        fresh = path.with_suffix(f".{os.getpid()}.new")
        fresh.write_text(f"{found}\n")
        fresh.replace(path)
        return found


def _parts(parts: Parts) -> dict[str, Any]:
    """Return the names of what the engine is made of."""
    runtimes: tuple[str, ...] = ()
    logs: tuple[str, ...] = ()
    try:
        runtimes, logs = parts.supervisor.runtimes(), parts.supervisor.log_drivers()
    except MobyError as error:
        parts.log.warning("the supervisor doesn't say what it has", error=str(error))
    return {
        "Driver": parts.storage_driver,
        "DriverStatus": _storage(parts),
        "Plugins": {
            "Volume": sorted(parts.volumes.drivers()),
            "Network": sorted(parts.networks.drivers()),
            "Authorization": list(parts.authorization) or None,
            "Log": sorted(logs),
        },
        "LoggingDriver": logs[0] if logs else "",
        "Runtimes": {each: {"path": each} for each in runtimes},
        "DefaultRuntime": runtimes[0] if runtimes else "",
    }


def _storage(parts: Parts) -> list[list[str]]:
    try:
        return [[name, value] for name, value in parts.images.storage_details().items()]
    except MobyError as error:
        parts.log.warning("the images don't say how layers are kept", error=str(error))
        return []


def _host(parts: Parts) -> dict[str, Any]:
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    system = _os_release()
    return {
        **limits(),
        "IPv4Forwarding": _setting("/proc/sys/net/ipv4/ip_forward") == "1",
        "KernelVersion": platform.release(),
        "OperatingSystem": system.get("PRETTY_NAME", "Linux"),
        "OSVersion": system.get("VERSION_ID", ""),
        "OSType": "linux",
        "Architecture": platform.machine(),
        "NCPU": len(os.sched_getaffinity(0)),
        "MemTotal": memory,
        "Name": os.uname().nodename,
        "DockerRootDir": str(parts.place.state.parent.parent),
    }


def _setting(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123
            return file.read().strip()
    except OSError:
        return ""


def _os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def _fixed(parts: Parts) -> dict[str, Any]:
    return {
        "Debug": False,
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": {
            "InsecureRegistryCIDRs": ["127.0.0.0/8"],
            "IndexConfigs": {"docker.io": {"Name": "docker.io", "Mirrors": [], "Secure": True, "Official": True}},
            "Mirrors": None,
        },
        "GenericResources": None,
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Labels": [],
        "ExperimentalBuild": False,
        "ServerVersion": RELEASE,
        "Swarm": swarm(parts),
        "LiveRestoreEnabled": True,
        "Isolation": "",
        "InitBinary": "docker-init",
        "SecurityOptions": _security(),
        "CDISpecDirs": [],
    }  # fmt: skip


def _security() -> list[str]:
    """Return what keeps containers apart that ask for nothing else, in dockerd's order."""
    there = {"name=rootless": is_ordinary(), "name=cgroupns": Path("/proc/self/ns/cgroup").exists()}
    return ["name=seccomp,profile=builtin", *(name for name, is_so in there.items() if is_so)]


def _commits(parts: Parts, version: Version) -> dict[str, dict[str, str]]:
    """Return which commits programs of others are of; empty for those that aren't used."""
    found = _programs(parts)
    names = {"ContainerdCommit": "containerd", "RuncCommit": "runc", "InitCommit": "docker-init"}
    commits = {field: found[name][1] if name in found else "" for field, name in names.items()}
    return {
        field: {"ID": commit, **({"Expected": commit} if version < (1, 49) else {})}
        for field, commit in commits.items()
    }


def _legacy(version: Version) -> dict[str, Any]:
    """Return fields that older versions of the API have."""
    found: dict[str, Any] = {}
    if version < (1, 50):
        calls = {"BridgeNfIptables": "iptables", "BridgeNfIp6tables": "ip6tables"}
        found |= {name: _setting(f"/proc/sys/net/bridge/bridge-nf-call-{each}") == "1" for name, each in calls.items()}
    return found
