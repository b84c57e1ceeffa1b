"""The component `enclosure/unlinked`."""

from collections.abc import Iterable

from attrs import frozen

from moby.component import COPIED, Component, HostNeed
from moby.contracts.ambient import Place
from moby.contracts.enclosure import Enclosure
from moby.hookspecs import hookimpl
from moby_enclosure.rootless.needs import NEEDS

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """`enclosure/unlinked` has no options."""


def make(config: Config, *, place: Place) -> Enclosure:
    """Runs the engine without root, in user and network namespaces without a connection to the host's network."""
    from moby_enclosure.rootless.enclosure import Rootless

    return Rootless(None, place)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    needs = tuple(HostNeed(**each) for each in NEEDS)
    return [Component(name="unlinked", factory=make, served=COPIED, host=needs)]
