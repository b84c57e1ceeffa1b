"""The runtime over LXC."""

from __future__ import annotations

from moby.contracts.runtime_values import RuntimeFeature

__all__ = ["FEATURES"]

FEATURES = (
    RuntimeFeature.CGROUPS,
    RuntimeFeature.EXEC,
    RuntimeFeature.EXTRA_FDS,
    RuntimeFeature.JOINING,
    RuntimeFeature.MOUNTS,
    RuntimeFeature.NAMESPACES,
    RuntimeFeature.NOEXEC,
    RuntimeFeature.OOM,
    RuntimeFeature.PAUSE,
    RuntimeFeature.SECCOMP,
    RuntimeFeature.STATS,
    RuntimeFeature.TERMINAL,
    RuntimeFeature.UPDATE,
    RuntimeFeature.USERS,
)
