"""The component `ipam/plugin`."""

from collections.abc import Iterable

from attrs import field, frozen

from moby.component import Component
from moby.contracts.ipam import Ipam
from moby.contracts.metadata import Metadata
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """Options of `ipam/plugin`."""

    plugin: str = field(
        metadata={"help": "The plugin's name, by which it is found in /run/docker/plugins and the like."}
    )
    patience_s: float = field(default=10.0, metadata={"help": "How long it may take until it answers."})


def make(config: Config, *, metadata: Metadata) -> Ipam:
    """Has a plugin of docker's hand out subnets and addresses (IpamDriver, libnetwork's remote IPAM)."""
    from moby.host.docker_plugins import Plugin
    from moby_ipam.plugin.allocator import PluginAddresses

    return PluginAddresses(Plugin(config.plugin, "IpamDriver", patience_s=config.patience_s), metadata)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="plugin", factory=make)]
