"""What has passed the interfaces of a container's own network namespace (proc(5), net/dev)."""

from collections.abc import Mapping

from attrs import frozen

from moby.contracts.containers import Container

__all__ = ["Interface", "interfaces"]

_BARE = frozenset({"none", "host"})
"""Networks of which a container has no interface of its own."""
_COLUMNS = 12


@frozen
class Interface:
    """Received and sent."""

    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


def interfaces(container: Container, pid: int) -> Mapping[str, Interface]:
    """Return them by name, all but loopback; none where they aren't its own, or where it has just ended.

    `pid` is its first process.
    """
    if all(each.network in _BARE for each in container.endpoints):
        return {}
    try:
        with open(f"/proc/{pid}/net/dev", encoding="ascii") as file:  # noqa: PTH123 - at each scrape
            lines = file.read().splitlines()[2:]
    except OSError:
        return {}
    found = {}
    for line in lines:
        name, _, figures = line.partition(":")
        numbers = [int(each) for each in figures.split()]
        if name.strip() != "lo" and len(numbers) >= _COLUMNS:
            found[name.strip()] = Interface(*numbers[:4], *numbers[8:12])
    return found
