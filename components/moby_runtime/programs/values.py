"""What a program is run as, by its process in config.json, as values."""

from __future__ import annotations

from moby.values import field, frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["ProcessSpec"]


@frozen
class ProcessSpec:
    """What to run, as whom, with which limits."""

    args: tuple[str, ...]
    cwd: str
    env: tuple[str, ...] = ()
    terminal: bool = False
    window: tuple[int, int] | None = None
    """Rows and columns."""
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    umask: int | None = None
    """None is the caller's."""
    rlimits: tuple[tuple[int, int, int], ...] = ()
    """Resource, soft, hard."""
    capabilities: Mapping[str, frozenset[int]] = field(factory=dict)
    no_new_privileges: bool = False
    oom_score_adj: int | None = None
    apparmor: str = ""
    selinux: str = ""
    affinity: tuple[frozenset[int], frozenset[int]] = (frozenset(), frozenset())
    """Processors of a further program: before it is in the container's cgroup, and once it is; empty is any."""
    traits: Any = None
    """What is rarely set, as Traits; None is nothing."""

    @property
    def labelled(self) -> bool:
        """Whether a security module is to label it."""
        return bool(self.apparmor or self.selinux)
