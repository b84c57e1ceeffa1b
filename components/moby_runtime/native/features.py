"""What the native runtime offers."""

from __future__ import annotations

from moby.contracts.runtime_values import RuntimeFeature
from moby_runtime.records.offers import COMMON

TYPE_CHECKING = False

__all__ = ["FEATURES"]

FEATURES = (*COMMON, RuntimeFeature.CHECKPOINT, RuntimeFeature.TIMENS)
"""What it offers; the plugin declares the same."""
