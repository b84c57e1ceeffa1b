"""The component `network-driver/overlay`."""

from collections.abc import Iterable, Mapping

from attrs import field, frozen

from moby.component import Component, HostNeed
from moby.contracts.ambient import Clock, Log, Place
from moby.contracts.metadata import Metadata
from moby.contracts.network_driver import NetworkDriver
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """Options of `network-driver/overlay`."""

    store: str = field(
        default="",
        metadata={"help": "Name of the part `metadata` that the hosts share; empty is the engine's own: one host."},
    )
    address: str = field(
        default="",
        metadata={"help": "By which other hosts reach this one; empty is that of its default route."},
    )
    port: int = field(
        default=4789, metadata={"help": "UDP port of networks that aren't encrypted; the same on all hosts."}
    )
    encrypted_port: int = field(
        default=4799,
        metadata={"help": "UDP port of encrypted networks; nothing comes in by it or goes out that isn't encrypted."},
    )
    key_hours: int = field(default=12, metadata={"help": "How long a key is used for encrypted networks."})
    gone_hours: int = field(
        default=72,
        metadata={
            "help": "How long a host may be silent until it has gone for good, with its containers; 0 is for ever."
        },
    )
    mtu: int = field(
        default=0,
        metadata={
            "help": "Largest packet of networks that don't say; 0 is what the host's own network leaves room for."
        },
    )
    ip_forward: bool = field(
        default=True,
        metadata={"help": "Whether the host is made to forward packets, without which no container gets beyond it."},
    )


def make(config: Config, *, stores: Mapping[str, Metadata], place: Place, clock: Clock, log: Log) -> NetworkDriver:
    """Puts containers of several hosts on one network, encrypted if need be; each host is their way out."""
    from moby_network_driver.overlay.driver import overlay

    return overlay(config, stores, place, clock, log)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    why = "containers get no further than this host, unless the engine may turn it on (its option ip_forward)"
    needs = tuple(HostNeed("kernel", f"ipv{each}-forwarding", why=why, optional=True) for each in (4, 6))
    accepted = HostNeed("kernel", "forward-accepted", why="nothing of the engine's helps against it", optional=True)
    root = HostNeed("privilege", "root", why="no network of its can be made", optional=True)
    return [Component(name="overlay", factory=make, host=(root, *needs, accepted))]
