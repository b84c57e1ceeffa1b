"""The component `volume-driver/plugin`."""

from collections.abc import Iterable

from attrs import field, frozen

from moby.component import Component
from moby.contracts.ambient import Place
from moby.contracts.volume_driver import VolumeDriver
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """Options of `volume-driver/plugin`."""

    plugin: str = field(
        metadata={"help": "The plugin's name, by which it is found in /run/docker/plugins and the like."}
    )
    patience_s: float = field(default=10.0, metadata={"help": "How long it may take until it answers."})


def make(config: Config, *, place: Place) -> VolumeDriver:
    """Has a plugin of docker's make the volumes (VolumeDriver, docker's plugin API)."""
    from moby.host.docker_plugins import Plugin
    from moby_volume.plugin.driver import PluginVolumes

    return PluginVolumes(Plugin(config.plugin, "VolumeDriver", patience_s=config.patience_s), place)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="plugin", factory=make)]
