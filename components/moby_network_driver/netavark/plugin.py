"""The component `network-driver/netavark`."""

from collections.abc import Iterable
from typing import Literal

from attrs import field, frozen

from moby.component import Component, HostNeed
from moby.contracts.ambient import Log, Place
from moby.contracts.network_driver import NetworkDriver
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """Options of `network-driver/netavark`."""

    binary: str = field(
        default="/usr/lib/podman/netavark",
        metadata={"help": "Path of netavark, which is on no PATH where Debian has it."},
    )
    firewall: Literal["nftables", "iptables", "firewalld", "none"] = field(
        default="nftables", metadata={"help": "What netavark makes its rules with; with none, no ports are published."}
    )
    timeout_s: float = field(default=60, metadata={"help": "How long a call of netavark may take."})


def make(config: Config, *, place: Place, log: Log) -> NetworkDriver:
    """Has netavark, the network stack of Podman, put containers on bridges."""
    from moby_network_driver.netavark.driver import NetavarkNetworks

    return NetavarkNetworks(config, place, log)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    program = HostNeed(
        "binary", "/usr/lib/podman/netavark", ">=1.10", "netavark", why="it makes the networks", option="binary"
    )
    rules = HostNeed(
        "binary", "nft", "", "nftables", why="netavark makes rules with it, unless told otherwise", optional=True
    )
    root = HostNeed("privilege", "root", why="no container can be put on its networks", optional=True)
    return [Component(name="netavark", factory=make, host=(program, rules, root))]
