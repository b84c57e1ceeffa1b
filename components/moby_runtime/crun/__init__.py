"""The runtime that drives crun."""

from moby.contracts.runtime import RuntimeFeature
from moby_runtime.oci_command.tool import NEVER, Tool

__all__ = ["CRUN"]

CRUN = Tool(
    name="crun",
    package="crun",
    oldest=(1, 14),
    features=(
        RuntimeFeature.CGROUPS,
        RuntimeFeature.EXEC,
        RuntimeFeature.EXTRA_FDS,
        RuntimeFeature.HOOKS,
        RuntimeFeature.JOINING,
        RuntimeFeature.NOEXEC,
        RuntimeFeature.OOM,
        RuntimeFeature.PAUSE,
        RuntimeFeature.ROOTLESS,
        RuntimeFeature.SECCOMP,
        RuntimeFeature.STATS,
        RuntimeFeature.TERMINAL,
        RuntimeFeature.TIMENS,
        RuntimeFeature.UPDATE,
        RuntimeFeature.USERNS,
        RuntimeFeature.USERS,
    ),
    since=(
        ("vm", NEVER),
        ("process.execCPUAffinity", (1, 20)),
        ("linux.netDevices", (1, 23)),
        ("linux.memoryPolicy", (1, 24)),
    ),
    unchanged=("hugepageLimits", "network", "rdma"),
    hybrid=False,
)
