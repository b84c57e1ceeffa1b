"""The component `volume-driver/directory`."""

from collections.abc import Iterable
from pathlib import Path

from attrs import field, frozen

from moby.component import Component
from moby.contracts.ambient import Place
from moby.contracts.volume_driver import VolumeDriver
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """Options of `volume-driver/directory`."""

    folder: Path | None = field(
        default=None,
        metadata={"help": "Where the volumes are, an absolute path; it must be there. Default: in the engine's state."},
    )
    shared: bool = field(
        default=False,
        metadata={"help": "Whether other hosts see the same folder, and so the same volumes (scope `global`)."},
    )


def make(config: Config, *, place: Place) -> VolumeDriver:
    """Keeps each volume as a folder of its name below one that you choose; takes over those that are there."""
    from moby_volume.directory.driver import Directory

    return Directory(config.folder, place, shared=config.shared)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="directory", factory=make)]
