"""Network namespaces for suites, each with a loopback that is up."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from moby.host.links import bring_up_loopback
from moby.host.namespaces import FLAGS, join, unshare

__all__ = ["new_network", "own_network"]

_OURS = "/proc/thread-self/ns/net"


def new_network() -> int:
    """Return a descriptor of a new network namespace, which lasts as long as it or a socket in it is open."""
    found: list[int] = []

    def make() -> None:
        unshare(FLAGS["network"])
        bring_up_loopback()
        found.append(os.open(_OURS, os.O_RDONLY | os.O_CLOEXEC))

    thread = Thread(target=make)
    thread.start()
    thread.join()
    return found[0]


@contextmanager
def own_network() -> Iterator[None]:
    """Have the calling thread, and those that it starts, in a network namespace of their own instead of the host's."""
    before = os.open(_OURS, os.O_RDONLY | os.O_CLOEXEC)
    try:
        unshare(FLAGS["network"])
        bring_up_loopback()
        yield
    finally:
        join(before, FLAGS["network"])
        os.close(before)
