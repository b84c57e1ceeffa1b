"""How a node ends its tasks' containers for good."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from moby.contracts.containers import Containers
from moby.contracts.orchestrator import Task
from moby.errors import NotFound
from moby_orchestrator.swarm.containering import task_of

__all__ = ["clear"]

_AT_A_TIME = 32


def clear(containers: Containers, node_id: str, tasks: Mapping[str, Task]) -> None:
    """End and remove the containers of all tasks of a node, each in the time that it has for ending."""

    def remove(id: str) -> None:
        try:
            containers.stop(id)
            containers.remove(id, force=True, volumes=True)
        except NotFound:
            pass

    mine = [each.id for each in containers.list() if task_of(each, node_id, tasks)]
    with ThreadPoolExecutor(_AT_A_TIME, "swarm-leave") as pool:
        for _ in pool.map(remove, mine):
            pass
