"""Drivers as engines start them, one process after the other."""

import errno
from contextlib import ExitStack, contextmanager

from moby.contracts.ambient import Place
from moby.host.netlink import Channel
from moby.host.rtnetlink import links


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


def has_ipvlan():
    """Whether this kernel has ipvlan, as it says in the calling thread's network namespace."""
    with Channel() as channel:
        try:
            channel.run(links.ipvlan("probe", links.index_of(channel, "card"), "l2"))
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                return False
            raise
        channel.run(links.delete(links.index_of(channel, "probe")))
        return True


@contextmanager
def starting(make):
    """A function that starts a driver once more, after it ended the one before."""
    with ExitStack() as last:

        def start():
            last.close()
            found = make()
            return last.enter_context(found) if hasattr(found, "__enter__") else found

        yield start
