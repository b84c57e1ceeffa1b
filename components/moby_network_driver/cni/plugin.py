"""The component `network-driver/cni`."""

from collections.abc import Iterable

from attrs import field, frozen

from moby.component import Component, HostNeed
from moby.contracts.ambient import Log, Place
from moby.contracts.network_driver import NetworkDriver
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """Options of `network-driver/cni`."""

    lists: str = field(default="/etc/cni/net.d", metadata={"help": "Folder of the network configuration lists."})
    programs: tuple[str, ...] = field(
        default=("/opt/cni/bin", "/usr/lib/cni"), metadata={"help": "Folders of the plugins, in this order."}
    )
    ports: bool = field(
        default=True, metadata={"help": "Whether plugins with the capability portMappings publish containers' ports."}
    )
    timeout_s: float = field(default=60, metadata={"help": "How long a plugin may take."})


def make(config: Config, *, place: Place, log: Log) -> NetworkDriver:
    """Has plugins of the Container Network Interface, from 0.3.0 to 1.1.0, put containers on networks."""
    from moby_network_driver.cni.driver import CniNetworks

    return CniNetworks(config, place, log)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    root = HostNeed("privilege", "root", why="no container can be put on its networks", optional=True)
    return [Component(name="cni", factory=make, host=(root,))]
