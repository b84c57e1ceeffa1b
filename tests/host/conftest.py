import errno
import os
import threading

import pytest
from guests.cover import needs

from moby.host import namespaces
from moby.host.elsewhere import in_namespace
from moby.host.links import bring_up_loopback
from moby.host.nft_values import INET, Table
from moby.host.nftables import Add, Delete, Nftables

OWN = "/proc/thread-self/ns/net"
_NO_TABLES = {errno.EPROTONOSUPPORT, errno.EOPNOTSUPP, errno.EAFNOSUPPORT}
"""What a kernel says that wasn't made with nftables, or with tables of one family each."""


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


def has_tables():
    """Whether this kernel has tables of nftables that see packets of every family."""
    probe = Table(INET, "probe")
    try:
        with Nftables() as nftables:
            nftables.commit([Add(probe), Delete(probe)])
    except OSError as error:
        if error.errno in _NO_TABLES:
            return False
        raise
    return True


@pytest.fixture
def tables(namespace):
    """Skip where no table could be made."""
    needs(in_namespace(namespace, has_tables), "tables of nftables for every family", "qemu")
