"""Declares `discovery/dns`."""

from collections.abc import Iterable

from attrs import frozen

from moby.component import OUTLIVES, Component
from moby.contracts.ambient import Keeper, Log, Place
from moby.contracts.discovery import Discovery
from moby.contracts.enclosure import Enclosure
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """`discovery/dns` has no options."""


def make(config: Config, *, keeper: Keeper, place: Place, log: Log, enclosure: Enclosure | None = None) -> Discovery:
    """Resolves containers' names by DNS in each one's namespace, and holds published ports, over restarts too."""
    from moby_discovery.dns.service import Service

    return Service(keeper, place, log, enclosure)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the one component of this module."""
    return [Component(name="dns", factory=make, served=OUTLIVES)]
