"""The component `network-driver/bridge`."""

from collections.abc import Iterable

from attrs import field, frozen

from moby.component import Component, HostNeed
from moby.contracts.ambient import Log, Place
from moby.contracts.network_driver import NetworkDriver
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """Options of `network-driver/bridge`."""

    device: str = field(
        default="",
        metadata={"help": "Name of the bridge of the network `bridge`; empty is one that no other engine has."},
    )
    icc: bool = field(default=True, metadata={"help": "Whether containers on the network `bridge` reach each other."})
    ip_masquerade: bool = field(
        default=True,
        metadata={"help": "Whether containers on the network `bridge` have the host's address for others."},
    )
    host_binding_ipv4: str = field(
        default="",
        metadata={"help": "Address at which the network `bridge` publishes ports; empty is all of the host's."},
    )
    mtu: int = field(
        default=0,
        metadata={
            "help": "Largest packet of networks that don't say; 0 is what the host's way out takes, at most 1500."
        },
    )
    ip_forward: bool = field(
        default=True,
        metadata={"help": "Whether the host is made to forward packets, without which no container gets beyond it."},
    )


def make(config: Config, *, place: Place, log: Log) -> NetworkDriver:
    """Puts containers on bridges of the host's, with the world beyond it by NAT, and publishes their ports."""
    from moby_network_driver.bridge.driver import bridge

    return bridge(config, place, log)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    why = "containers get no further than this host, unless the engine may turn it on (its option ip_forward)"
    needs = tuple(HostNeed("kernel", f"ipv{each}-forwarding", why=why, optional=True) for each in (4, 6))
    accepted = HostNeed("kernel", "forward-accepted", why="nothing of the engine's helps against it", optional=True)
    root = HostNeed("privilege", "root", why="no network of its can be made", optional=True)
    return [Component(name="bridge", factory=make, host=(root, *needs, accepted))]
