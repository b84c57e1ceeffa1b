"""The component `volume-driver/local`."""

from collections.abc import Iterable

from attrs import frozen

from moby.component import Component
from moby.contracts.ambient import Place
from moby.contracts.volume_driver import VolumeDriver
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """`volume-driver/local` has no options."""


def make(config: Config, *, place: Place) -> VolumeDriver:
    """Keeps volumes as folders of the engine's state, and mounts what their options say there, as docker's `local`."""
    from moby_volume.local.driver import Local

    return Local(place.state / "volumes", place.state / "aside", place.run / "users")


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="local", factory=make, preferred=True)]
