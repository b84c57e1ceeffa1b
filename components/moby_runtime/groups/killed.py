"""What is to blame for a first process that was killed before its program ran."""

from __future__ import annotations

from moby.host.cgroup_figures import oom_kills, reached_limit
from moby_runtime.records.failures import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from moby.host.cgroups import Group

__all__ = ["LIMIT", "killed"]

LIMIT = "linux.resources.memory.limit"


def killed(group: Group, resources: Mapping[str, Any]) -> Failure:
    """Return the failure of such a start: it names the limit of memory where that is what the kernel killed it for."""
    what, detail = "make the container", "its first process was killed"
    if not oom_kills(group):
        return Failure(what, "", 0, detail)
    limit = resources.get("memory", {}).get("limit", 0)
    if limit <= 0 or not reached_limit(group):  # the whole host's memory, or the limit of a group above
        return Failure(what, "", 0, f"{detail} for want of memory")
    return Failure(what, LIMIT, 0, f"{detail} for want of memory: its limit is {limit} bytes")
