"""Declares `supervisor/local`."""

from collections.abc import Iterable, Mapping

from attrs import field, frozen

from moby.component import OUTLIVES, Component
from moby.contracts.ambient import Clock, Keeper, Log, Place
from moby.contracts.log_driver import LogDriver
from moby.contracts.runtime import Runtime
from moby.contracts.supervisor import Supervisor
from moby.hookspecs import hookimpl
from moby_supervisor.local import FEATURES


@frozen
class Config:
    """Options of the supervisor `local`."""

    kill_timeout_s: float = field(default=10.0, metadata={"help": "how long a killed container may take to end"})
    log_timeout_s: float = field(
        default=10.0, metadata={"help": "how long the deletion of a container waits for a slow log"}
    )


def make(
    config: Config,
    *,
    runtimes: Mapping[str, Runtime],
    logs: Mapping[str, LogDriver],
    keeper: Keeper,
    place: Place,
    clock: Clock,
    log: Log,
) -> Supervisor:
    """Keeps containers alive and their output flowing while the engine, and it itself, come and go."""
    from moby_supervisor.local.local import Local

    return Local(
        runtimes, logs, keeper, place, clock, log, kill_timeout_s=config.kill_timeout_s,
        log_timeout_s=config.log_timeout_s,
    )  # fmt: skip


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return the one component of this module."""
    return [Component(name="local", factory=make, offers=FEATURES, served=OUTLIVES, preferred=True)]
