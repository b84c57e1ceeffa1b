"""The component `events/ring`."""

from collections.abc import Iterable

from attrs import frozen

from moby.component import Component
from moby.contracts.ambient import Clock
from moby.contracts.events import Events
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """`events/ring` has no options."""


def make(config: Config, *, clock: Clock) -> Events:
    """Passes events on to all who follow them, and keeps the last 256 in memory."""
    from moby_events.ring.ring import Ring

    return Ring(clock)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="ring", factory=make, preferred=True)]
