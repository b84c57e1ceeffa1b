"""Results that take long to work out, kept by content: in the process, and by a command with its modules (together)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["RESULTS", "remembered"]

_FEW = 8
_LARGEST = 1 << 17
"""Of a key, in bytes: all that is kept is read by each call of a command. Docker's own profile has seven KiB."""
RESULTS: dict[bytes, Any] = {}
"""Those of the first few keys."""


def remembered(key: bytes, work: Callable[[], Any]) -> Any:
    """Return what `work` returns, or did for the same key: a value of marshal's, by the key and our sources alone."""
    found = RESULTS.get(key)
    if found is None:
        found = work()
        if len(RESULTS) < _FEW and len(key) <= _LARGEST:
            RESULTS[key] = found
    return found
