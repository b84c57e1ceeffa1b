"""What the native runtime offers."""

from __future__ import annotations

from moby.contracts.runtime_values import RuntimeFeature

TYPE_CHECKING = False

__all__ = ["FEATURES"]

FEATURES = (
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
)
"""What it offers; the plugin declares the same."""
