"""The component `enclosure/pasta`."""

from collections.abc import Iterable

from attrs import frozen

from moby.component import COPIED, Component, HostNeed
from moby.contracts.ambient import Place
from moby.contracts.enclosure import Enclosure
from moby.hookspecs import hookimpl
from moby_enclosure.rootless.needs import NEEDS, TUN

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """`enclosure/pasta` has no options."""


def make(config: Config, *, place: Place) -> Enclosure:
    """Runs the engine without root, in user and network namespaces that pasta connects to the host's network."""
    from moby_enclosure.pasta.uplink import PASTA
    from moby_enclosure.rootless.enclosure import Rootless

    return Rootless(PASTA, place)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    own = HostNeed("binary", "pasta", package="passt", why="it joins the engine's network to the host's")
    needs = (own, *(HostNeed(**each) for each in (*NEEDS, TUN)))
    return [Component(name="pasta", factory=make, served=COPIED, host=needs)]
