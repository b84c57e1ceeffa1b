"""What this process has open, for tests that are to leave nothing open; others' may come and go meanwhile."""

import gc
from pathlib import Path

from peers.sandbox import until

__all__ = ["closed_again", "descriptors"]


def descriptors() -> set[str]:
    """Return those that there are, but for garbage's."""
    gc.collect()
    return {each.name for each in Path("/proc/self/fd").iterdir()}


def closed_again(before: set[str]) -> None:
    """Wait until none is open but those of before; fail the test where one stays."""
    until(lambda: descriptors() <= before, "no more descriptors than before")
