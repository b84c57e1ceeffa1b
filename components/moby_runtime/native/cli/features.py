"""The verb that says what this runtime can do: features (runtime-spec, features.md).

What it says is taken from the tables by which bundles are read, so that it can't say more than is so.
"""

from __future__ import annotations

import json
import sys

from moby.host.capabilities import NAMES
from moby.host.namespaces import FLAGS
from moby.oci.seccomp import profile
from moby.oci.seccomp.architectures import ARCHITECTURES
from moby_runtime.native import mount_options
from moby_runtime.native.cli.usage import SPEC_VERSION, version
from moby_runtime.records.shape import CONFIG, HOOKS, Missing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from moby_runtime.native.cli.main import Call

__all__ = ["features"]


def features(call: Call) -> int:
    """Print it as JSON."""
    sys.stdout.write(json.dumps(_facts(), indent=4) + "\n")
    return 0


def _facts() -> dict[str, Any]:
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": SPEC_VERSION,
        "hooks": list(HOOKS),
        "mountOptions": sorted(mount_options.known()),
        "linux": _linux(CONFIG["linux"], CONFIG["process"], CONFIG["mounts"][0]),
        "annotations": {"org.mobyproject.runtime.version": version()},
        # None loosens what confines a container: the one that is known ends it with its caller.
        "potentiallyUnsafeConfigAnnotations": [],
    }


def _linux(linux: Mapping[str, Any], process: Mapping[str, Any], mount: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "namespaces": sorted(FLAGS),
        "capabilities": list(NAMES),
        "cgroup": {
            "v1": True,
            "v2": True,
            "systemd": True,
            "systemdUser": True,
            "rdma": linux["resources"]["rdma"] is not Missing,
        },
        "seccomp": _seccomp() if linux["seccomp"] is not Missing else {"enabled": False},
        "apparmor": {"enabled": process["apparmorProfile"] is not Missing},
        "selinux": {"enabled": process["selinuxLabel"] is not Missing},
        "intelRdt": {
            "enabled": linux["intelRdt"] is not Missing,
            "schemata": "schemata" in linux["intelRdt"],
            "monitoring": "enableMonitoring" in linux["intelRdt"],
        },
        "mountExtensions": {"idmap": {"enabled": mount["uidMappings"] is not Missing}},
        "netDevices": {"enabled": linux["netDevices"] is not Missing},
    }


def _seccomp() -> dict[str, Any]:
    flags = [f"SECCOMP_FILTER_FLAG_{name}" for name in sorted(profile.FLAGS)]
    return {
        "enabled": True,
        "actions": sorted(profile.ACTIONS),
        "operators": [f"SCMP_CMP_{name}" for name in sorted(profile.OPERATORS)],
        "archs": [f"SCMP_ARCH_{name}" for name in sorted(ARCHITECTURES)],
        "knownFlags": flags,
        "supportedFlags": flags,
    }
