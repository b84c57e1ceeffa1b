"""Namespaces that nobody is in, for what netavark wants to do to a container's."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from moby.contracts.types import Fd
from moby.host.elsewhere import in_namespace
from moby.host.namespaces import FLAGS, unshare
from moby.host.netlink import Channel
from moby.host.rtnetlink import links
from moby.host.rtnetlink.links import Peer

__all__ = ["OWN", "beside", "nowhere", "path"]

OWN = "/proc/self/ns/net"
"""The namespace that netavark itself is in, as it is told of it."""
_ENDS = ("beside0", "beside1")


def path(namespace: Fd) -> str:
    """Return a path of a namespace, as long as the descriptor is open."""
    return f"/proc/{os.getpid()}/fd/{namespace}"


@contextmanager
def nowhere() -> Iterator[int]:
    """Lend a network namespace that nobody is in."""
    made: list[int] = []

    def make() -> None:
        unshare(FLAGS["network"])
        made.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    thread = threading.Thread(target=make, name="netavark")
    thread.start()
    thread.join()
    if not made:
        raise PermissionError(1, "a network namespace can't be made")
    try:
        yield made[0]
    finally:
        os.close(made[0])


@contextmanager
def beside(interface: str) -> Iterator[int]:
    """Lend one with an interface of that name and what it takes, which netavark may delete."""
    other = next(each for each in _ENDS if each != interface)

    def made() -> None:
        with Channel() as channel:
            channel.run(links.veth(interface, Peer(other)))  # of all sorts the one that goes soonest

    with nowhere() as namespace:
        in_namespace(namespace, made)
        yield namespace
