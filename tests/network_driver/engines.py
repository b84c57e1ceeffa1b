"""Drivers as engines start them, one process after the other."""

import errno
from contextlib import ExitStack, contextmanager

from moby.contracts.ambient import Place
from moby.host.netlink import Channel
from moby.host.rtnetlink import links
from moby.host.rtnetlink.links import Peer


class Quiet:
    """A log that keeps what it is told."""

    def __init__(self):
        self.said = []

    def __getattr__(self, name):
        return lambda message, **fields: self.said.append((name, message))


def place_in(folder):
    """The folders of an instance."""
    found = Place(folder / "state", folder / "run", folder / "cache", "engine")
    for each in (found.state, found.run, found.cache):
        each.mkdir(parents=True, exist_ok=True)
    return found


def card():
    """Make an interface of the host's, as a real one would be, and what is at the other end of its cable."""
    with Channel() as channel:
        channel.run(links.veth("card", Peer("cable")))
        for each in ("card", "cable"):
            channel.run(links.change(links.index_of(channel, each), up=True))


def _has(make):
    """Whether this kernel has a sort of device, as it says in the calling thread's network namespace."""
    with Channel() as channel:
        try:
            channel.run(make(links.index_of(channel, "card")))
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                return False
            raise
        channel.run(links.delete(links.index_of(channel, "probe")))
        return True


def has_ipvlan():
    """Whether this kernel has ipvlan."""
    return _has(lambda parent: links.ipvlan("probe", parent, "l2"))


def has_vlans():
    """Whether this kernel has 802.1Q."""
    return _has(lambda parent: links.vlan("probe", parent, 7))


@contextmanager
def starting(make):
    """A function that starts a driver once more, after it ended the one before."""
    with ExitStack() as last:

        def start():
            last.close()
            found = make()
            return last.enter_context(found) if hasattr(found, "__enter__") else found

        yield start
