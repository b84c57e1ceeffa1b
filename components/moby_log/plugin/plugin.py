"""The component `log-driver/plugin`."""

from collections.abc import Iterable

from attrs import field, frozen

from moby.component import Component
from moby.contracts.ambient import Place
from moby.contracts.log_driver import LogDriver
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """Options of `log-driver/plugin`."""

    plugin: str = field(
        metadata={"help": "The plugin's name, by which it is found in /run/docker/plugins and the like."}
    )
    patience_s: float = field(default=10.0, metadata={"help": "How long it may take until it answers."})


def make(config: Config, *, place: Place) -> LogDriver:
    """Has a plugin of docker's take what containers write (LogDriver, docker's plugin API)."""
    from moby.host.docker_plugins import Plugin
    from moby_log.plugin.driver import PluginLogs

    return PluginLogs(Plugin(config.plugin, "LogDriver", patience_s=config.patience_s), place.run)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="plugin", factory=make)]
