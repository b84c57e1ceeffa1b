"""The component `log-driver/journald`."""

from collections.abc import Iterable

from attrs import field, frozen

from moby.component import Component
from moby.contracts.log_driver import LogDriver
from moby.hookspecs import hookimpl

__all__ = ["Config", "make", "moby_components"]


@frozen
class Config:
    """Options of `log-driver/journald`."""

    socket: str = field(
        default="/run/systemd/journal/socket",
        metadata={"help": "Where the journal takes entries; a namespace of it has another place."},
    )
    directory: str = field(
        default="", metadata={"help": "The folder whose journal is read; empty is what journalctl reads by itself."}
    )


def make(config: Config) -> LogDriver:
    """Sends each record to the systemd journal, with the container's names and ids as fields."""
    from moby_log.journald.driver import Journald

    return Journald(config.socket, config.directory)


@hookimpl
def moby_components() -> Iterable[Component]:
    """Return this module's components."""
    return [Component(name="journald", factory=make)]
