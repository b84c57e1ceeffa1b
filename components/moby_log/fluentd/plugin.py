"""The component `log-driver/fluentd`."""

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
    """Sends each record as an event to fluentd or fluent-bit."""
    from moby_log.fluentd.driver import Fluentd

    return Fluentd()


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="fluentd", factory=make)]
