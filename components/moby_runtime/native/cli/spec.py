"""The verb that writes a bundle's config.json to start from: spec."""

from __future__ import annotations

import json
import os

from moby.errors import Conflict, NotFound
from moby_runtime.native.cli.usage import SPEC_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from moby_runtime.native.cli.main import Call

__all__ = ["document", "spec"]

_NEEDED = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_HARMLESS = ["nosuid", "noexec", "nodev"]


def spec(call: Call) -> int:
    """Write it; Conflict where one is there."""
    folder = call.text("bundle") or "."
    path = f"{folder}/config.json"
    text = json.dumps(document(rootless=call.on("rootless")), indent="\t")
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        raise Conflict(f"{path} is there already", hint="remove it first") from None
    except FileNotFoundError:
        raise NotFound(f"there is no folder {folder}") from None
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
    return 0


def document(*, rootless: bool) -> dict[str, Any]:
    """Return a config.json that runs a shell, as the caller's user where it is to be `rootless`."""
    namespaces = ["pid", "ipc", "uts", "mount", "cgroup", "user" if rootless else "network"]
    linux: dict[str, Any] = {
        "namespaces": [{"type": name} for name in namespaces],
        "maskedPaths": [
            "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
            "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
            "/sys/devices/virtual/powercap",
        ],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    }  # fmt: skip
    if rootless:
        linux["uidMappings"] = [{"containerID": 0, "hostID": os.geteuid(), "size": 1}]
        linux["gidMappings"] = [{"containerID": 0, "hostID": os.getegid(), "size": 1}]
    else:
        linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    return {
        "ociVersion": SPEC_VERSION,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": [_PATH, "TERM=xterm"],
            "cwd": "/",
            "capabilities": {name: list(_NEEDED) for name in ("bounding", "effective", "permitted")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "moby",
        "mounts": _mounts(rootless=rootless),
        "linux": linux,
    }


def _mounts(*, rootless: bool) -> list[dict[str, Any]]:
    terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", *([] if rootless else ["gid=5"])]
    rows = [
        ("/proc", "proc", "proc", []),
        ("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        ("/dev/pts", "devpts", "devpts", terminals),
        ("/dev/shm", "tmpfs", "shm", [*_HARMLESS, "mode=1777", "size=65536k"]),  # noqa: S108 - inside
        ("/dev/mqueue", "mqueue", "mqueue", _HARMLESS),
    ]
    if rootless:  # the owner of the host's network namespace alone mounts its sysfs
        rows.append(("/sys", "none", "/sys", ["rbind", *_HARMLESS, "ro"]))
    else:
        rows.append(("/sys", "sysfs", "sysfs", [*_HARMLESS, "ro"]))
        rows.append(("/sys/fs/cgroup", "cgroup", "cgroup", [*_HARMLESS, "relatime", "ro"]))
    names = ("destination", "type", "source", "options")
    return [dict(zip(names, row, strict=True)) for row in rows]
