"""Declares the volume driver `trash`."""

import pkgutil
from collections.abc import Iterable
from typing import cast

from attrs import field, frozen, validators
from moby.component import PROGRAM, Component, program
from moby.contracts.ambient import Place
from moby.contracts.volume_driver import VolumeDriver
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """Options of the volume driver."""

    keep_days: int = field(
        default=30,
        validator=[validators.ge(0), validators.le(36500)],
        metadata={"help": "how long a removed volume stays in the state's folder `removed`"},
    )


def make(config: Config, *, place: Place) -> VolumeDriver:
    """Keeps volumes as folders, and for some days those that were removed; a program in C."""
    code = pkgutil.get_data(__package__ or "", "trash-volumes")
    return cast(VolumeDriver, program(code, str(place.state), str(place.run), str(config.keep_days)))


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the one component of this plugin."""
    return [Component(name="trash", factory=make, served=PROGRAM)]
