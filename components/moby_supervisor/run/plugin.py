"""Declares `command/run` and `command/bundle`."""

from collections.abc import Callable, Iterable

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


def make_bundle(config: Config, *, supervisor: Supervisor, place: Place) -> Command:
    """Run the container of a bundle, a folder with a config.json, in the foreground."""
    from moby_supervisor.run.bundle import Bundle

    return Bundle(supervisor, place)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    makers: dict[str, Callable[..., Command]] = {"run": make, "bundle": make_bundle}
    return [Component(name=name, factory=each, offers=(EXITS_AS_CONTAINER,)) for name, each in makers.items()]
