"""The runtime that drives runc."""

from moby.contracts.runtime import RuntimeFeature
from moby_runtime.oci_command.tool import NEVER, Tool
from moby_runtime.records.offers import COMMON

__all__ = ["RUNC"]

RUNC = Tool(
    name="runc",
    package="runc",
    oldest=(1, 1),
    features=(*COMMON, RuntimeFeature.CHECKPOINT),
    since=(
        ("vm", NEVER),
        ("linux.timeOffsets", (1, 2)),
        ("linux.personality", (1, 2)),
        ("mounts[].uidMappings", (1, 2)),
        ("mounts[].gidMappings", (1, 2)),
        ("domainname", (1, 2)),
        ("process.scheduler", (1, 2)),
        ("process.ioPriority", (1, 2)),
        ("process.execCPUAffinity", (1, 3)),
        ("linux.netDevices", (1, 4)),
        ("linux.memoryPolicy", (1, 4)),
    ),
    unchanged=("devices", "hugepageLimits", "network", "rdma"),
)
