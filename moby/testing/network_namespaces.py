"""Network namespaces for tests: the whole test in one of its own, and further ones beside it."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from moby.host import namespaces
from moby.host.netlink import Channel
from moby.host.rtnetlink import links

__all__ = ["fresh_namespace", "own_namespace"]

_OWN = "/proc/thread-self/ns/net"


def fresh_namespace() -> int:
    """Return a descriptor of a new network namespace that nobody is in; the caller's to close."""
    found: list[int] = []

    def make() -> None:
        namespaces.unshare(namespaces.FLAGS["network"])
        found.append(os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return found[0]


@contextmanager
def own_namespace() -> Iterator[None]:
    """Move the calling thread, and all that it starts, into a new network namespace with loopback, and back.

    It must be the process's first, where something reads /proc/self.
    """
    before = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        namespaces.unshare(namespaces.FLAGS["network"])
        try:
            with Channel() as channel:
                channel.run(links.change(links.index_of(channel, "lo"), up=True))
            yield
        finally:
            namespaces.join(before, namespaces.FLAGS["network"])
    finally:
        os.close(before)
