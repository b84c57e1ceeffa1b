"""The runtime that drives crun."""

from moby.contracts.runtime import RuntimeFeature
from moby_runtime.oci_command.tool import NEVER, Tool
from moby_runtime.records.offers import COMMON

__all__ = ["CRUN"]

CRUN = Tool(
    name="crun",
    package="crun",
    oldest=(1, 14),
    features=(*COMMON, RuntimeFeature.TIMENS),
    since=(
        ("vm", NEVER),
        ("process.execCPUAffinity", (1, 20)),
        ("linux.netDevices", (1, 23)),
        ("linux.memoryPolicy", (1, 24)),
    ),
    unchanged=("hugepageLimits", "network", "rdma"),
    hybrid=False,
)
