"""The component `log-driver/json-file`."""

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
    """Writes a line of JSON for each record, in docker's form, to a file beside the container."""
    from moby_log.json_file.driver import JsonFile

    return JsonFile()


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="json-file", factory=make, preferred=True)]
