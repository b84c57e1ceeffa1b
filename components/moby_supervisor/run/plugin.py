"""Declares `command/run`."""

from collections.abc import Iterable

from attrs import frozen

from moby.component import Component
from moby.contracts.ambient import Log, Place
from moby.contracts.command import EXITS_AS_CONTAINER, Command
from moby.contracts.images import Images
from moby.contracts.supervisor import Supervisor
from moby.hookspecs import hookimpl


@frozen
class Config:
    """The verb has no options of its own beyond its command line."""


def make(config: Config, *, images: Images, supervisor: Supervisor, place: Place, log: Log) -> Command:
    """Run a container in the foreground."""
    from moby_supervisor.run.command import Run

    return Run(images, supervisor, place, log)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the one component of this module."""
    return [Component(name="run", factory=make, offers=(EXITS_AS_CONTAINER,))]
