"""The component `discovery/none`."""

from collections.abc import Iterable

from attrs import frozen

from moby.component import Component
from moby.contracts.discovery import Discovery
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """`discovery/none` has no options."""


def make(config: Config) -> Discovery:
    """Serves no names and publishes no ports."""
    from moby_discovery.none.nobody import Nobody

    return Nobody()


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="none", factory=make, preferred=True)]
