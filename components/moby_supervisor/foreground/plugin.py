"""Declares `supervisor/foreground`."""

from collections.abc import Iterable, Mapping

from attrs import field, frozen

from moby.component import Component
from moby.contracts.ambient import Clock, Log, Place
from moby.contracts.runtime import Runtime
from moby.contracts.supervisor import Supervisor
from moby.hookspecs import hookimpl


@frozen
class Config:
    """Options of the supervisor `foreground`."""

    kill_timeout_s: float = field(default=10.0, metadata={"help": "how long a killed container may take to end"})


def make(config: Config, *, runtimes: Mapping[str, Runtime], place: Place, clock: Clock, log: Log) -> Supervisor:
    """Keeps containers for as long as the calling process lives."""
    from moby_supervisor.foreground.tasks import Foreground

    return Foreground(runtimes, place.run, clock, log, kill_timeout_s=config.kill_timeout_s)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the one component of this module."""
    return [Component(name="foreground", factory=make, preferred=True)]
