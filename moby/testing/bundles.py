"""Bundles for tests of runtimes: a root file system of the host's own programs, and the config.json to go with it."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

__all__ = ["PROGRAMS", "Bundles", "config", "make_rootfs"]

PROGRAMS = ("sh", "cat", "echo", "env", "id", "ls", "sleep", "stat", "true", "tty", "readlink", "mkdir", "touch")
"""What a root file system gets; the suites use nothing else."""

_LIBRARY = re.compile(r"(/\S+) \(0x")
_CAPABILITIES = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_NET_BIND_SERVICE")


def make_rootfs(folder: Path, programs: Sequence[str] = PROGRAMS) -> Path:
    """Copy programs of the host, with the libraries that they load, into a folder, which becomes a root."""
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp", "root"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in programs:
        found = shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin")
        if found is None:
            raise FileNotFoundError(f"this host has no program {name}")
        shutil.copy2(Path(found).resolve(), folder / "bin" / name)
        for library in _LIBRARY.findall(_listed(found)):
            target = folder / library.lstrip("/")
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(Path(library).resolve(), target)
    (folder / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n", encoding="ascii")
    (folder / "etc/nonsense").write_text("no program of any kind\n", encoding="ascii")
    (folder / "etc/nonsense").chmod(0o755)
    (folder / "tmp").chmod(0o1777)
    return folder


def _listed(program: str) -> str:
    """Return what a program would load, as its loader says: what ldd does, without the shell."""
    asked = os.environ | {"LD_TRACE_LOADED_OBJECTS": "1"}
    done = subprocess.run(
        [program], env=asked, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout


def config(
    args: Sequence[str], *, rootless: bool = False, namespaces: bool = True, mounts: bool = True, **process: Any
) -> dict[str, Any]:
    """Return a config.json with namespaces of every kind but time, and the usual mounts, where these are wanted.

    `process` adds to, or replaces fields of its process. With `rootless` the caller's user is root inside.
    """
    found = _whole(args, rootless=rootless, process=process)
    if not namespaces:
        del found["hostname"], found["linux"]["namespaces"]
    if not mounts:
        del found["mounts"], found["linux"]["maskedPaths"], found["linux"]["readonlyPaths"]
    return found


def _whole(args: Sequence[str], *, rootless: bool, process: Mapping[str, Any]) -> dict[str, Any]:
    mounts: list[dict[str, Any]] = [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
        },
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev"]},
    ]
    namespaces = ["pid", "mount", "uts", "ipc", "network", *(["user"] if rootless else ["cgroup"])]
    linux: dict[str, Any] = {
        "namespaces": [{"type": name} for name in namespaces],
        "maskedPaths": ["/proc/kcore", "/proc/keys"],
        "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger"],
    }
    if rootless:
        linux["uidMappings"] = [{"containerID": 0, "hostID": os.geteuid(), "size": 1}]
        linux["gidMappings"] = [{"containerID": 0, "hostID": os.getegid(), "size": 1}]
    sets = {name: list(_CAPABILITIES) for name in ("bounding", "effective", "permitted")}
    return {
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs"},
        "hostname": "box",
        "process": {
            "args": list(args),
            "cwd": "/",
            "env": ["PATH=/bin", "HOME=/root"],
            "user": {"uid": 0, "gid": 0},
            "capabilities": sets,
            "noNewPrivileges": True,
            **process,
        },
        "mounts": mounts,
        "linux": linux,
    }


@frozen
class Bundles:
    """Makes bundles that share one root file system, each in a folder of its own below `folder`."""

    folder: Path
    rootfs: Path

    def make(self, name: str, config: Mapping[str, Any], *, shared: bool = True) -> Path:
        """Write a bundle and return its folder; its root is a copy where it isn't to be shared."""
        bundle = self.folder / name
        bundle.mkdir(parents=True)
        if shared:
            (bundle / "rootfs").symlink_to(self.rootfs)
        else:
            shutil.copytree(self.rootfs, bundle / "rootfs", symlinks=True)
        (bundle / "config.json").write_text(json.dumps(config), encoding="utf-8")
        return bundle
