"""The runtime `chroot`: a process, a root, a user, nothing more."""

from moby.contracts.runtime_values import RuntimeFeature

__all__ = ["FEATURES"]

FEATURES = (RuntimeFeature.EXTRA_FDS, RuntimeFeature.USERS)
