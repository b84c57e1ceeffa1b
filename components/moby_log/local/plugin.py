"""The component `log-driver/local`."""

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
    """Writes records in a compact form to files beside the container, rotated and compressed."""
    from moby_log.local.driver import Local

    return Local()


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="local", factory=make)]
