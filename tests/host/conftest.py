import os
import threading

import pytest

from moby.host import namespaces
from moby.host.links import bring_up_loopback

OWN = "/proc/thread-self/ns/net"


def make_namespace():
    """Yield a descriptor of a network namespace that nobody is in, with its loopback up."""

    def make():
        namespaces.unshare(namespaces.FLAGS["network"])
        bring_up_loopback()
        found.append(os.open(OWN, os.O_RDONLY | os.O_CLOEXEC))

    if os.geteuid():
        pytest.skip("making network namespaces takes root")
    found: list[int] = []
    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    yield found[0]
    os.close(found[0])


@pytest.fixture
def namespace():
    """A descriptor of a network namespace that nobody is in, with its loopback up."""
    yield from make_namespace()


@pytest.fixture
def fresh():
    """Another one."""
    yield from make_namespace()


@pytest.fixture
def inside(namespace):
    """Has the test itself, and what it starts, in a network namespace of its own."""
    before = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
    namespaces.join(namespace, namespaces.FLAGS["network"])
    yield namespace
    namespaces.join(before, namespaces.FLAGS["network"])
    os.close(before)
