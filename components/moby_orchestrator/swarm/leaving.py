"""How a node ends its tasks' containers for good."""

from concurrent.futures import ThreadPoolExecutor

from moby.contracts.containers import Containers
from moby.errors import NotFound
from moby_orchestrator.swarm.containering import NODE_ID, TASK_ID

__all__ = ["clear"]

_AT_A_TIME = 32


def clear(containers: Containers, node_id: str) -> None:
    """End and remove the containers of all tasks of a node, each in the time that it has for ending."""

    def remove(id: str) -> None:
        try:
            containers.stop(id)
            containers.remove(id, force=True, volumes=True)
        except NotFound:
            pass

    mine = [
        each.id
        for each in containers.list()
        if each.config.labels.get(NODE_ID) == node_id and TASK_ID in each.config.labels
    ]
    with ThreadPoolExecutor(_AT_A_TIME, "swarm-leave") as pool:
        for _ in pool.map(remove, mine):
            pass
