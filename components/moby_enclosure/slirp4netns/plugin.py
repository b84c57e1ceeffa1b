"""The component `enclosure/slirp4netns`."""

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
    """`enclosure/slirp4netns` has no options."""


def make(config: Config, *, place: Place) -> Enclosure:
    """Runs the engine without root, in user and network namespaces that slirp4netns connects to the host's."""
    from moby_enclosure.rootless.enclosure import Rootless
    from moby_enclosure.slirp4netns.uplink import SLIRP

    return Rootless(SLIRP, place)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    own = HostNeed("binary", "slirp4netns", package="slirp4netns", why="it joins the engine's network to the host's")
    needs = (own, *(HostNeed(**each) for each in (*NEEDS, TUN)))
    return [Component(name="slirp4netns", factory=make, served=COPIED, host=needs)]
