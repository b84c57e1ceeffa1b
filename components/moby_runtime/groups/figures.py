"""What a container uses, by its cgroup, and being told of OOM kills; what goes wrong as the contract says."""

import os

from moby.contracts.runtime_values import Stats
from moby.errors import Conflict, HostUnfit, Unavailable
from moby.host import oom
from moby.host.cgroup_figures import figures
from moby.host.cgroups import Group

__all__ = ["stats_of", "watch_oom"]


def stats_of(group: Group, container_id: str) -> Stats:
    """Read a group's figures; Conflict where it is gone."""
    if not any(os.access(folder, os.F_OK) for folder in group.folders):
        raise Conflict(f"the cgroup of container {container_id!r} is gone, and its statistics with it")
    return figures(group)


def watch_oom(group: Group, container_id: str) -> int:
    """Return a descriptor of OOM kills in a group; HostUnfit where memory isn't counted there."""
    try:
        return oom.watch(group)
    except FileNotFoundError as error:
        raise HostUnfit(
            f"container {container_id!r} is in no memory cgroup, so its OOM kills can't be watched",
            hint="boot with cgroup_enable=memory",
        ) from error
    except OSError as error:
        raise Unavailable(
            f"cannot watch container {container_id!r} for OOM kills: {error}", hint="free descriptors, then try again"
        ) from error
