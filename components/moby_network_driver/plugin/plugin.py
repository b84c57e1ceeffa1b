"""The component `network-driver/plugin`."""

from collections.abc import Iterable

from attrs import field, frozen

from moby.component import Component, HostNeed
from moby.contracts.ambient import Log, Place
from moby.contracts.network_driver import NetworkDriver
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """Options of `network-driver/plugin`."""

    plugin: str = field(
        metadata={"help": "The plugin's name, by which it is found in /run/docker/plugins and the like."}
    )
    ports: bool = field(default=False, metadata={"help": "Whether the plugin publishes containers' ports."})
    patience_s: float = field(default=10.0, metadata={"help": "How long it may take until it answers."})


def make(config: Config, *, place: Place, log: Log) -> NetworkDriver:
    """Has a plugin of docker's put containers on networks (NetworkDriver, libnetwork's remote drivers)."""
    from moby.host.docker_plugins import Plugin
    from moby_network_driver.plugin.driver import PluginNetworks

    plugin = Plugin(config.plugin, "NetworkDriver", patience_s=config.patience_s)
    return PluginNetworks(plugin, place, log, publishes=config.ports)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    root = HostNeed("privilege", "root", why="no container can be put on its networks", optional=True)
    return [Component(name="plugin", factory=make, host=(root,))]
