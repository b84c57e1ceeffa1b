"""The descriptors that a process begins with; apart from `moby.contracts.types`, for who imports little."""

from __future__ import annotations

from moby.values import frozen

__all__ = ["Stdio"]


@frozen
class Stdio:
    """Descriptors that become a process's own; borrowed, and the caller's to close.

    With `terminal` the first three are -1: the runtime makes a pseudo-terminal in the container, and hands back its
    other end (`Process.terminal_fd`).
    """

    stdin: int = -1
    stdout: int = -1
    stderr: int = -1
    terminal: bool = False
    extra: tuple[int, ...] = ()
    """Further ones, which become 3, 4 and so on."""
