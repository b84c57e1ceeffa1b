"""The component `content/local`."""

from collections.abc import Iterable

from attrs import frozen

from moby.component import Component
from moby.contracts.ambient import Place
from moby.contracts.content import Content
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """Options of `content/local`."""


def make(config: Config, *, place: Place) -> Content:
    """Keeps blobs in a folder, a file each, named by their digests."""
    from moby_content.local.store import Store

    return Store(place.state)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="local", factory=make, preferred=True)]
