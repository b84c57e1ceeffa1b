"""Networks of a swarm: who of its services is on one, and removing one while the last tasks leave it."""

from contextlib import closing

from moby.contracts.events import Event
from moby.contracts.networks import Network
from moby.contracts.orchestrator import Orchestrator
from moby.errors import Denied, NotFound, Unavailable
from moby_frontend.docker.call import Call
from moby_frontend.docker.parts import Parts
from moby_frontend.docker.swarm.faults import Code, described
from moby_frontend.docker.swarm.membership import manager

__all__ = ["SWARM", "remove"]

SWARM = "swarm"
"""The scope of networks that all nodes of a swarm have."""
_SERVICE = "com.docker.swarm.service.id"
"""The label by which a task's container says whose it is."""
_LONGEST_WAIT_S = 120.0


def remove(parts: Parts, call: Call, network: Network) -> None:
    """Delete a network of a swarm's; where only tasks of services that were removed are on it, once they have left.

    A stack that is removed deletes its networks right after its services, whose tasks take their time to end.
    """
    try:
        orchestrator = manager(parts)
    except Unavailable:
        parts.networks.remove(network.id)
        return
    for each in orchestrator.services():
        if network.name in each.spec.networks or network.id in each.spec.networks:
            raise described(Code.FAILED_PRECONDITION, f"network {network.id} is in use by service {each.id}")
    _remove_once_left(parts, call, network, orchestrator)


def _remove_once_left(parts: Parts, call: Call, network: Network, orchestrator: Orchestrator) -> None:
    def leaves(event: Event) -> bool:
        return event.type == "network" and event.action == "disconnect" and event.id == network.id

    deadline_ns = parts.clock.now_ns() + int(_LONGEST_WAIT_S * 10**9)
    with closing(parts.events.subscribe(0, leaves)) as subscription:
        while True:
            try:
                parts.networks.remove(network.id)
                return
            except Denied:
                left = (deadline_ns - parts.clock.now_ns()) / 10**9
                if left <= 0 or not _only_ending(parts, parts.networks.get(network.id), orchestrator):
                    raise
                call.link.watch(subscription.fileno(), min(left, 1.0))
                subscription.take()


def _only_ending(parts: Parts, network: Network, orchestrator: Orchestrator) -> bool:
    """Whether all that are on a network are tasks of services that aren't there any more."""
    services = {each.id for each in orchestrator.services()}
    for identity in network.containers:
        try:
            owner = parts.containers.get(identity).config.labels.get(_SERVICE, "")
        except NotFound:
            continue  # it has left
        if not owner or owner in services:
            return False
    return True
