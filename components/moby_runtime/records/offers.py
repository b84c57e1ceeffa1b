"""What every runtime here offers."""

from __future__ import annotations

from moby.contracts.runtime_values import RuntimeFeature

TYPE_CHECKING = False

__all__ = ["COMMON"]

COMMON = (
    RuntimeFeature.CGROUPS,
    RuntimeFeature.EXEC,
    RuntimeFeature.EXTRA_FDS,
    RuntimeFeature.HOOKS,
    RuntimeFeature.JOINING,
    RuntimeFeature.MOUNTS,
    RuntimeFeature.NAMESPACES,
    RuntimeFeature.NOEXEC,
    RuntimeFeature.OOM,
    RuntimeFeature.PAUSE,
    RuntimeFeature.ROOTLESS,
    RuntimeFeature.SECCOMP,
    RuntimeFeature.STATS,
    RuntimeFeature.TERMINAL,
    RuntimeFeature.UPDATE,
    RuntimeFeature.USERNS,
    RuntimeFeature.USERS,
)
"""Beside it some have CHECKPOINT, and some TIMENS."""
