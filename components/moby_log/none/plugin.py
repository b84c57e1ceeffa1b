"""The component `log-driver/none`."""

from collections.abc import Iterable

from attrs import frozen

from moby.component import Component
from moby.contracts.log_driver import LogDriver
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """It has no options: each container brings its own."""


def make(config: Config) -> LogDriver:
    """Keeps nothing of what containers write."""
    from moby_log.none.driver import Nothing

    return Nothing()


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="none", factory=make)]
