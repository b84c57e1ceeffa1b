"""A compiled seccomp profile: what a runtime keeps of one."""

from moby.values import frozen

__all__ = ["STARTING", "Filter"]

STARTING = ("execveat", "execve", "read")
"""Calls that a runtime makes once the filter is installed: for the program, and to wait for a listener."""


@frozen
class Filter:
    """A compiled profile."""

    program: bytes
    """Instructions as the kernel of this architecture has them (sock_filter), 8 bytes each."""
    flags: tuple[str, ...] | None = None
    """Without SECCOMP_FILTER_FLAG_; None leaves it to who installs it."""
    notifies: bool = False
    listener_path: str = ""
    listener_metadata: str = ""
    refused: frozenset[str] = frozenset()
    """Which of STARTING it never lets through."""
