"""The runtime `cgroup`: limits and accounting, without namespaces."""

from moby.contracts.runtime_values import RuntimeFeature

__all__ = ["FEATURES"]

FEATURES = (
    RuntimeFeature.CGROUPS,
    RuntimeFeature.EXEC,
    RuntimeFeature.EXTRA_FDS,
    RuntimeFeature.OOM,
    RuntimeFeature.PAUSE,
    RuntimeFeature.STATS,
    RuntimeFeature.UPDATE,
    RuntimeFeature.USERS,
)
