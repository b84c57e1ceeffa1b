"""What a container's side and its caller's say to each other while it starts, a byte or a line each."""

from __future__ import annotations

__all__ = ["GROUPS", "LISTENER", "MOUNTED", "NO_GROUPS", "READY", "number_of"]

READY = b"+"
MOUNTED = b"m"
"""Its root is built, and where there are hooks it waits to enter it."""
GROUPS = b"g"
NO_GROUPS = b"-"
"""The byte of release: whether the user namespace lets its processes change their groups."""
LISTENER = b"L"
"""Starts the word of a process that is about to install a filter with a listener: then its number, and a new line."""


def number_of(data: bytes) -> int | None:
    """Return the number that a process told by LISTENER; None where it said something else, or not all yet."""
    word, ended, _ = data.partition(b"\n")
    return int(word[len(LISTENER) :]) if word.startswith(LISTENER) and ended else None
